"""Many raws in, checked to be one burst."""

from __future__ import annotations

import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from burstfix.errors import BurstError, InputError
from burstfix.io.read.copies import find_copies
from burstfix.io.read.reader import read_frame
from burstfix.types import DroppedFrame, Frame, FrameMetadata, OpcodeMode, Progress, camera_name

_log = logging.getLogger(__name__)

# A tenth of a stop is far below what one sees, and above what cameras round their tags to.
_EXPOSURE_TOLERANCE_EV = 0.1

# What lies beside raws in a folder and is none: pictures, sidecars, films, lists.
_NOT_RAW = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jxl",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".heic",
        ".heif",
        ".avif",
        ".tif",
        ".tiff",
    }
    | {
        ".xmp",
        ".pp3",
        ".dop",
        ".cos",
        ".on1",
        ".json",
        ".txt",
        ".md",
        ".csv",
        ".tsv",
        ".toml",
        ".xml",
        ".html",
    }
    | {".pdf", ".log", ".ini", ".db", ".thm", ".lrv", ".mp4", ".mov", ".avi", ".mkv", ".wav", ".mp3", ".zip"}
    | {".tar", ".gz"}
)


@dataclass(frozen=True, slots=True, eq=False)
class ReadFrames:
    """What `read_frames` returns.

    Attributes:
        frames: Of one burst, in time order (or name order, where a frame has no time).
        dropped: Frames left out, with the reason.
        warnings: Sentences for people, such as which paths were skipped.
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
    """Reads raws and checks that they are one burst: same size, pattern, camera and exposure.

    Duplicate paths, `._*` files, folders and files that are no raws by their name are skipped with a warning.

    Args:
        paths: Raw files, in any order.
        skip_bad: Leave out frames that cannot be read or that differ from the most, instead of raising.
        opcodes: As `read_frame` takes it.
        progress: Called with ("decode", frames done, frames in all).

    Raises:
        InputError: A file cannot be read, or no frame is left.
        BurstError: A frame differs from the others; the message names it and the property.
    """
    selection = select_raws(paths)
    wanted, warnings = selection.paths, list(selection.warnings)
    frames: list[Frame] = []
    dropped: list[DroppedFrame] = []
    for done, path in enumerate(wanted):
        if progress is not None:
            progress("decode", done, len(wanted))
        try:
            frames.append(read_frame(path, opcodes=opcodes))
        except InputError as error:
            if not skip_bad:
                raise
            dropped.append(DroppedFrame(path, str(error).removeprefix(f"{path}: ")))
    if progress is not None:
        progress("decode", len(wanted), len(wanted))
    kept, odd = check_burst(frames, skip_bad=skip_bad)
    dropped += odd
    for frame in dropped:
        warnings.append(f"{frame.path}: left out, {frame.reason}")
    for warning in warnings:
        _log.warning("%s", warning)
    if not kept:
        raise InputError("no frame could be read; " + (warnings[0] if warnings else "give raw files"))
    return ReadFrames(tuple(sort_frames(kept)), tuple(dropped), tuple(warnings))


@dataclass(frozen=True, slots=True)
class Selection:
    """Paths worth opening, and a warning for each path that is skipped."""

    paths: tuple[Path, ...]
    warnings: tuple[str, ...]


def select_raws(paths: Iterable[Path | str]) -> Selection:
    """Selects the paths worth opening, each file once, in natural order of their names.

    Skipped are files that are no raws by their name, folders, paths given twice, and copies: files with the
    same bytes as another. A copy would count the same noise twice.

    Args:
        paths: As given on the command line.

    Raises:
        InputError: A path does not exist, or none is left.
    """
    warnings: list[str] = []
    selected: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not os.path.lexists(path):
            raise InputError(f"{path}: there is no such file")
        if path.name.startswith("._"):
            warnings.append(f"{path}: skipped, it is macOS metadata of another file")
        elif path.is_dir():
            warnings.append(f"{path}: skipped, it is a folder")
        elif path.suffix.lower() in _NOT_RAW:
            warnings.append(f"{path}: skipped, it is not a raw file")
        elif path.resolve() in selected:
            warnings.append(f"{path}: skipped, it was given twice")
        else:
            selected[path.resolve()] = path
    if not selected:
        raise InputError("no raw files given" + (f" ({'; '.join(warnings)})" if warnings else ""))
    ordered = sorted(selected.values(), key=natural_key)
    copies = find_copies(path for path in ordered if path.is_file())
    warnings += [f"{path}: skipped, it is a copy of {original}" for path, original in copies.items()]
    return Selection(tuple(path for path in ordered if path not in copies), tuple(warnings))


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts names as people do: IMG_2 before IMG_10."""
    parts = re.split(r"(\d+)", path.stem.casefold())
    numbers = [(0, int(p), p) if p.isascii() and p.isdigit() else (1, 0, p) for p in parts if p]
    return numbers, str(path)


