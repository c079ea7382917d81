"""Noise measured from pictures: the fit of variance = shot_gain * x + read_variance to a burst or a frame.

Scene and noise are told apart by frequency. Squares of 2x2 packed pixels have three details: the diagonal
one, (a - b - c + d) / 2, and those of horizontal and vertical edges. White noise is equally strong in all
three and independent, whereas a scene (in a difference of two frames: what of it is not aligned, what moved,
what was hidden) shows in all of them and most in the edges. So blocks are chosen where the edges of the other
three planes are weakest, and the diagonal detail is measured there: choosing does not favour blocks that have
little noise by chance. Frames are compared in all pairs, for among many pairs some fit by luck where the
scene is finest. What scene is left even so, `noise_fit` discounts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.analysis.noise_fit import SMALLEST, Line, Points, fit_planes, joined
from burstfix.types import NoiseProfile, NoiseSource

_BLOCK = 4  # squares on a side of a block: 16 details, 8x8 packed pixels
_FREEDOM = _BLOCK**2
_BINS = 20  # ranges of signal, of equal width in its square root
_MIN_IN_BIN = 24  # blocks: their median then scatters by 9 percent in variance
_QUIET = 0.01  # share of the blocks of a range, the least disturbed ones, that is measured
# Of what the edges have more than the diagonal, the diagonal is taken to have as scene. In one frame it has
# nothing of the smooth slopes that the edges show; in a difference they cancel.
_EDGES_OF_PAIRS, _EDGES_OF_FRAME = 0.3, 0.0
_LEAST_LEFT = 0.6  # of a measured variance, whatever the edges say
_MODEL_ERROR = 0.05  # of a variance: no point counts as more exact than that
_CLIPPED_ERROR = 0.1  # added to it for each standard deviation that the signal is nearer to black than three
_WHITE = 0.97
_CLIPS = 1e-3  # share of a plane's pixels at its very smallest value from which this is a clipping level
_DARKEST = -0.7  # standard deviations from clipping: where more is lost, nothing can be said
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What was measured in blocks, float64 (4, count) each, one row a plane.

    Attributes:
        signal: Mean.
        peak: Mean of the brightest square.
        diagonal: Variance of the diagonal detail.
        edges: Mean variance of the other two.
    """

    signal: NDArray[np.float64]
    peak: NDArray[np.float64]
    diagonal: NDArray[np.float64]
    edges: NDArray[np.float64]


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
    pairs = itertools.combinations((reference, *neighbours), 2)
    measured = ((math.sqrt(0.5) * (a - b), (a + b) / 2) for a, b in pairs)
    # n frames have n (n - 1) / 2 pairs, but only n - 1 of their differences are independent.
    return _estimate(reference, measured, _EDGES_OF_PAIRS, (1 + len(neighbours)) / 2, "burst")


def estimate_from_frame(packed: Tensor) -> NoiseProfile:
    """Noise from the flattest patches of a single frame (4, h, w); source "frame".

    Raises:
        ValueError: As for a burst.
    """
    return _estimate(packed, [(packed, packed)], _EDGES_OF_FRAME, 1.0, "frame")


