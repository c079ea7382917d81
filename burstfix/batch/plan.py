"""The plan of a batch: the bursts in folders, and the files that belong to no burst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.batch.grouping import DEFAULT_GAP, MIN_FRAMES, Group, Kind, group_frames
from burstfix.batch.raw_info import InfoReader, RawInfo, thumbnail_similarity
from burstfix.batch.scan import SkippedFile, read_infos, roots_of, scan, skip_copies, skip_merged
from burstfix.errors import BurstfixError
from burstfix.types import Progress


@dataclass(frozen=True, slots=True)
class FoundBurst:
    """Frames that were taken together.

    Attributes:
        kind: "burst" (merged), "single" (merged if requested), "bracket" or "short" (reported only).
        root: Absolute path of the searched folder.
        paths: Absolute paths of the frames, in order.
        camera: Make and model.
        time: Capture time of the first frame according to the camera's clock; None if unknown.
        exposure_time: Exposure of the first frame in seconds; None if unknown.
        iso: ISO speed of the first frame; None if unknown.
        height, width: Size of the mosaic in sensor pixels.
        cfa: CFA pattern, as in `FrameMetadata`.
    """

    kind: Kind
    root: Path
    paths: tuple[Path, ...]
    camera: str
    time: datetime | None
    exposure_time: float | None
    iso: float | None
    height: int
    width: int
    cfa: str = "RGGB"

    @property
    def folder(self) -> Path:
        """Folder of the frames, relative to `root` ("." for the root itself)."""
        return self.paths[0].parent.relative_to(self.root)

    @property
    def name(self) -> str:
        """Name in messages: folder and first frame."""
        return (self.folder / self.paths[0].name).as_posix()

    @property
    def key(self) -> str:
        """Stable identifier: path and time of the first frame.

        The time distinguishes bursts with the same names, which occur after the camera's counter was reset.
        """
        time = f"@{self.time.isoformat()}" if self.time else ""
        return self.paths[0].as_posix() + time

    def document(self) -> dict[str, Any]:
        """Return the burst as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "folder": str(self.paths[0].parent),
            "frames": [{"path": str(path)} for path in self.paths],
            "camera": self.camera,
            "time": self.time.isoformat() if self.time else None,
            "exposure_seconds": self.exposure_time,
            "iso": self.iso,
            "height": self.height,
            "width": self.width,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of some folders.

    Attributes:
        roots: The searched folders.
        groups: Bursts, singles, brackets and short sequences, in order of folder and name.
        ignored: Files that are not raws, copies, and system folders.
        unreadable: Raws that cannot be read.
        warnings: Messages for the user, for example about clocks that were set back.
    """

    roots: tuple[Path, ...]
    groups: tuple[FoundBurst, ...]
    ignored: tuple[SkippedFile, ...] = ()
    unreadable: tuple[SkippedFile, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self, outputs: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the plan as JSON values.

        Args:
            outputs: Mapping from the key of a burst to the path of its picture; groups without a path are not
                merged.
        """
        groups = [
            group.document() | ({"output": outputs.get(group.key)} if outputs is not None else {})
            for group in self.groups
        ]
        kinds: tuple[Kind, ...] = ("burst", "single", "bracket", "short")
        return {
            "folders": [str(root) for root in self.roots],
            "groups": groups,
            "unreadable": [{"path": str(a.path), "reason": a.reason} for a in self.unreadable],
            "ignored": [{"path": str(a.path), "reason": a.reason} for a in self.ignored],
            "warnings": list(self.warnings),
            "counts": {kind: len(self.of_kind(kind)) for kind in kinds},
        }

    def of_kind(self, *kinds: Kind) -> tuple[FoundBurst, ...]:
        """Return the groups of these kinds."""
        return tuple(group for group in self.groups if group.kind in kinds)

    @property
    def bursts(self) -> tuple[FoundBurst, ...]:
        """The groups that are always merged."""
        return self.of_kind("burst")


