"""Noise measured from pictures: the fit of variance = shot_gain * x + read_variance to a burst or a frame.

Scene and noise are told apart by frequency. In squares of 2x2 packed pixels the diagonal detail,
(a - b - c + d) / 2, holds all of the noise's variance and next to nothing of most scenes; the other three
sums and differences show where the scene is busy, and their noise is independent of the diagonal's, so that
choosing quiet blocks by them does not choose blocks of little noise. Between two frames the scene cancels
besides, as far as they are aligned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.types import NoiseProfile, NoiseSource

_BLOCK = 4  # squares on a side of a block: 16 details, 8x8 packed pixels
_FREEDOM = _BLOCK**2
_BINS = 20  # ranges of signal, of equal width in its square root
_MIN_IN_BIN = 32  # blocks: their median then scatters by 9 percent in variance
_QUIET = 0.1  # share of the blocks of a range, the least busy ones, that is measured
_FEW_QUIET = 0.05  # the same for one frame, whose scene does not cancel
_BUSY_NOISE = 3 - 1 / _BLOCK**2  # busyness of noise of variance 1
_BUSY = 2.0  # times the noise's busyness: from here on even quiet blocks hold scene and count less
_WHITE = 0.97
_CLIPS = 1e-3  # share of a plane's pixels at its very smallest value from which this is a clipping level
_DARKEST = -0.7  # standard deviations from clipping: where more is lost, nothing can be said
_ROUNDS = 15
_POOLED = 0.3  # weight of all planes together in the fit of one, against its own
_SMALLEST = 1e-10  # normalised variance, far below the quantisation of any sensor


@dataclass(frozen=True, slots=True)
class _Points:
    """Signal and variance, (count,) each, to fit a line through, and how many blocks each stands for."""

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    blocks: NDArray[np.float64]


def estimate_from_burst(reference: Tensor, neighbours: Tensor) -> NoiseProfile:
    """Noise from the differences between a frame and its aligned neighbours.

    Args:
        reference: (4, h, w) normalised packed mosaic.
        neighbours: (M, 4, h, w) frames aligned to it to the nearest packed pixel, M >= 1. Motion and edges
            may remain.

    Returns:
        The profile, source "burst".

    Raises:
        ValueError: No part of the picture is fit to measure noise on (too small, or clipped everywhere).
    """
    root = math.sqrt(0.5)
    details = [(neighbour - reference) * root for neighbour in neighbours]
    scenes = [(neighbour + reference) * root for neighbour in neighbours]
    return _estimate(reference, details, scenes, root, _QUIET, "burst")


def estimate_from_frame(packed: Tensor) -> NoiseProfile:
    """Noise from the flattest patches of a single frame (4, h, w); source "frame".

    Raises:
        ValueError: As for a burst.
    """
    return _estimate(packed, [packed], [packed], 1.0, _FEW_QUIET, "frame")


def _estimate(
    frame: Tensor,
    details: list[Tensor],
    scenes: list[Tensor],
    scale: float,
    quiet: float,
    source: NoiseSource,
) -> NoiseProfile:
    """Fits every plane.

    Args:
        frame: (4, h, w), to find clipping levels in.
        details: Pictures (4, h, w) whose noise is measured.
        scenes: Pictures with noise independent of it, where the scene is looked for; signal / scale.
        scale: What to multiply the mean of a scene with to get the signal.
        quiet: Share of blocks to measure.
        source: For the profile.
    """
    height, width = frame.shape[-2:]
    if min(height, width) < 2 * _BLOCK:
        raise ValueError("the picture is too small to estimate noise from")
    floors = [_clipping_level(plane) for plane in frame]
    points = []
    for plane in range(4):
        signal, variance, busy, peak = (
            np.concatenate(parts)
            for parts in zip(
                *(_measure(d[plane], s[plane], scale) for d, s in zip(details, scenes, strict=True)),
                strict=True,
            )
        )
        points.append(_points(signal, variance, busy, peak, quiet, floors[plane]))
    pooled = _Points(*(np.concatenate([getattr(p, name) for p in points]) for name in _Points.__slots__))
    if not pooled.blocks.size:
        raise ValueError("too little of the picture is unclipped to estimate noise from")
    common = _line(pooled.signal, pooled.variance, _sureness(pooled))
    (s0, o0), (s1, o1), (s2, o2), (s3, o3) = (_plane_line(own, pooled, common) for own in points)
    return NoiseProfile((s0, s1, s2, s3), (o0, o1, o2, o3), source)


def _measure(detail: Tensor, scene: Tensor, scale: float) -> tuple[NDArray[np.float64], ...]:
    """For each block of one plane: signal, variance of the detail, busyness of the scene, largest signal."""
    a, b, c, d = _squares(detail)
    variance = _block_mean(((a - b - c + d) / 2).square())
    a, b, c, d = _squares(scene)
    means = (a + b + c + d) / 2  # of squares, doubled: the noise keeps its variance
    busy = _block_mean(means.square()) - _block_mean(means).square()
    busy = busy + _block_mean(((a + b - c - d) / 2).square() + ((a - b + c - d) / 2).square())
    signal = _block_mean(means) / 2 * scale
    peak = F.max_pool2d(means[None], _BLOCK)[0] / 2 * scale
    return tuple(t.flatten().double().numpy() for t in (signal, variance, busy, peak))


def _squares(plane: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    height, width = (size // 2 * 2 for size in plane.shape)
    top, bottom = plane[0:height:2], plane[1:height:2]
    return top[:, 0:width:2], top[:, 1:width:2], bottom[:, 0:width:2], bottom[:, 1:width:2]


def _block_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x[None], _BLOCK)[0]


def _clipping_level(plane: Tensor) -> float | None:
    """The smallest value, if so many pixels have it that values below it must have been lost."""
    floor = plane.min()
    share = (plane <= floor + 1e-6).float().mean()
    return float(floor) if share > _CLIPS else None


def _points(
    signal: NDArray[np.float64],
    variance: NDArray[np.float64],
    busy: NDArray[np.float64],
    peak: NDArray[np.float64],
    quiet: float,
    floor: float | None,
) -> _Points:
    """A point for each range of signals: the noise of its quiet blocks, what clipping took given back."""
    keep = peak + 2.5 * np.sqrt(variance) < _WHITE
    signal, variance, busy = signal[keep], variance[keep], busy[keep]
    if signal.size < _MIN_IN_BIN:
        return _Points(*np.empty((3, 0)))
    base = signal.min()
    root = np.sqrt(signal - base)
    low, high = np.quantile(root, (0.002, 0.998))
    bins = np.clip(((root - low) / max(high - low, 1e-9) * _BINS).astype(int), 0, _BINS - 1)
    # Wilson and Hilferty: the median of a chi-square over its mean.
    shrink = (1 - 2 / (9 * _FREEDOM)) ** 3
    found = []
    for k in range(_BINS):
        mine = bins == k
        count = int(mine.sum())
        if count < _MIN_IN_BIN:
            continue
        wanted = max(_MIN_IN_BIN, int(quiet * count))
        chosen = np.argpartition(busy[mine], wanted - 1)[:wanted] if wanted < count else slice(None)
        level, spread = float(signal[mine][chosen].mean()), float(np.median(variance[mine][chosen])) / shrink
        excess = max(0.0, float(np.median(busy[mine][chosen])) / (_BUSY_NOISE * max(spread, _SMALLEST)) - 1)
        if floor is not None:
            level, spread = _unclip(level - floor, spread)
            level += floor
        if math.isfinite(level) and spread > 0:
            found.append((level, spread, wanted / (1 + (excess / _BUSY) ** 2) ** 2))
    return _Points(*np.array(found, np.float64).reshape(-1, 3).T)


def _clipped_normal(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of max(X, 0) for X normal with mean z and variance 1."""
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    share = 0.5 * (1 + torch.special.erf(torch.from_numpy(z) / math.sqrt(2)).numpy())
    mean = z * share + density
    return mean, (z**2 + 1) * share + z * density - mean**2