def sort_frames(frames: Sequence[Frame]) -> list[Frame]:
    """By capture time where every frame has one, else (and among equals) by natural order of names."""
    named = sorted(frames, key=lambda f: natural_key(f.metadata.path))
    times = [f.metadata.time for f in named]
    if any(time is None for time in times):
        return named
    if any(time.tzinfo is None for time in times if time):
        # A naive and an aware time cannot be compared; the clock's reading can.
        times = [time.replace(tzinfo=None) for time in times if time]
    order = sorted(range(len(named)), key=lambda k: times[k])  # type: ignore[arg-type,return-value]
    return [named[k] for k in order]


def check_burst(frames: Sequence[Frame], *, skip_bad: bool) -> tuple[list[Frame], list[DroppedFrame]]:
    """Checks that frames belong together, each against what most of them have.

    Args:
        frames: Any number.
        skip_bad: Drop the odd ones instead of raising.

    Returns:
        The frames kept, and those dropped.

    Raises:
        BurstError: A frame differs, and `skip_bad` is False.
    """
    kept = list(frames)
    dropped: list[DroppedFrame] = []
    for name, value, show in _PROPERTIES:
        if not kept:
            break
        values = [value(frame.metadata) for frame in kept]
        usual = Counter(values).most_common(1)[0][0]
        shown = next(show(f.metadata) for f, v in zip(kept, values, strict=True) if v == usual)
        kept, odd = _split(kept, [v == usual for v in values])
        dropped += _reject(odd, name, show, shown, skip_bad)
    for name, level, show in _LEVELS:
        kept, odd = _check_level(kept, name, level, show, skip_bad)
        dropped += odd
    return kept, dropped


def _check_level(
    frames: list[Frame],
    name: str,
    level: Callable[[FrameMetadata], float | None],
    show: Callable[[FrameMetadata], str],
    skip_bad: bool,
) -> tuple[list[Frame], list[DroppedFrame]]:
    """Checks a property in EV against the value most frames are close to; frames that do not say it pass."""
    levels = [level(f.metadata) for f in frames]
    known = [x for x in levels if x is not None]
    if not known:
        return frames, []
    # The value that most others lie close to; the earliest of equals.
    usual = max(known, key=lambda v: sum(_agree(v, w) for w in known))
    others = show(frames[levels.index(usual)].metadata)
    kept, odd = _split(frames, [_agree(x, usual) for x in levels])
    return kept, _reject(odd, name, show, others, skip_bad)


def _split(frames: Sequence[Frame], fits: Sequence[bool]) -> tuple[list[Frame], list[Frame]]:
    kept = [f for f, fit in zip(frames, fits, strict=True) if fit]
    return kept, [f for f, fit in zip(frames, fits, strict=True) if not fit]


def _reject(
    odd: Sequence[Frame], name: str, show: Callable[[FrameMetadata], str], others: str, skip_bad: bool
) -> list[DroppedFrame]:
    reasons = [
        DroppedFrame(f.metadata.path, f"its {name} is {show(f.metadata)}, the others have {others}")
        for f in odd
    ]
    if reasons and not skip_bad:
        raise BurstError(
            f"{reasons[0].path}: does not belong to this burst: {reasons[0].reason}; "
            "leave it out, or let odd frames be skipped"
        )
    return reasons


class Exposed(Protocol):
    """A record of a frame, as far as its exposure goes: `FrameMetadata`, and `batch.raw_info.RawInfo`."""

    @property
    def exposure_time(self) -> float | None:
        """In seconds."""
        ...

    @property
    def aperture(self) -> float | None:
        """As f-number."""
        ...

    @property
    def iso(self) -> float | None:
        """ISO speed."""
        ...


def same_exposure(a: Exposed, b: Exposed) -> bool:
    """Whether time and aperture, and ISO, agree to a tenth of a stop; what is unknown agrees."""
    return all(_agree(level(a), level(b)) for level in (exposure, _iso_level))


def _agree(a: float | None, b: float | None) -> bool:
    return a is None or b is None or abs(a - b) <= _EXPOSURE_TOLERANCE_EV


def exposure(frame: Exposed) -> float | None:
    """Light on the sensor in EV: log2 of time / f-number squared; None without a time.

    The aperture counts only where known: frames of one camera either all say it or none does.
    """
    if frame.exposure_time is None:
        return None
    return math.log2(frame.exposure_time / (frame.aperture or 1.0) ** 2)


def _iso_level(frame: Exposed) -> float | None:
    # On its own, not traded against time: frames of another gain have another noise profile.
    return None if frame.iso is None else math.log2(frame.iso)


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
    ("ISO", _iso_level, lambda m: f"{m.iso:g}"),
    ("exposure", exposure, _show_exposure),
)