def find_bursts(
    folders: Iterable[Path | str],
    *,
    gap: float = DEFAULT_GAP,
    min_frames: int = MIN_FRAMES,
    max_frames: int = 0,
    check_content: bool = True,
    leave_out: Path | None = None,
    without: frozenset[Path] = frozenset(),
    reader: InfoReader | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Find the bursts in folders and their subfolders.

    Frames belong together if they have the same camera, lens, size, CFA pattern, folder, file type, exposure
    and ISO, the pause between them is at most `gap` seconds, and they show the same scene.

    Args:
        folders: Folders to search.
        gap: Maximum pause within a burst: seconds from the end of a frame to the start of the next.
        min_frames: Minimum length of a burst; shorter sequences are "short".
        max_frames: Longer bursts are split into equal parts of at most this many frames; 0 = no limit.
        check_content: Decode and compare neighbouring frames, and split bursts where the scene changes.
        leave_out: Folder to exclude from the search, such as the output folder.
        without: Files to leave out, such as files that are still being copied.
        reader: Reader of metadata, which may have a cache; the default reader has none.
        progress: Called with (stage, done, total); the stage is "scan".

    Raises:
        InputError: A folder does not exist.
    """
    roots = roots_of(folders)
    reader = reader or InfoReader()
    found = scan(roots, leave_out.resolve() if leave_out else None)
    readable = read_infos([path for path in found.raws if path not in without], reader, progress)
    originals = skip_merged(readable.frames)
    distinct = skip_copies(originals.frames, reader)
    frames = distinct.frames
    unreadable = [*found.unreadable, *readable.skipped]
    comparison = _Comparison(reader)
    while True:
        lost = frozenset(skipped.path for skipped in unreadable)
        grouping = group_frames(
            frames,
            gap=gap,
            min_frames=min_frames,
            max_frames=max_frames,
            similarity=comparison.similarity if check_content else None,
            lost=lost,
        )
        if comparison.damaged.keys() <= lost:
            break
        # Group again without the frames that have readable metadata but unreadable pixels.
        unreadable += [SkippedFile(p, reason) for p, reason in comparison.damaged.items() if p not in lost]
        frames = tuple(frame for frame in frames if frame.path not in comparison.damaged)
    return Plan(
        roots=roots,
        groups=tuple(_found_burst(group, roots) for group in grouping.groups),
        ignored=(*found.ignored, *originals.skipped, *distinct.skipped),
        unreadable=tuple(unreadable),
        warnings=grouping.warnings,
    )


class _Comparison:
    """Comparison of the content of frames; it records the frames with unreadable pixels."""

    def __init__(self, reader: InfoReader) -> None:
        self._reader = reader
        self.damaged: dict[Path, str] = {}

    def similarity(self, a: RawInfo, b: RawInfo) -> float:
        """Return the similarity of two frames' content; 1 if one of them cannot be read."""
        thumbnails: list[NDArray[np.float32]] = []
        for frame in (a, b):
            if frame.path in self.damaged:
                continue
            try:
                thumbnails.append(self._reader.thumbnail(frame.path))
            except BurstfixError as error:  # InputError, or the decoder does not start
                self.damaged[frame.path] = str(error).removeprefix(f"{frame.path}: ")
        return thumbnail_similarity(*thumbnails) if len(thumbnails) == 2 else 1.0


def _found_burst(group: Group, roots: tuple[Path, ...]) -> FoundBurst:
    first = group.frames[0]
    return FoundBurst(
        kind=group.kind,
        # Choose the innermost of nested roots.
        root=max((root for root in roots if first.path.is_relative_to(root)), key=lambda r: len(r.parts)),
        paths=tuple(frame.path for frame in group.frames),
        camera=first.camera,
        time=first.time,
        exposure_time=first.exposure_time,
        iso=first.iso,
        height=first.height,
        width=first.width,
        cfa=first.cfa,
    )