_Z = np.linspace(-2.0, 6.0, 801)
_CLIPPED_MEAN, _CLIPPED_VARIANCE = _clipped_normal(_Z)


def _unclip(level: float, variance: float) -> tuple[float, float]:
    """Mean and variance of a normal signal from those of its values clipped at 0; NaN if too much is lost."""
    if level <= 0 or variance <= 0:
        return math.nan, math.nan
    ratios = np.sqrt(_CLIPPED_VARIANCE) / _CLIPPED_MEAN  # falls with z
    ratio = math.sqrt(variance) / level
    if ratio <= ratios[-1]:
        return level, variance
    z = float(np.interp(-ratio, -ratios, _Z))
    if z < _DARKEST:
        return math.nan, math.nan
    std = level / float(np.interp(z, _Z, _CLIPPED_MEAN))
    return z * std, std**2


def _plane_line(own: _Points, pooled: _Points, common: tuple[float, float]) -> tuple[float, float]:
    """Shot gain and read variance of one plane.

    Args:
        own: The plane's points.
        pooled: Those of all planes.
        common: The line through `pooled`. Scaled to the plane's noise it says how the noise goes on where
            the plane has no signals.
    """
    if not own.signal.size:
        return common
    expected = np.maximum(common[0] * np.maximum(own.signal, 0) + common[1], _SMALLEST)
    ratios = own.variance / expected
    order = np.argsort(ratios)
    share = np.cumsum(_sureness(own)[order])
    ratio = ratios[order][np.searchsorted(share, share[-1] / 2)]
    # So that the pooled points together weigh a fixed part of the plane's own, however many there are.
    weight = _POOLED * _sureness(own).sum() / _sureness(pooled).sum()
    return _line(
        np.concatenate([own.signal, pooled.signal]),
        np.concatenate([own.variance, pooled.variance * ratio]),
        np.concatenate([_sureness(own), _sureness(pooled) * weight]),
    )


