"""Walks folders for raws, and says what is left aside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from burstfix.batch.facts import FactReader, FileFacts
from burstfix.errors import InputError
from burstfix.io.read.frames import natural_key
from burstfix.io.suffixes import RAW_SUFFIXES


@dataclass(frozen=True, slots=True)
class Aside:
    """A file that is not looked at, or could not be read, and why."""

    path: Path
    reason: str


@dataclass(slots=True)
class Scan:
    """Raws found, absolute and in natural order; files left aside; folders and files that may not be read."""

    raws: list[Path] = field(default_factory=list)
    ignored: list[Aside] = field(default_factory=list)
    unreadable: list[Aside] = field(default_factory=list)


def roots_of(folders: Iterable[Path | str]) -> tuple[Path, ...]:
    """The folders to search, absolute, each once.

    Raises:
        InputError: One does not exist, is no folder or cannot be read, or none is given.
    """
    roots: dict[Path, None] = {}
    for folder in map(Path, folders):
        try:
            os.scandir(folder).close()
        except FileNotFoundError as error:
            raise InputError(f"{folder}: there is no such folder") from error
        except NotADirectoryError as error:
            raise InputError(f"{folder}: is no folder; name the folder it is in") from error
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
        roots[folder.resolve()] = None
    if not roots:
        raise InputError("no folders given")
    return tuple(roots)


def scan(roots: Sequence[Path], leave_out: Path | None = None) -> Scan:
    """Finds raws in folders and the folders in them; hidden ones and `leave_out` are not entered.

    Links to folders are not followed: they may lead in circles.
    """
    found = Scan()
    seen: set[Path] = set()
    identities: dict[tuple[int, int], Path] = {}

    def refused(error: OSError) -> None:
        aside = Aside(Path(error.filename), error.strerror or str(error))
        # A folder that went away in the meantime holds nothing that could be missing.
        if not isinstance(error, FileNotFoundError) and aside not in found.unreadable:
            found.unreadable.append(aside)

    for root in roots:
        for name, folders, files in os.walk(root, onerror=refused):
            here = Path(name)
            folders[:] = sorted(f for f in folders if not f.startswith(".") and here / f != leave_out)
            for path in sorted((here / file for file in files), key=natural_key):
                if path not in seen:
                    seen.add(path)
                    _sort_in(path, found, identities)
    return found


def _sort_in(path: Path, found: Scan, identities: dict[tuple[int, int], Path]) -> None:
    if path.name.startswith("._"):
        found.ignored.append(Aside(path, "a Mac's notes on another file"))
        return
    if path.suffix.lower() not in RAW_SUFFIXES or path.name.startswith("."):
        found.ignored.append(Aside(path, "no raw file"))
        return
    try:
        status = path.stat()
    except FileNotFoundError:
        found.ignored.append(Aside(path, "a link that leads nowhere"))
        return
    except OSError as error:
        found.unreadable.append(Aside(path, error.strerror or str(error)))
        return
    # The same file by two names: a link. (Some file systems number nothing: 0.)
    first = identities.setdefault((status.st_dev, status.st_ino), path) if status.st_ino else path
    if first != path:
        found.ignored.append(Aside(path, f"the same file as {first}"))
    else:
        found.raws.append(path)


def drop_copies(frames: Sequence[FileFacts], reader: FactReader, ignored: list[Aside]) -> list[FileFacts]:
    """Leaves out copies: files with the same bytes as an earlier one. Only likely ones are read in full."""
    alike: dict[tuple[object, ...], list[FileFacts]] = {}
    for frame in frames:
        try:
            size = frame.path.stat().st_size
        except OSError:
            continue  # it went away; merging it will say so
        key = (size, frame.time, frame.make, frame.model, frame.serial)
        alike.setdefault(key, []).append(frame)
    copies: set[Path] = set()
    for group in alike.values():
        first: dict[str, Path] = {}
        for frame in group if len(group) > 1 else ():
            try:
                content = reader.content_hash(frame.path)
            except InputError:
                continue  # as above
            original = first.setdefault(content, frame.path)
            if original != frame.path:
                copies.add(frame.path)
                ignored.append(Aside(frame.path, f"a copy of {original}"))
    return [frame for frame in frames if frame.path not in copies]


def drop_results(frames: Sequence[FileFacts], ignored: list[Aside]) -> list[FileFacts]:
    """Leaves out DNGs that burstfix has merged; they lie among the raws where OUT is the folder searched."""
    ignored += [Aside(frame.path, "merged by burstfix") for frame in frames if frame.is_merged]
    return [frame for frame in frames if not frame.is_merged]


def read_facts(
    paths: Iterable[Path],
    reader: FactReader,
    unreadable: list[Aside],
    progress: Callable[[str, int, int], None] | None = None,
) -> list[FileFacts]:
    """Facts of the files that can be read; the others are added to `unreadable`."""
    frames = []
    wanted = list(paths)
    for done, path in enumerate(wanted):
        if progress is not None:
            progress("scan", done, len(wanted))
        try:
            frames.append(reader.facts(path))
        except InputError as error:
            unreadable.append(Aside(path, str(error).removeprefix(f"{path}: ")))
    if progress is not None:
        progress("scan", len(wanted), len(wanted))
    return frames
