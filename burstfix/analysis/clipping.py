"""Find the actual clipping level of a sensor, for files that state a higher white level.

Some raws state a white level that no sample reaches (RawTherapee issues 1679, 5318 and 7555; darktable issue
6548). Clipped areas then seem to be unclipped. As all their colours have the same value, white balance makes
them magenta.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import CFA_PATTERNS
from burstfix.types import Frame, NoiseProfile

_HIGHEST = 0.98  # a peak closer to white makes no visible difference
_LOWEST = 0.5  # no sensor clips below this share of its white level
_PEAK_WIDTH = 0.003  # half width of a peak, as a share of the range
_GAP = 0.05  # width of the nearly empty range below the peak; without clipping, noise would fill it
_MIN_SAMPLES, _MIN_SHARE = 50, 2e-4  # minimum of samples in the peak: number, and share of a colour
_FRAMES = 3  # number of frames that are examined


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RealWhite:
    """Frames with their actual white level, and a warning if the file states another one."""

    frames: tuple[Frame, ...]
    warnings: tuple[str, ...] = ()


def with_real_white(frames: Sequence[Frame]) -> RealWhite:
    """Replace the white level of a burst's frames where the sensor clips below it."""
    white = clipping_point(frames)
    if white is None:
        return RealWhite(tuple(frames))
    first = frames[0].metadata
    warning = (
        f"{first.path}: the white level is {first.levels.white:g}, but all colours clip at {white:g}, "
        "which is used instead"
    )
    log.warning("%s", warning)
    return RealWhite(tuple(with_white(frame, white) for frame in frames), (warning,))


def clipping_point(frames: Sequence[Frame]) -> float | None:
    """Find the DN below the file's white level at which the histograms of all colours have a peak.

    Args:
        frames: Frames of one burst.

    Returns:
        The DN, or None if samples reach the white level or there is no common peak.
    """
    levels = frames[0].metadata.levels
    black, white = float(levels.black.mean()), float(levels.white)
    picked = sorted({0, len(frames) // 2, len(frames) - 1})[:_FRAMES]
    colours = [_planes(frames[k]) for k in picked]
    points = []
    for k in range(len(colours[0])):
        point = _find_peak(np.concatenate([planes[k].ravel() for planes in colours]), black, white)
        if point is None:
            return None
        points.append(point)
    if max(points) - min(points) > _PEAK_WIDTH * (white - black):
        return None
    return min(points)


def with_white(frame: Frame, white: float) -> Frame:
    """Replace a frame's white level, and scale its noise profile to it."""
    levels = frame.metadata.levels
    black = float(levels.black.mean())
    gain = (levels.white - black) / (white - black)
    noise = frame.metadata.noise
    if noise is not None:
        # Scaling x by a factor scales its variance by the square of the factor.
        s, o = (np.array(values) for values in (noise.shot_gain, noise.read_variance))
        noise = NoiseProfile(_four(s * gain), _four(o * gain**2), noise.source)
    return replace(frame, metadata=replace(frame.metadata, levels=replace(levels, white=white), noise=noise))


def _find_peak(samples: NDArray[np.uint16], black: float, white: float) -> float | None:
    """Find the lower end of a peak with almost no samples above it and few just below it."""
    span = white - black
    high = samples[samples > black + _LOWEST * span]
    if high.size < _MIN_SAMPLES:
        return None
    values, counts = np.unique(high, return_counts=True)
    point = float(values[np.argmax(counts)])
    if point > black + _HIGHEST * span:
        return None
    in_peak = np.abs(values - point) <= _PEAK_WIDTH * span
    count = int(counts[in_peak].sum())
    above = int(counts[values > point + _PEAK_WIDTH * span].sum())
    below = int(counts[(values < point - _PEAK_WIDTH * span) & (values > point - _GAP * span)].sum())
    enough = count >= max(_MIN_SAMPLES, _MIN_SHARE * samples.size)
    # Hot pixels may have higher values.
    return float(values[in_peak][0]) if enough and above < count / 50 and below < count / 5 else None


def _planes(frame: Frame) -> list[NDArray[np.uint16]]:
    """Return the samples of each colour; monochrome frames have one plane."""
    mosaic, cfa = frame.mosaic, frame.metadata.cfa
    if mosaic.ndim == 3:
        return [mosaic[..., k] for k in range(mosaic.shape[2])]
    if cfa not in CFA_PATTERNS:
        return [mosaic]
    return [mosaic[y::2, x::2] for y in (0, 1) for x in (0, 1)]


def _four(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]), float(values[3]))
