"""Group frames into bursts, brackets and single frames by their metadata; see docs/batch.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from burstfix.batch.raw_info import RawInfo
from burstfix.io.read.exposure import same_exposure
from burstfix.io.read.selection import natural_key

Kind = Literal["burst", "bracket", "short", "single"]

DEFAULT_GAP = 2.0  # seconds
MIN_FRAMES = 2

SAME_SCENE = 0.5  # minimum similarity of consecutive frames of one scene if their exposures are equal
SAME_SCENE_BRACKET = 0.2  # the same if exposures differ; lower, because clipping changes the picture
_CLOCK_UNIT = 900.0  # seconds; time zones and daylight saving time move a clock by multiples of this
_CLOCK_PAUSE = 2.0  # seconds by which a jump of the clock may exceed a multiple of `_CLOCK_UNIT`
_CLOCK_STEP = 1.0  # seconds; a smaller step back is a rounding error of times in whole seconds

Similarity = Callable[[RawInfo, RawInfo], float]

# Phones put the number of the frame before the name of the burst: 00001IMG_00001_BURST20240531210000.
_PHONE_BURST = re.compile(r"\d+(IMG_)(\d+)(_BURST\d+)")
# Phones mark the frame in their gallery: PXL_20240531_210000000.RAW-01.COVER, .RAW-02.ORIGINAL, _COVER.
_PHONE_MARK = re.compile(r"(?:\.MP)?[._](?:COVER|ORIGINAL)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that were taken together.

    Attributes:
        kind: "burst" (to be merged), "bracket" (the exposure changes from frame to frame), "short" (fewer
            than `min_frames` frames) or "single".
        frames: The frames in order.
    """

    kind: Kind
    frames: tuple[RawInfo, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Groups in order of their folder and first frame, and warnings for the user."""

    groups: tuple[Group, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _NumberedName:
    """The path of a numbered file, split into its number and the remaining parts."""

    series: tuple[Path, str, str, str]  # folder, name before and after the number, suffix
    number: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    """Frames sorted by time, or by name with a warning that states the reason."""

    frames: tuple[RawInfo, ...]
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rule that decides if one frame continues the burst of another.

    Attributes:
        gap: Maximum pause within a burst: seconds from the end of a frame to the start of the next.
        similarity: Function that compares the content of two frames; None = no comparison.
        lost: Numbered files that cannot be read.
        clock_step: Frame before which the clock was set forward, if there is exactly one.
    """

    gap: float
    similarity: Similarity | None
    lost: frozenset[_NumberedName]
    clock_step: Path | None = None

    def continues(self, a: RawInfo, b: RawInfo) -> bool:
        """Return True if `b` belongs to the burst that ends with `a`."""
        lost = _count_lost(a, b, self.lost)
        if a.time is None or b.time is None or _elapsed(a, b) < -_CLOCK_STEP:
            # The pause is unknown, so the numbers decide: frames of one burst have consecutive numbers.
            close = lost is not None
        else:
            # Assume that lost frames had the same exposure and pause as their neighbours.
            steps = 1 + (lost or 0)
            pause = _elapsed(a, b) - steps * (a.exposure_time or 0.0)
            close = b.path == self.clock_step or pause <= steps * self.gap
        if not close or self.similarity is None:
            return close
        return self.similarity(a, b) >= (SAME_SCENE if same_exposure(a, b) else SAME_SCENE_BRACKET)

    def is_clock_step(self, a: RawInfo, b: RawInfo) -> bool:
        """Return True if the clock may have been set forward between two frames of one burst."""
        lost = _count_lost(a, b, self.lost)
        if a.time is None or b.time is None or lost is None or not same_exposure(a, b):
            return False
        pause = _elapsed(a, b) - (1 + lost) * (a.exposure_time or 0.0)
        jump = _CLOCK_UNIT * round(pause / _CLOCK_UNIT)
        return jump > 0 and pause > self.gap and -_CLOCK_STEP <= pause - jump <= min(self.gap, _CLOCK_PAUSE)


def group_frames(
    frames: Sequence[RawInfo],
    *,
    gap: float,
    min_frames: int,
    max_frames: int,
    similarity: Similarity | None,
    lost: frozenset[Path] = frozenset(),
) -> Grouping:
    """Sort frames into groups.

    Args:
        frames: Frames of any cameras and folders, in any order.
        gap: Maximum pause within a burst: seconds from the end of a frame to the start of the next.
        min_frames: Minimum length of a burst.
        max_frames: Longer bursts are split into equal parts of at most this many frames; 0 = no limit.
        similarity: Function that compares the scenes of two frames (1 = the same); None = no comparison.
        lost: Files that cannot be read. A burst continues across them if the numbers in the names do.
    """
    lost_names = frozenset(filter(None, map(_numbered_name, lost)))
    warnings: list[str] = []
    groups: list[Group] = []
    streams: dict[tuple[object, ...], list[RawInfo]] = {}
    for frame in sorted(frames, key=_position):
        if frame.raw_count > 1:
            groups.append(Group("burst", (frame,)))
            warnings.append(f"{frame.path}: contains {frame.raw_count} raws, which are merged as one burst")
            continue
        streams.setdefault(_stream(frame), []).append(frame)
    for stream in streams.values():
        ordered = _sorted_frames(stream, lost_names)
        warnings += [ordered.warning] if ordered.warning else []
        rule = _Rule(gap, similarity, lost_names)
        steps = {b.path for a, b in pairwise(ordered.frames) if rule.is_clock_step(a, b)}
        # Several steps indicate regular pauses (for example, a picture every hour), not a clock that was set.
        if len(steps) == 1 and similarity is not None:
            rule = _Rule(gap, similarity, lost_names, next(iter(steps)))
        for burst in _split(ordered.frames, rule.continues):
            warnings += _clock_warnings(burst, rule.clock_step)
            groups += _by_exposure(burst, min_frames, max_frames)
    groups.sort(key=lambda group: _position(group.frames[0]))
    return Grouping(tuple(groups), tuple(warnings))


def _position(frame: RawInfo) -> tuple[str, object]:
    """Return a sort key: folder, then names in natural order, with the bursts of a phone kept together."""
    path = frame.path
    phone = _PHONE_BURST.fullmatch(_PHONE_MARK.sub("", path.stem))
    if phone:
        path = path.with_stem(f"{phone[1]}{phone[3]}_{phone[2]}")
    return str(path.parent), natural_key(path)


def _stream(frame: RawInfo) -> tuple[object, ...]:
    """Return the properties that never change within a burst.

    The suffix is included, because it distinguishes raws from their converted copies.
    """
    return (
        frame.path.parent,
        frame.path.suffix.lower(),
        *(frame.make, frame.model, frame.serial, frame.lens),
        *(frame.height, frame.width, frame.cfa),
    )


def _sorted_frames(stream: Sequence[RawInfo], lost: frozenset[_NumberedName]) -> _Sequence:
    """Sort by time, or by name if times are missing or the clock was set back."""
    source = f"{stream[0].path.parent}: {stream[0].camera}"
    named = tuple(stream)
    missing = [f for f in stream if f.time is None]
    if missing:
        few = ", ".join(f.path.name for f in missing[:3]) + (" ..." if len(missing) > 3 else "")
        return _Sequence(
            named,
            f"{source}: {len(missing)} of {len(stream)} frames have no capture time ({few}); sorted by name",
        )
    for a, b in pairwise(stream):
        if _count_lost(a, b, lost) is not None and _elapsed(a, b) < -_CLOCK_STEP:
            hours = -_elapsed(a, b) / 3600
            return _Sequence(
                named,
                f"{source}: the clock was set back by {hours:.1f} h between {a.path.name} and {b.path.name}; "
                "sorted by name",
            )
    # Sorting is stable: frames with equal times stay in the order of their names.
    return _Sequence(tuple(sorted(stream, key=lambda f: f.time)))  # type: ignore[arg-type,return-value]


def _clock_warnings(burst: Sequence[RawInfo], clock_step: Path | None) -> list[str]:
    return [
        f"{a.path.parent}: {a.camera}: the clock was set forward by {_elapsed(a, b) / 3600:.1f} h between "
        f"{a.path.name} and {b.path.name}, which show the same scene; treated as one burst"
        for a, b in pairwise(burst)
        if b.path == clock_step
    ]


def _by_exposure(sequence: Sequence[RawInfo], min_frames: int, max_frames: int) -> list[Group]:
    """Split by exposure; consecutive single frames with different exposures form a bracket."""
    runs: list[list[RawInfo]] = []
    for frame in sequence:
        if runs and same_exposure(runs[-1][0], frame):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    groups: list[Group] = []
    alone: list[RawInfo] = []
    for run in [*runs, []]:
        if len(run) == 1:
            alone += run
            continue
        if alone:
            groups.append(Group("bracket" if len(alone) > 1 else "single", tuple(alone)))
            alone = []
        kind: Kind = "burst" if len(run) >= min_frames else "short"
        groups += [Group(kind, tuple(part)) for part in _equal_parts(run, max_frames)]
    return groups


def _equal_parts(run: Sequence[RawInfo], max_frames: int) -> list[Sequence[RawInfo]]:
    if not run:
        return []
    count = -(-len(run) // max_frames) if max_frames else 1
    edges = [round(k * len(run) / count) for k in range(count + 1)]
    return [run[a:b] for a, b in pairwise(edges)]


def _elapsed(a: RawInfo, b: RawInfo) -> float:
    assert a.time is not None and b.time is not None
    return (b.time - a.time).total_seconds()


def _numbered_name(path: Path) -> _NumberedName | None:
    """Split the number of the frame from a file's name; None for a name without a number."""
    stem = _PHONE_MARK.sub("", path.stem)
    if phone := _PHONE_BURST.fullmatch(stem):
        before, number, after = phone.groups()
    elif parts := re.fullmatch(r"(.*?)(\d+)(\D*)", stem):
        before, number, after = parts.groups()
    else:
        return None
    return _NumberedName((path.parent, before, after, path.suffix.lower()), int(number))


def _count_lost(a: RawInfo, b: RawInfo, lost: frozenset[_NumberedName]) -> int | None:
    """Count the unreadable files between two numbered files.

    Returns:
        0 for consecutive numbers (IMG_0009 and IMG_0010). None if a number between them belongs to no
        unreadable file.
    """
    one, two = _numbered_name(a.path), _numbered_name(b.path)
    if one is None or two is None or one.series != two.series or two.number <= one.number:
        return None
    count = two.number - one.number - 1
    if count > len(lost):
        return None
    between = range(one.number + 1, two.number)
    return count if all(_NumberedName(one.series, number) in lost for number in between) else None


def _split(frames: Sequence[RawInfo], continues: Callable[[RawInfo, RawInfo], bool]) -> list[list[RawInfo]]:
    sequences: list[list[RawInfo]] = []
    for frame in frames:
        if sequences and continues(sequences[-1][-1], frame):
            sequences[-1].append(frame)
        else:
            sequences.append([frame])
    return sequences
