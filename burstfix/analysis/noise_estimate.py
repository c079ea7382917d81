"""Estimate noise, variance = shot_gain * x + read_variance, from a burst or a single frame.

Noise and scene are separated by frequency. A square of 2x2 packed pixels a b / c d has three detail
coefficients: the diagonal coefficient, (a - b - c + d) / 2, and those of horizontal and vertical edges. White
noise is equally strong and independent in all three. Scene detail is strongest in the edge coefficients; in
the difference of two frames it consists of misalignment, motion and occlusion. Therefore the diagonal
coefficient is measured in the blocks where the edges of the other three planes are weakest. This choice does
not favour blocks where noise is low by chance. All pairs of frames are compared, because some pairs happen to
be aligned well where the scene has fine detail. `noise_fit` separates the scene detail that remains. Parts
without detail, such as a night sky, are recognised because the variance of the edges differs little between
blocks.
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
from burstfix.types import NoiseMeasurement, NoiseProfile, NoiseSource

_BLOCK = 4  # side of a block in squares of 2x2 packed pixels; a block has 16 diagonal coefficients
_FREEDOM = _BLOCK**2
_BINS = 20  # ranges of signal, of equal width in its square root
_MIN_IN_BIN = 24  # blocks; the median of 24 variances has a standard deviation of 9 percent
# Share of the blocks that are measured, beginning with the least disturbed: in ranges that may contain scene
# detail, and in uniform ranges.
_QUIET, _QUIET_IF_UNIFORM = 0.01, 0.5
# A range is uniform if the spread of its disturbance is at most the first number times that of pure noise,
# and not uniform from the second number on.
_UNIFORM, _NOT_UNIFORM = 1.3, 1.5
# Share of the excess of the edges over the diagonal that counts as scene detail in the diagonal. It is 0 for
# a single frame: there, edges contain smooth gradients, which the diagonal does not. In differences,
# gradients cancel.
_EDGES_OF_PAIRS, _EDGES_OF_FRAME = 0.3, 0.0
_LEAST_LEFT = 0.6  # smallest share of a measured variance that remains after this correction
_MODEL_ERROR = 0.05  # smallest relative error of a variance
# If a signal is less than three standard deviations above black, its error grows by this for each missing
# standard deviation.
_CLIPPED_ERROR = 0.1
_CLIPPED_IF_UNIFORM = 0.3  # share of this error in a uniform range, in which all pixels are clipped alike
_WHITE = 0.97
_CLIPS = 1e-3  # if more of the pixels of a plane have its smallest value, that value is a clipping level
_DARKEST = -0.7  # standard deviations above the clipping level; darker signals cannot be recovered
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Measurements of blocks; each is float64 (4, count), with one row per plane.

    Attributes:
        signal: Mean of the block.
        peak: Mean of its brightest square.
        diagonal: Variance of the diagonal detail.
        edges: Mean variance of the other two details.
    """

    signal: NDArray[np.float64]
    peak: NDArray[np.float64]
    diagonal: NDArray[np.float64]
    edges: NDArray[np.float64]


def estimate_from_burst(reference: Tensor, neighbours: Tensor) -> NoiseMeasurement:
    """Estimate noise from the differences between a frame and its aligned neighbours.

    Args:
        reference: (4, h, w) normalised packed mosaic.
        neighbours: (M, 4, h, w), M >= 1 frames, aligned to the reference to the nearest packed pixel. They
            may contain moving objects.

    Returns:
        The profile, source "burst", and the points to which it was fitted.

    Raises:
        ValueError: The picture is too small, or clipped everywhere.
    """
    pairs = itertools.combinations((reference, *neighbours), 2)
    measured = ((math.sqrt(0.5) * (a - b), (a + b) / 2) for a, b in pairs)
    # n frames have n (n - 1) / 2 pairs, but only n - 1 of their differences are independent.
    return _estimate(reference, measured, _EDGES_OF_PAIRS, (1 + len(neighbours)) / 2, "burst")


def estimate_from_frame(packed: Tensor) -> NoiseMeasurement:
    """Estimate noise from the flattest patches of a single frame.

    Args:
        packed: (4, h, w) normalised packed mosaic.

    Returns:
        The profile, source "frame", and the points to which it was fitted.

    Raises:
        ValueError: The picture is too small, or clipped everywhere.
    """
    return _estimate(packed, [(packed, packed)], _EDGES_OF_FRAME, 1.0, "frame")


