"""Search for raws in folders; give a reason for each skipped file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from burstfix.batch.raw_info import InfoReader, RawInfo
from burstfix.errors import BurstfixError, InputError, OutputError
from burstfix.io.read.copies import find_copies
from burstfix.io.read.selection import natural_key
from burstfix.io.suffixes import RAW_SUFFIXES
from burstfix.types import Progress

# Folders with deleted files, snapshots and previews on network storage (Synology, QNAP, TrueNAS) and on
# Windows and macOS drives. Hidden folders (.Trash-1000, .snapshot) are skipped as well.
_SYSTEM_FOLDERS = frozenset(
    ("#recycle", "@recycle", "$recycle.bin", "recycler", "recycled", "network trash folder")
    + ("#snapshot", "@recently-snapshot", "@eadir", "@tmp", "system volume information")
)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that was ignored or could not be read, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Result of a search in folders.

    Attributes:
        raws: Absolute paths, folder by folder, in natural order of their names.
        ignored: Files that are not raws, links to the same file, and system folders.
        unreadable: Files and folders that cannot be read.
    """

    raws: tuple[Path, ...]
    ignored: tuple[SkippedFile, ...]
    unreadable: tuple[SkippedFile, ...]


@dataclass(frozen=True, slots=True)
class SplitFrames:
    """Frames to use, and files that are skipped."""

    frames: tuple[RawInfo, ...]
    skipped: tuple[SkippedFile, ...]


def roots_of(folders: Iterable[Path | str]) -> tuple[Path, ...]:
    """Return the absolute paths of the folders to search, without duplicates.

    Raises:
        InputError: A path does not exist, is not a folder or cannot be read, or no folder is given.
    """
    roots: dict[Path, None] = {}
    for folder in map(Path, folders):
        try:
            os.scandir(folder).close()
        except FileNotFoundError as error:
            raise InputError(f"{folder}: this folder does not exist") from error
        except NotADirectoryError as error:
            raise InputError(f"{folder}: is not a folder; name the folder that contains it") from error
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
        roots[folder.resolve()] = None
    if not roots:
        raise InputError("no folder is given; name at least one")
    return tuple(roots)


def scan(roots: Sequence[Path], leave_out: Path | None = None) -> ScanResult:
    """Find the raws in folders and their subfolders.

    Hidden folders, recycle bins, index folders and `leave_out` are not searched, unless they are roots. Links
    to folders are not followed, because they may form cycles.
    """
    search = _Search(leave_out)
    for root in roots:
        search.walk(root)
    return ScanResult(tuple(search.raws), tuple(search.ignored), tuple(search.unreadable))


class _Search:
    """Search that sorts the files in folders into raws, ignored and unreadable files."""

    def __init__(self, leave_out: Path | None) -> None:
        self.raws: list[Path] = []
        self.ignored: list[SkippedFile] = []
        self.unreadable: list[SkippedFile] = []
        self._leave_out = leave_out
        self._seen: set[Path] = set()
        self._identities: dict[tuple[int, int], Path] = {}

    def walk(self, root: Path) -> None:
        """Add the files of a folder and its subfolders."""
        for name, folders, files in os.walk(root, onerror=self._refused):
            folder = Path(name)
            folders[:] = [sub for sub in sorted(folders) if self._is_entered(folder / sub)]
            for path in sorted((folder / file for file in files), key=natural_key):
                if path not in self._seen:
                    self._seen.add(path)
                    self._add(path)

    def _is_entered(self, folder: Path) -> bool:
        if folder.name.startswith(".") or folder == self._leave_out:
            return False
        if folder.name.lower() in _SYSTEM_FOLDERS:
            skipped = SkippedFile(folder, "a recycle bin or system folder; name it explicitly to search it")
            if skipped not in self.ignored:
                self.ignored.append(skipped)
            return False
        return True

    def _refused(self, error: OSError) -> None:
        skipped = SkippedFile(Path(error.filename), error.strerror or str(error))
        # A folder that was removed during the search is not an error.
        if not isinstance(error, FileNotFoundError) and skipped not in self.unreadable:
            self.unreadable.append(skipped)

    def _add(self, path: Path) -> None:
        if path.name.startswith("._"):
            self.ignored.append(SkippedFile(path, "macOS metadata of another file"))
            return
        if path.suffix.lower() not in RAW_SUFFIXES or path.name.startswith("."):
            self.ignored.append(SkippedFile(path, "not a raw file"))
            return
        try:
            status = path.stat()
        except FileNotFoundError:
            self.ignored.append(SkippedFile(path, "a link to a missing file"))
            return
        except OSError as error:
            self.unreadable.append(SkippedFile(path, error.strerror or str(error)))
            return
        # Equal inode numbers indicate links to the same file. Some file systems have no inode numbers (0).
        identity = (status.st_dev, status.st_ino)
        first = self._identities.setdefault(identity, path) if status.st_ino else path
        if first != path:
            self.ignored.append(SkippedFile(path, f"the same file as {first}"))
        else:
            self.raws.append(path)


def read_infos(
    paths: Iterable[Path],
    reader: InfoReader,
    progress: Progress | None = None,
) -> SplitFrames:
    """Read the metadata of files; skip files that cannot be read."""
    frames: list[RawInfo] = []
    skipped: list[SkippedFile] = []
    wanted = list(paths)
    for done, path in enumerate(wanted):
        if progress is not None:
            progress("scan", done, len(wanted))
        try:
            frames.append(reader.info(path))
        except OutputError:  # without a temporary folder, no file can be decoded
            raise
        except BurstfixError as error:  # InputError, or the decoder does not start
            skipped.append(SkippedFile(path, str(error).removeprefix(f"{path}: ")))
    if progress is not None:
        progress("scan", len(wanted), len(wanted))
    return SplitFrames(tuple(frames), tuple(skipped))


def skip_merged(frames: Sequence[RawInfo]) -> SplitFrames:
    """Skip DNGs written by burstfix. They are found if the output folder is searched too."""
    return SplitFrames(
        tuple(frame for frame in frames if not frame.is_merged),
        tuple(SkippedFile(frame.path, "merged by burstfix") for frame in frames if frame.is_merged),
    )


def skip_copies(frames: Sequence[RawInfo], reader: InfoReader) -> SplitFrames:
    """Skip files that have the same bytes as an earlier file."""
    copies = find_copies((frame.path for frame in frames), reader.content_hash)
    return SplitFrames(
        tuple(frame for frame in frames if frame.path not in copies),
        tuple(SkippedFile(path, f"a copy of {original}") for path, original in copies.items()),
    )
