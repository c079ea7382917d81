"""Read raws, and check that they form one burst."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from burstfix.errors import BurstError, InputError
from burstfix.io.read.exposure import agree, exposure, iso_level
from burstfix.io.read.reader import read_frame
from burstfix.io.read.selection import natural_key, select_raws
from burstfix.scratch import Scratch
from burstfix.types import DroppedFrame, Frame, FrameMetadata, OpcodeMode, Progress, camera_name

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ReadFrames:
    """The result of `read_frames`.

    Attributes:
        frames: Frames of one burst, sorted by time, or by name if a frame has no time.
        dropped: Frames that were left out, with the reason.
        warnings: Sentences for the user, such as which paths were skipped.
    """

    frames: tuple[Frame, ...]
    dropped: tuple[DroppedFrame, ...] = ()
    warnings: tuple[str, ...] = ()


def read_frames(
    paths: Iterable[Path | str],
    *,
    skip_bad: bool = False,
    opcodes: OpcodeMode = "apply",
    progress: Progress | None = None,
) -> ReadFrames:
    """Read raws and check that they form one burst: same size, pattern, camera and exposure.

    Duplicate paths, `._*` files, folders and files with suffixes of other types are skipped with a warning.
    If a file contains several raws (pixel shift), all of them are frames of the burst. Mosaics beyond the
    first 16 MB are kept in temporary files.

    Args:
        paths: Raw files, in any order.
        skip_bad: Leave out frames that cannot be read or that differ from the majority, instead of raising.
        opcodes: "apply" or "skip"; see `read_frame`.
        progress: Called with ("decode", files done, total number of files).

    Raises:
        InputError: A file cannot be read, or no frame remains.
        BurstError: A frame differs from the others; the message names it and the property.
    """
    selection = select_raws(paths)
    wanted, warnings = selection.paths, list(selection.warnings)
    frames: list[Frame] = []
    dropped: list[DroppedFrame] = []
    scratch = Scratch()
    for done, path in enumerate(wanted):
        if progress is not None:
            progress("decode", done, len(wanted))
        try:
            frames += [
                replace(frame, mosaic=scratch.keep(frame.mosaic)) for frame in _all_raws(path, opcodes)
            ]
        except InputError as error:
            if not skip_bad:
                raise
            dropped.append(DroppedFrame(path, str(error).removeprefix(f"{path}: ")))
    if progress is not None:
        progress("decode", len(wanted), len(wanted))
    kept, different = check_burst(frames, skip_bad=skip_bad)
    dropped += different
    warnings += [f"{frame.path}: left out, {frame.reason}" for frame in dropped]
    for warning in warnings:
        _log.warning("%s", warning)
    if not kept:
        raise InputError("no frame could be read; " + (warnings[0] if warnings else "give raw files"))
    return ReadFrames(tuple(sort_frames(kept)), tuple(dropped), tuple(warnings))


def _all_raws(path: Path, opcodes: OpcodeMode) -> Iterator[Frame]:
    """Yield all raws of one file."""
    first = read_frame(path, opcodes=opcodes)
    yield first
    for index in range(1, first.metadata.raw_count):
        yield read_frame(path, opcodes=opcodes, raw_index=index)


def sort_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Sort by capture time and then by name in natural order; by name only if a frame has no time."""
    named = sorted(frames, key=lambda f: (natural_key(f.metadata.path), f.metadata.raw_index))
    times = [f.metadata.time for f in named]
    if any(time is None for time in times):
        return named
    if any(time.tzinfo is None for time in times if time):
        # Times with and without a time zone cannot be compared, so compare local times.
        times = [time.replace(tzinfo=None) for time in times if time]
    order = sorted(range(len(named)), key=lambda k: times[k])  # type: ignore[arg-type,return-value]
    return [named[k] for k in order]


def check_burst(frames: Sequence[Frame], *, skip_bad: bool) -> tuple[list[Frame], list[DroppedFrame]]:
    """Check that frames belong together: compare each frame with the majority.

    Args:
        frames: Any number of frames.
        skip_bad: Drop frames that differ, instead of raising.

    Returns:
        The kept frames and the dropped frames.

    Raises:
        BurstError: A frame differs, and `skip_bad` is False.
    """
    kept = list(frames)
    dropped: list[DroppedFrame] = []
    for name, value, show in _PROPERTIES:
        if not kept:
            break
        values = [value(frame.metadata) for frame in kept]
        typical = Counter(values).most_common(1)[0][0]
        shown = next(show(f.metadata) for f, v in zip(kept, values, strict=True) if v == typical)
        kept, different = _split(kept, [v == typical for v in values])
        dropped += _reject(different, name, show, shown, skip_bad)
    for name, level, show in _LEVELS:
        kept, different = _check_level(kept, name, level, show, skip_bad)
        dropped += different
    return kept, dropped


def _check_level(
    frames: list[Frame],
    name: str,
    level: Callable[[FrameMetadata], float | None],
    show: Callable[[FrameMetadata], str],
    skip_bad: bool,
) -> tuple[list[Frame], list[DroppedFrame]]:
    """Compare a property in EV with the value that most frames have. Unknown values pass."""
    levels = [level(f.metadata) for f in frames]
    known = [x for x in levels if x is not None]
    if not known:
        return frames, []
    # Choose the value with the most similar values, or the first one if there are several.
    typical = max(known, key=lambda v: sum(agree(v, w) for w in known))
    others = show(frames[levels.index(typical)].metadata)
    kept, different = _split(frames, [agree(x, typical) for x in levels])
    return kept, _reject(different, name, show, others, skip_bad)


def _split(frames: Sequence[Frame], fits: Sequence[bool]) -> tuple[list[Frame], list[Frame]]:
    kept = [f for f, fit in zip(frames, fits, strict=True) if fit]
    return kept, [f for f, fit in zip(frames, fits, strict=True) if not fit]


def _reject(
    different: Sequence[Frame], name: str, show: Callable[[FrameMetadata], str], others: str, skip_bad: bool
) -> list[DroppedFrame]:
    reasons = [
        DroppedFrame(f.metadata.path, f"its {name} is {show(f.metadata)}, but the others have {others}")
        for f in different
    ]
    if reasons and not skip_bad:
        raise BurstError(
            f"{reasons[0].path}: does not belong to this burst: {reasons[0].reason}; "
            "leave it out, or skip such frames with --skip-bad (skip_bad in Python)"
        )
    return reasons


def _show_exposure(metadata: FrameMetadata) -> str:
    time = metadata.exposure_time
    parts = [] if time is None else [f"1/{1 / time:.0f} s" if time < 0.5 else f"{time:g} s"]
    parts += [] if metadata.aperture is None else [f"f/{metadata.aperture:g}"]
    return ", ".join(parts)


_PROPERTIES: tuple[tuple[str, Callable[[FrameMetadata], Hashable], Callable[[FrameMetadata], str]], ...] = (
    ("camera", lambda m: (m.make, m.model), lambda m: camera_name(m.make, m.model)),
    ("size", lambda m: (m.height, m.width), lambda m: f"{m.width}x{m.height}"),
    ("CFA pattern", lambda m: m.cfa, lambda m: m.cfa),
)

_LEVELS: tuple[tuple[str, Callable[[FrameMetadata], float | None], Callable[[FrameMetadata], str]], ...] = (
    ("ISO", iso_level, lambda m: f"{m.iso:g}"),
    ("exposure", exposure, _show_exposure),
)