def _sureness(points: _Points) -> NDArray[np.float64]:
    """Weight of each point's relative error: one over its variance."""
    # A median scatters 1.57 times as much as a mean. A tenth is what the model itself is wrong by: points of
    # many blocks do not count for more than that.
    return 1 / (1.57 * 2 / (_FREEDOM * points.blocks) + 0.1**2)


def _line(
    signal: NDArray[np.float64], variance: NDArray[np.float64], sureness: NDArray[np.float64]
) -> tuple[float, float]:
    """Robust non-negative line by reweighted least squares on relative errors."""
    signal = np.maximum(signal, 0)
    slope, intercept = 0.0, float(np.median(variance))
    for _ in range(_ROUNDS):
        fitted = np.maximum(slope * signal + intercept, _SMALLEST)
        misfit = variance / fitted - 1
        # What the scene adds lies above the line; what lies below is only chance.
        trust = 1 / (1 + (np.maximum(misfit, 0) / 0.2) ** 2 + (np.maximum(-misfit, 0) / 0.5) ** 2)
        slope, intercept = _weighted_line(signal, variance, sureness * trust / fitted**2)
    return slope, intercept


def _weighted_line(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Least squares with neither value negative."""
    weight = weight / weight.sum()
    mean_x, mean_y = float(weight @ x), float(weight @ y)
    spread = float(weight @ (x - mean_x) ** 2)
    slope = float(weight @ ((x - mean_x) * (y - mean_y))) / spread if spread > 0 else 0.0
    intercept = mean_y - slope * mean_x
    if slope < 0:
        return 0.0, max(mean_y, _SMALLEST)
    if intercept < _SMALLEST:
        return float(weight @ (x * y)) / max(float(weight @ x**2), 1e-30), _SMALLEST
    return slope, intercept
