"""Remove superseded pictures, which were made from an earlier set of frames of a burst.

The name of a picture depends on the frames of its burst. Therefore a burst that gains or loses frames gets a
new picture. The superseded picture and its entry in the journal stay until newer pictures contain all of its
frames.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from burstfix.batch.journal import Entry, Journal
from burstfix.batch.layout import page_of
from burstfix.batch.output_folder import OutputFolder
from burstfix.batch.plan import FoundBurst
from burstfix.batch.raw_info import InfoReader, file_stamp
from burstfix.errors import InputError
from burstfix.io.read.xmp import sidecars

_SEPARATOR = "//"  # occurs in keys and paths only at the start of Windows network paths

log = logging.getLogger(__name__)


def superseded_key(key: str, output: str) -> str:
    """Return the key under which the journal keeps an earlier picture of a burst.

    Args:
        key: Key of the burst.
        output: Path of the picture in the output folder.
    """
    return f"{key}{_SEPARATOR}{output}"


def burst_key(key: str) -> str:
    """Return the key of the burst to which an entry belongs or belonged."""
    return key.rpartition(_SEPARATOR)[0] or key


def inputs_hash(paths: Iterable[Path], reader: InfoReader) -> str:
    """Return the SHA-256 of the content of frames and their sidecars, in hexadecimal.

    Raises:
        InputError: A file cannot be read.
    """
    paths = list(paths)
    beside = [sidecar for path in paths for sidecar in sidecars(path)]
    hashes = [reader.content_hash(path) for path in (*paths, *beside)]
    return hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()


def is_unchanged(entry: Entry, picture: Path) -> bool:
    """Return True if an existing picture has not changed since burstfix wrote it for this entry."""
    return entry.state == "running" or entry.stamp == file_stamp(picture)


def remove_superseded(
    bursts: Iterable[FoundBurst], output: OutputFolder, layout: str, journal: Journal, reader: InfoReader
) -> None:
    """Remove a picture if newer pictures contain all of its frames and the frames have not changed.

    The same rule applies to entries of failed bursts. Pictures stay if they were changed after they were
    written, or if they have another layout.

    Args:
        bursts: The current bursts.
        output: The output folder.
        layout: The current pattern for names.
        journal: Journal of the output folder.
        reader: Reader that hashes the frames.
    """
    current = {burst.key: tuple(str(path) for path in burst.paths) for burst in bursts}
    entries = journal.entries()
    shown: set[str] = set()
    for entry in entries:
        is_current = entry.state == "done" and entry.frames == current.get(entry.key)
        if is_current and output.has_picture(entry.output):
            shown.update(entry.frames)
    for entry in entries:
        if entry.key in current or entry.layout != layout or not shown.issuperset(entry.frames):
            continue
        try:
            if inputs_hash(map(Path, entry.frames), reader) == entry.inputs:
                _remove(entry, output, journal)
        except (InputError, OSError) as error:
            log.warning("%s: kept, although newer pictures contain its frames (%s)", entry.output, error)


def _remove(entry: Entry, output: OutputFolder, journal: Journal) -> None:
    """Remove an entry and its picture; keep a picture that was changed."""
    if output.has_picture(entry.output) and is_unchanged(entry, output.picture(entry.output)):
        output.picture(entry.output).unlink()
        page = page_of(entry.output)
        if output.has_picture(page):
            output.picture(page).unlink()
        log.info("%s: removed, because newer pictures contain its frames", entry.output)
    journal.forget(entry.key)
