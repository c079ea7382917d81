"""What a batch would do: the bursts of some folders, and everything else that lies there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from burstfix.batch import facts
from burstfix.batch.facts import FactReader, FileFacts
from burstfix.batch.grouping import Group, Kind, group_frames
from burstfix.batch.scan import Aside, drop_copies, drop_results, read_facts, roots_of, scan
from burstfix.errors import InputError

Progress = Callable[[str, int, int], None]

DEFAULT_GAP = 2.0  # seconds
MIN_FRAMES = 2


@dataclass(frozen=True, slots=True)
class FoundBurst:
    """Frames that were taken as one.

    Attributes:
        kind: "burst" (merged), "single" (merged if asked for), "bracket" or "short" (reported only).
        root: The folder that was searched, absolute.
        paths: The frames in order, absolute.
        camera: Make and model.
        time: Of the first frame, by the camera's clock; None where unknown.
        exposure_time: Of the first frame in seconds; None where unknown.
        iso: Of the first frame; None where unknown.
        height, width: Of the mosaic in sensor pixels.
        cfa: As in `FrameMetadata`.
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
        """The folder of the frames, relative to `root` ("." for the root itself)."""
        return self.paths[0].parent.relative_to(self.root)

    @property
    def name(self) -> str:
        """How people call it: its folder and first frame."""
        return (self.folder / self.paths[0].name).as_posix()

    @property
    def key(self) -> str:
        """What tells it from all others, whatever becomes of its later frames.

        The first file and its time: cameras begin to count anew, and cards are filled anew.
        """
        time = f"@{self.time.isoformat()}" if self.time else ""
        return self.paths[0].as_posix() + time

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "folder": str(self.paths[0].parent),
            "frames": [path.name for path in self.paths],
            "camera": self.camera,
            "time": self.time.isoformat() if self.time else None,
            "exposure_time": self.exposure_time,
            "iso": self.iso,
            "height": self.height,
            "width": self.width,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What lies in some folders.

    Attributes:
        roots: The folders searched.
        groups: Bursts, singles, brackets and short sequences, in order of folder and name.
        ignored: Files that are no raws, copies, and the like.
        unreadable: Raws that cannot be read.
        warnings: Sentences for people, such as clocks that went back.
    """

    roots: tuple[Path, ...]
    groups: tuple[FoundBurst, ...]
    ignored: tuple[Aside, ...] = ()
    unreadable: tuple[Aside, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self, outputs: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As JSON holds it.

        Args:
            outputs: Path of each picture, by the burst's key; groups without one are not merged.
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
        """The groups of these kinds."""
        return tuple(group for group in self.groups if group.kind in kinds)

    @property
    def bursts(self) -> tuple[FoundBurst, ...]:
        """What a merge makes one picture of."""
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
    reader: FactReader | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Finds the bursts in folders and the folders in them.

    Frames belong together when camera, lens, size, CFA pattern, folder, file type, exposure and ISO agree, no
    more than `gap` seconds lie between them, and they show the same scene.

    Args:
        folders: Where to look.
        gap: Seconds between the end of one frame and the start of the next that end a burst.
        min_frames: A burst has at least so many frames; shorter sequences are "short".
        max_frames: Longer bursts are cut into equal parts of at most so many frames; 0 = no limit.
        check_content: Look at neighbouring frames (they are decoded) and part bursts where the scene changes.
        leave_out: A folder that is not entered, such as the output's.
        without: Files that are not looked at, such as those still being copied.
        reader: Remembers what was read from files; by default nothing is remembered.
        progress: Called with (stage, done, total), the stage "scan".

    Raises:
        InputError: A folder does not exist.
    """
    roots = roots_of(folders)
    reader = reader or FactReader()
    found = scan(roots, leave_out.resolve() if leave_out else None)
    unreadable = list(found.unreadable)
    raws = [path for path in found.raws if path not in without]
    frames = read_facts(raws, reader, unreadable, progress)
    frames = drop_results(frames, found.ignored)
    frames = drop_copies(frames, reader, found.ignored)
    look = _Look(reader)
    likeness = look.likeness if check_content else None
    while True:
        lost = frozenset(aside.path for aside in unreadable)
        grouping = group_frames(
            frames, gap=gap, min_frames=min_frames, max_frames=max_frames, likeness=likeness, lost=lost
        )
        if look.damaged.keys() <= lost:
            break
        # Their metadata are readable, their pixels are not: group again without them.
        unreadable += [Aside(path, reason) for path, reason in look.damaged.items() if path not in lost]
        frames = [frame for frame in frames if frame.path not in look.damaged]
    return Plan(
        roots=roots,
        groups=tuple(_found(group, roots) for group in grouping.groups),
        ignored=tuple(found.ignored),
        unreadable=tuple(unreadable),
        warnings=grouping.warnings,
    )


class _Look:
    """Compares the content of frames; remembers those whose pixels cannot be read."""

    def __init__(self, reader: FactReader) -> None:
        self._reader = reader
        self.damaged: dict[Path, str] = {}

    def likeness(self, a: FileFacts, b: FileFacts) -> float:
        """Of two files' content; 1 where one cannot be read."""
        thumbs = []
        for frame in (a, b):
            if frame.path in self.damaged:
                continue
            try:
                thumbs.append(self._reader.thumb(frame.path))
            except InputError as error:
                self.damaged[frame.path] = str(error).removeprefix(f"{frame.path}: ")
        return facts.likeness(*thumbs) if len(thumbs) == 2 else 1.0


def _found(group: Group, roots: tuple[Path, ...]) -> FoundBurst:
    first = group.frames[0]
    return FoundBurst(
        kind=group.kind,
        # The innermost of nested roots, whatever order they were given in.
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