def _estimate(
    frame: Tensor,
    pictures: Iterable[tuple[Tensor, Tensor]],
    edges: float,
    repeats: float,
    source: NoiseSource,
) -> NoiseMeasurement:
    """Fit a noise profile.

    Args:
        frame: (4, h, w), used to find clipping levels.
        pictures: Pairs of (4, h, w) pictures: one with the noise of a single frame, one with the signal.
        edges: Share of the excess of the edges over the diagonal that is subtracted from the diagonal.
        repeats: Number of pictures that contain the same noise.
        source: Source of the profile.
    """
    if min(frame.shape[-2:]) < 2 * _BLOCK:
        raise ValueError("the picture is too small to estimate noise from")
    parts = [_measure(detail, signal) for detail, signal in pictures]
    blocks = _Blocks(*(np.concatenate([getattr(p, f.name) for p in parts], 1) for f in fields(_Blocks)))
    floors = [_clipping_level(plane) for plane in frame]
    lines = [Line(0.0, max(float(np.median(blocks.diagonal)), SMALLEST))] * 4
    points: list[Points] = []
    for k in range(_ROUNDS):
        disturbed = _disturbance(blocks, lines)
        points = [
            _points(blocks, plane, disturbed[plane], edges, repeats, floors[plane]) for plane in range(4)
        ]
        if not joined(points).signal.size:
            raise ValueError("too little of the picture is unclipped to estimate noise from")
        # The disturbance of points is reliable only once the lines are approximately right.
        lines = fit_planes(points, trust_disturbance=k >= _ROUNDS // 2)
    first, second, third, fourth = lines
    profile = NoiseProfile(
        (first.slope, second.slope, third.slope, fourth.slope),
        (first.intercept, second.intercept, third.intercept, fourth.intercept),
        source,
    )
    fitted = joined(points)
    return NoiseMeasurement(profile, fitted.signal, fitted.variance)


def _measure(detail: Tensor, signal: Tensor) -> _Blocks:
    """Measure the blocks of (4, h, w) pictures."""
    a, b, c, d = _squares(detail)
    diagonal = _block_mean((a - b - c + d).square() / 4)
    edges = _block_mean(((a + b - c - d).square() + (a - b + c - d).square()) / 8)
    means = torch.stack(_squares(signal)).mean(0)
    peak = F.max_pool2d(means, _BLOCK)
    return _Blocks(*(t.flatten(1).double().numpy() for t in (_block_mean(means), peak, diagonal, edges)))


def _squares(planes: Tensor) -> list[Tensor]:
    """Return the upper left, upper right, lower left and lower right pixels of all 2x2 squares."""
    height, width = (size // 2 * 2 for size in planes.shape[-2:])
    top, bottom = planes[:, 0:height:2], planes[:, 1:height:2]
    return [row[..., k:width:2] for row in (top, bottom) for k in (0, 1)]


def _block_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _BLOCK)


def _clipping_level(plane: Tensor) -> float | None:
    """Return the smallest value if it is so frequent that lower values must have been clipped."""
    floor = plane.min()
    share = (plane <= floor + 1e-6).float().mean()
    return float(floor) if share > _CLIPS else None


def _disturbance(blocks: _Blocks, lines: list[Line]) -> NDArray[np.float64]:
    """Return for each plane the mean edges of the other three planes relative to noise, (4, count)."""
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
    """Return a point for each range of signals: the noise of its least disturbed blocks, without clipping."""
    diagonal = blocks.diagonal[plane]
    keep = blocks.peak[plane] + 2.5 * np.sqrt(diagonal) < _WHITE
    signal, diagonal, edges, disturbed = (
        x[keep] for x in (blocks.signal[plane], diagonal, blocks.edges[plane], disturbed)
    )
    if signal.size < _MIN_IN_BIN:
        return Points(*np.empty((5, 0)))
    root = np.sqrt(signal - signal.min())
    low, high = np.quantile(root, (0.002, 0.998))
    bins = np.clip(((root - low) / max(high - low, 1e-9) * _BINS).astype(int), 0, _BINS - 1)
    found = []
    for k in range(_BINS):
        members = np.flatnonzero(bins == k)
        if members.size < _MIN_IN_BIN:
            continue
        uniformity = _uniformity(disturbed[members], repeats)
        quiet = _QUIET + uniformity * (_QUIET_IF_UNIFORM - _QUIET)
        wanted = max(_MIN_IN_BIN, int(quiet * members.size))
        if wanted < members.size:
            members = members[np.argpartition(disturbed[members], wanted - 1)[:wanted]]
        level, error = float(signal[members].mean()), _MODEL_ERROR
        spread = _mean_from_median(diagonal[members], _FREEDOM)
        scene = share * max(_mean_from_median(edges[members], 2 * _FREEDOM) - spread, 0.0)
        spread = max(spread - scene, _LEAST_LEFT * spread)
        if floor is not None:
            # Correct the bias that clipping at black adds to the mean.
            unclipped = _unclip(level - floor, float(diagonal[members].mean()))
            depth = unclipped.signal / math.sqrt(unclipped.variance)
            level = floor + unclipped.signal
            if not depth >= 3:
                spread = unclipped.variance
                doubt = 1 - uniformity * (1 - _CLIPPED_IF_UNIFORM)
                error = _MODEL_ERROR + _CLIPPED_ERROR * (3 - depth) * doubt
        if math.isfinite(level) and spread > 0:
            # The variance of a median is 1.57 times that of a mean.
            error = math.hypot(error, math.sqrt(1.57 * 2 * repeats / (_FREEDOM * wanted)))
            found.append((max(level, 0.0), spread, error, float(disturbed[members].mean()), uniformity))
    return Points(*np.array(found, np.float64).reshape(-1, 5).T)


def _uniformity(disturbed: NDArray[np.float64], repeats: float) -> float:
    """Return 1 if the disturbance of blocks varies only as much as that of pure noise does, down to 0.

    The amount of scene detail differs between blocks. The disturbance of pure noise, in contrast, is
    proportional to a chi-squared variable with a known number of degrees of freedom: two edge coefficients
    of three planes in 16 squares. The standard deviation of its logarithm does not depend on the level of the
    noise, and therefore shows whether there is detail before the noise is known. Small ranges do not count as
    uniform, because their spread is uncertain.
    """
    ranks = [round(share * (disturbed.size - 1)) for share in (0.16, 0.84)]
    low, high = np.partition(disturbed, ranks)[ranks]  # np.quantile takes ten times as long
    spread = math.log(max(high, SMALLEST) / max(low, SMALLEST)) / 2 / math.sqrt(2 / (3 * 2 * _FREEDOM))
    upper = spread * (1 + math.sqrt(repeats / disturbed.size))
    return float(np.clip((_NOT_UNIFORM - upper) / (_NOT_UNIFORM - _UNIFORM), 0, 1))


def _mean_from_median(variances: NDArray[np.float64], freedom: int) -> float:
    """Convert the median of sample variances to their mean, by the approximation of Wilson and Hilferty."""
    return float(np.median(variances)) / (1 - 2 / (9 * freedom)) ** 3


@dataclass(frozen=True, slots=True)
class _Unclipped:
    signal: float
    variance: float


def _clipped_normal(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and variance of max(X, 0) for a normal variable X with mean z and variance 1."""
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    share = 0.5 * (1 + torch.special.erf(torch.from_numpy(z) / math.sqrt(2)).numpy())
    mean = z * share + density
    return mean, (z**2 + 1) * share + z * density - mean**2


_Z = np.linspace(-2.0, 6.0, 801)
_CLIPPED_MEAN, _CLIPPED_VARIANCE = _clipped_normal(_Z)


def _unclip(level: float, variance: float) -> _Unclipped:
    """Recover the mean and variance of a normal distribution from its mean and variance after clipping at 0.

    Return NaN if too much was clipped.
    """
    if level <= 0 or variance <= 0:
        return _Unclipped(math.nan, math.nan)
    ratios = np.sqrt(_CLIPPED_VARIANCE) / _CLIPPED_MEAN  # decreases with z
    ratio = math.sqrt(variance) / level
    if ratio <= ratios[-1]:
        return _Unclipped(level, variance)
    z = float(np.interp(-ratio, -ratios, _Z))
    if z < _DARKEST:
        return _Unclipped(math.nan, math.nan)
    std = level / float(np.interp(z, _Z, _CLIPPED_MEAN))
    return _Unclipped(z * std, std**2)