def _estimate(
    frame: Tensor,
    pictures: Iterable[tuple[Tensor, Tensor]],
    edges: float,
    repeats: float,
    source: NoiseSource,
) -> NoiseProfile:
    """Fits every plane.

    Args:
        frame: (4, h, w), to find clipping levels in.
        pictures: Pairs of (4, h, w): one with the noise of a frame to measure, and the signal.
        edges: Share of what the edges have more than the diagonal that is taken from the diagonal.
        repeats: How many of the pictures show the same noise.
        source: For the profile.
    """
    if min(frame.shape[-2:]) < 2 * _BLOCK:
        raise ValueError("the picture is too small to estimate noise from")
    parts = [_measure(detail, signal) for detail, signal in pictures]
    blocks = _Blocks(*(np.concatenate([getattr(p, f.name) for p in parts], 1) for f in fields(_Blocks)))
    floors = [_clipping_level(plane) for plane in frame]
    lines = [Line(0.0, max(float(np.median(blocks.diagonal)), SMALLEST))] * 4
    for k in range(_ROUNDS):
        disturbed = _disturbance(blocks, lines)
        points = [
            _points(blocks, plane, disturbed[plane], edges, repeats, floors[plane]) for plane in range(4)
        ]
        if not joined(points).signal.size:
            raise ValueError("too little of the picture is unclipped to estimate noise from")
        # How disturbed a point is says something once the lines are roughly right.
        lines = fit_planes(points, trust_disturbance=k >= _ROUNDS // 2)
    first, second, third, fourth = lines
    return NoiseProfile(
        (first.slope, second.slope, third.slope, fourth.slope),
        (first.intercept, second.intercept, third.intercept, fourth.intercept),
        source,
    )


def _measure(detail: Tensor, signal: Tensor) -> _Blocks:
    """Blocks of (4, h, w) pictures."""
    a, b, c, d = _squares(detail)
    diagonal = _block_mean((a - b - c + d).square() / 4)
    edges = _block_mean(((a + b - c - d).square() + (a - b + c - d).square()) / 8)
    means = torch.stack(_squares(signal)).mean(0)
    peak = F.max_pool2d(means, _BLOCK)
    return _Blocks(*(t.flatten(1).double().numpy() for t in (_block_mean(means), peak, diagonal, edges)))


def _squares(planes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    height, width = (size // 2 * 2 for size in planes.shape[-2:])
    top, bottom = planes[:, 0:height:2], planes[:, 1:height:2]
    return top[..., 0:width:2], top[..., 1:width:2], bottom[..., 0:width:2], bottom[..., 1:width:2]


def _block_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _BLOCK)


def _clipping_level(plane: Tensor) -> float | None:
    """The smallest value, if so many pixels have it that values below it must have been lost."""
    floor = plane.min()
    share = (plane <= floor + 1e-6).float().mean()
    return float(floor) if share > _CLIPS else None


def _disturbance(blocks: _Blocks, lines: list[Line]) -> NDArray[np.float64]:
    """(4, count): for each plane the mean edges of the three others, in units of their noise."""
    noise = np.stack([line.at(signal) for line, signal in zip(lines, blocks.signal, strict=True)])
    relative = blocks.edges / noise
    return (relative.sum(0) - relative) / 3


def _points(
    blocks: _Blocks,
    plane: int,
    disturbed: NDArray[np.float64],
    share: float,
    repeats: float,
    floor: float | None,
) -> Points:
    """A point for each range of signals: the noise of its least disturbed blocks, clipping made good."""
    diagonal = blocks.diagonal[plane]
    keep = blocks.peak[plane] + 2.5 * np.sqrt(diagonal) < _WHITE
    signal, diagonal, edges, disturbed = (
        x[keep] for x in (blocks.signal[plane], diagonal, blocks.edges[plane], disturbed)
    )
    if signal.size < _MIN_IN_BIN:
        return Points(*np.empty((4, 0)))
    root = np.sqrt(signal - signal.min())
    low, high = np.quantile(root, (0.002, 0.998))
    bins = np.clip(((root - low) / max(high - low, 1e-9) * _BINS).astype(int), 0, _BINS - 1)
    found = []
    for k in range(_BINS):
        mine = np.flatnonzero(bins == k)
        if mine.size < _MIN_IN_BIN:
            continue
        wanted = max(_MIN_IN_BIN, int(_QUIET * mine.size))
        if wanted < mine.size:
            mine = mine[np.argpartition(disturbed[mine], wanted - 1)[:wanted]]
        level, error = float(signal[mine].mean()), _MODEL_ERROR
        spread = _median(diagonal[mine], _FREEDOM)
        scene = share * max(_median(edges[mine], 2 * _FREEDOM) - spread, 0.0)
        spread = max(spread - scene, _LEAST_LEFT * spread)
        if floor is not None:
            # Of clipped noise only the mean is known how to be made good.
            unclipped = _unclip(level - floor, float(diagonal[mine].mean()))
            depth = unclipped.signal / math.sqrt(unclipped.variance)
            level = floor + unclipped.signal
            if not depth >= 3:
                spread, error = unclipped.variance, _MODEL_ERROR + _CLIPPED_ERROR * (3 - depth)
        if math.isfinite(level) and spread > 0:
            # A median scatters 1.57 times as much as a mean.
            error = math.hypot(error, math.sqrt(1.57 * 2 * repeats / (_FREEDOM * wanted)))
            found.append((max(level, 0.0), spread, error, float(disturbed[mine].mean())))
    return Points(*np.array(found, np.float64).reshape(-1, 4).T)


def _median(variances: NDArray[np.float64], freedom: int) -> float:
    """Mean of variances of so many degrees of freedom, from their median (Wilson and Hilferty 1931)."""
    return float(np.median(variances)) / (1 - 2 / (9 * freedom)) ** 3


@dataclass(frozen=True, slots=True)
class _Unclipped:
    signal: float
    variance: float


def _clipped_normal(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of max(X, 0) for X normal with mean z and variance 1."""
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    share = 0.5 * (1 + torch.special.erf(torch.from_numpy(z) / math.sqrt(2)).numpy())
    mean = z * share + density
    return mean, (z**2 + 1) * share + z * density - mean**2


_Z = np.linspace(-2.0, 6.0, 801)
_CLIPPED_MEAN, _CLIPPED_VARIANCE = _clipped_normal(_Z)


def _unclip(level: float, variance: float) -> _Unclipped:
    """Mean and variance of a normal signal from those of its values clipped at 0; NaN if too much is lost."""
    if level <= 0 or variance <= 0:
        return _Unclipped(math.nan, math.nan)
    ratios = np.sqrt(_CLIPPED_VARIANCE) / _CLIPPED_MEAN  # falls with z
    ratio = math.sqrt(variance) / level
    if ratio <= ratios[-1]:
        return _Unclipped(level, variance)
    z = float(np.interp(-ratio, -ratios, _Z))
    if z < _DARKEST:
        return _Unclipped(math.nan, math.nan)
    std = level / float(np.interp(z, _Z, _CLIPPED_MEAN))
    return _Unclipped(z * std, std**2)
