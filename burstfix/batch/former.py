"""Pictures that bursts had under other names, and when they go.

The name of a picture comes from its burst's frames, so a burst that gets other frames gets another picture.
The former one stays, and the journal goes on knowing it, until newer pictures show all that it shows.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from burstfix.batch.facts import FactReader, stamp_of
from burstfix.batch.journal import Entry, Journal
from burstfix.batch.plan import FoundBurst
from burstfix.errors import InputError
from burstfix.io.read.xmp import sidecars

_PART = "//"  # in no key and no name of a picture, but at the beginning of Windows' network paths

log = logging.getLogger(__name__)


def former_key(key: str, output: str) -> str:
    """Under which the journal keeps a picture that a burst had.

    Args:
        key: The burst's.
        output: The picture's path in the output folder.
    """
    return f"{key}{_PART}{output}"


def owner(key: str) -> str:
    """The key of the burst that has, or had, an entry's picture."""
    return key.rpartition(_PART)[0] or key


def inputs_hash(paths: Iterable[Path], reader: FactReader) -> str:
    """sha256 over the content of frames and of their sidecars, in hexadecimal.

    Raises:
        InputError: One cannot be read.
    """
    paths = list(paths)
    beside = [sidecar for path in paths for sidecar in sidecars(path)]
    hashes = [reader.content_hash(path) for path in (*paths, *beside)]
    return hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()


def is_own(entry: Entry, picture: Path) -> bool:
    """Whether an existing picture is as burstfix wrote it for this entry."""
    return entry.state == "running" or entry.stamp == stamp_of(picture)


def remove_superseded(
    bursts: Iterable[FoundBurst], output: Path, layout: str, journal: Journal, reader: FactReader
) -> None:
    """Removes pictures all of whose frames, unchanged, are in newer pictures; and forgets failures likewise.

    Pictures that were changed since they were written stay, and those of other layouts.

    Args:
        bursts: As they are now.
        output: The output folder.
        layout: The pattern for names that is in force.
        journal: Knows the pictures.
        reader: Of the frames' content.
    """
    now = {burst.key: tuple(str(path) for path in burst.paths) for burst in bursts}
    entries = journal.entries()
    standing: set[str] = set()
    for entry in entries:
        if entry.state == "done" and entry.frames == now.get(entry.key) and (output / entry.output).exists():
            standing.update(entry.frames)
    for entry in entries:
        if entry.key in now or entry.layout != layout or not standing.issuperset(entry.frames):
            continue
        try:
            if inputs_hash(map(Path, entry.frames), reader) == entry.inputs:
                _remove(entry, output / entry.output, journal)
        except (InputError, OSError) as error:
            log.warning("%s: stays beside newer pictures of the same frames (%s)", entry.output, error)


def _remove(entry: Entry, picture: Path, journal: Journal) -> None:
    """Removes an entry with its picture; with what was never its own, or is not any more, only the entry."""
    if picture.exists() and is_own(entry, picture):
        picture.unlink()
        log.info("%s: removed; its frames are in newer pictures", entry.output)
    journal.forget(entry.key)
