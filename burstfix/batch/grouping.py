"""Which raws belong together: bursts, brackets, single frames. Pure functions on facts; see docs/batch.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from burstfix.batch.facts import FileFacts
from burstfix.io.read.frames import natural_key, same_exposure

Kind = Literal["burst", "bracket", "short", "single"]

SAME_SCENE = 0.5  # likeness of neighbours with equal exposure, under which the scene has changed
SAME_SCENE_BRACKET = 0.2  # with other exposure: clipping makes the pictures differ
_CLOCK_UNIT = 900.0  # clocks set forward (summer time, time zones) jump by whole quarters of an hour
_CLOCK_PAUSE = 2.0  # seconds beyond that, within which the jump is no pause
_CLOCK_STEP = 1.0  # seconds that a clock may seem to go back by: whole-second stamps beside exact ones

Likeness = Callable[[FileFacts, FileFacts], float]
_Count = tuple[Path, str, str, str, int]  # folder, name before and after the number, suffix, number


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that were taken as one.

    Attributes:
        kind: "burst" (to be merged), "bracket" (the exposure changes from frame to frame), "short" (fewer
            frames than wanted) or "single".
        frames: In order.
    """

    kind: Kind
    frames: tuple[FileFacts, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Groups in order of their folder and first frame, and sentences for people."""

    groups: tuple[Group, ...]
    warnings: tuple[str, ...]


def group_frames(
    frames: Sequence[FileFacts],
    *,
    gap: float,
    min_frames: int,
    max_frames: int,
    likeness: Likeness | None,
    lost: frozenset[Path] = frozenset(),
) -> Grouping:
    """Sorts frames into groups.

    Args:
        frames: Any number, of any cameras and folders.
        gap: Seconds between the end of one frame and the start of the next, beyond which a burst ends.
        min_frames: A burst has at least so many frames.
        max_frames: A longer one is cut into equal parts of at most so many; 0 = no limit.
        likeness: Tells whether two frames show the same scene (1 = yes); None does not look.
        lost: Files that cannot be read; where names count on through them, they part no burst.
    """
    gone = frozenset(filter(None, map(_counted, lost)))
    warnings: list[str] = []
    groups: list[Group] = []
    streams: dict[tuple[object, ...], list[FileFacts]] = {}
    for frame in sorted(frames, key=lambda f: (str(f.path.parent), natural_key(f.path))):
        streams.setdefault(_stream(frame), []).append(frame)
    for stream in streams.values():
        ordered = _in_order(stream, warnings, gone)
        steps = {b.path for a, b in pairwise(ordered) if _set_forward(a, b, gap, gone)}
        # A clock is set once; a camera that fires every hour does this each time.
        step = next(iter(steps)) if len(steps) == 1 and likeness is not None else None

        def goes_on(a: FileFacts, b: FileFacts, step: Path | None = step) -> bool:
            return _goes_on(a, b, gap, likeness, gone, b.path == step)

        for sequence in _split(ordered, goes_on):
            _warn_of_step(sequence, step, warnings)
            groups += _by_exposure(sequence, min_frames, max_frames)
    groups.sort(key=lambda g: (str(g.frames[0].path.parent), natural_key(g.frames[0].path)))
    return Grouping(tuple(groups), tuple(warnings))


def _stream(frame: FileFacts) -> tuple[object, ...]:
    """What never changes within a burst; a raw and its converted copy are one photograph twice."""
    return (
        frame.path.parent,
        frame.path.suffix.lower(),
        *(frame.make, frame.model, frame.serial, frame.lens),
        *(frame.height, frame.width, frame.cfa),
    )


def _in_order(stream: list[FileFacts], warnings: list[str], gone: frozenset[_Count]) -> list[FileFacts]:
    """By time; by name where times are missing or the clock was set back (`stream` is in name order)."""
    where = f"{stream[0].path.parent}: {stream[0].camera}"
    missing = [f for f in stream if f.time is None]
    if missing:
        few = ", ".join(f.path.name for f in missing[:3]) + (" ..." if len(missing) > 3 else "")
        warnings.append(
            f"{where}: {len(missing)} of {len(stream)} frames have no time ({few}); sorted by name"
        )
        return stream
    for a, b in pairwise(stream):
        if _lost_between(a, b, gone) is not None and _seconds(a, b) < -_CLOCK_STEP:
            hours = -_seconds(a, b) / 3600
            warnings.append(
                f"{where}: the clock goes back by {hours:.1f} h between {a.path.name} and {b.path.name}; "
                "sorted by name"
            )
            return stream
    # Sorting is stable, so equal times stay in name order.
    return sorted(stream, key=lambda f: f.time)  # type: ignore[arg-type,return-value]


def _set_forward(a: FileFacts, b: FileFacts, gap: float, gone: frozenset[_Count]) -> bool:
    """Whether the clock may have been set forward between two frames, which but for that are neighbours."""
    lost = _lost_between(a, b, gone)
    if a.time is None or b.time is None or lost is None or not same_exposure(a, b):
        return False
    pause = _seconds(a, b) - (1 + lost) * (a.exposure_time or 0.0)
    jump = _CLOCK_UNIT * round(pause / _CLOCK_UNIT)
    return jump > 0 and pause > gap and -_CLOCK_STEP <= pause - jump <= min(gap, _CLOCK_PAUSE)


def _warn_of_step(sequence: Sequence[FileFacts], step: Path | None, warnings: list[str]) -> None:
    for a, b in pairwise(sequence):
        if b.path == step:
            hours = _seconds(a, b) / 3600
            warnings.append(
                f"{a.path.parent}: {a.camera}: the clock goes forward by {hours:.1f} h between "
                f"{a.path.name} and {b.path.name}, which show the same; taken as one burst"
            )


def _goes_on(
    a: FileFacts,
    b: FileFacts,
    gap: float,
    likeness: Likeness | None,
    gone: frozenset[_Count],
    is_clock_step: bool,
) -> bool:
    """Whether b belongs to the sequence that a ends."""
    lost = _lost_between(a, b, gone)
    if a.time is None or b.time is None or _seconds(a, b) < -_CLOCK_STEP:
        # No telling how long; cameras number what they take in one go.
        close = lost is not None
    else:
        # A lost frame was exposed like its neighbours, and had its own pause.
        steps = 1 + (lost or 0)
        close = is_clock_step or _seconds(a, b) - steps * (a.exposure_time or 0.0) <= steps * gap
    if not close or likeness is None:
        return close
    return likeness(a, b) >= (SAME_SCENE if same_exposure(a, b) else SAME_SCENE_BRACKET)


def _by_exposure(sequence: list[FileFacts], min_frames: int, max_frames: int) -> list[Group]:
    """Bursts of equal exposure; frames that stand alone between others of other exposure are a bracket."""
    runs: list[list[FileFacts]] = []
    for frame in sequence:
        if runs and same_exposure(runs[-1][0], frame):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    groups: list[Group] = []
    alone: list[FileFacts] = []
    for run in [*runs, []]:
        if len(run) == 1:
            alone += run
            continue
        if alone:
            groups.append(Group("bracket" if len(alone) > 1 else "single", tuple(alone)))
            alone = []
        kind: Kind = "burst" if len(run) >= min_frames else "short"
        groups += [Group(kind, tuple(part)) for part in _parts(run, max_frames)]
    return groups


def _parts(run: list[FileFacts], max_frames: int) -> list[list[FileFacts]]:
    if not run:
        return []
    count = -(-len(run) // max_frames) if max_frames else 1
    edges = [round(k * len(run) / count) for k in range(count + 1)]
    return [run[a:b] for a, b in pairwise(edges)]


def _seconds(a: FileFacts, b: FileFacts) -> float:
    assert a.time is not None and b.time is not None
    return (b.time - a.time).total_seconds()


def _counted(path: Path) -> _Count | None:
    """Folder and name of a numbered file without its number, and the number."""
    parts = re.fullmatch(r"(.*?)(\d+)(\D*)", path.stem)
    return (path.parent, parts[1], parts[3], path.suffix.lower(), int(parts[2])) if parts else None


def _lost_between(a: FileFacts, b: FileFacts, gone: frozenset[_Count]) -> int | None:
    """How many lost frames lie between two whose names count on (IMG_0009, IMG_0010: 0), else None."""
    one, two = _counted(a.path), _counted(b.path)
    if one is None or two is None or one[:-1] != two[:-1] or two[-1] <= one[-1]:
        return None
    between = range(one[-1] + 1, two[-1])
    if len(between) > len(gone) or any((*one[:-1], number) not in gone for number in between):
        return None
    return len(between)


def _split(
    frames: Sequence[FileFacts], goes_on: Callable[[FileFacts, FileFacts], bool]
) -> list[list[FileFacts]]:
    sequences: list[list[FileFacts]] = []
    for frame in frames:
        if sequences and goes_on(sequences[-1][-1], frame):
            sequences[-1].append(frame)
        else:
            sequences.append([frame])
    return sequences
