"""Noise measured from pictures: the fit of variance = shot_gain * x + read_variance to a burst or a frame.

Small blocks give pairs of signal and variance. In every range of signals a low quantile of the variances is
taken, because motion, texture and edges only ever add; what that quantile lies under the mean by chance is
known (chi-square) and given back.
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

_BLOCK = 8  # packed pixels on a side: 64 samples of the variance
_BINS = 24  # ranges of signal with as many blocks each
_MIN_IN_BIN = 12
_BURST_QUANTILE = 0.25  # a quarter of still, flat blocks in each range of signals is enough
_FRAME_QUANTILE = 0.05  # in a single frame texture cannot be told from noise: only the flattest blocks count
_MAX_CLIPPED = 0.02  # share of clipped pixels from which a block's variance is no longer trusted
_WHITE = 0.98
_ROUNDS = 12
_SMALLEST = 1e-9  # normalised variance: below the quantisation of any sensor


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Signal, variance and trust of the blocks of one plane, flat."""

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]


def estimate_from_burst(reference: Tensor, neighbours: Tensor) -> NoiseProfile:
    """Noise from the differences between a frame and its aligned neighbours.

    Args:
        reference: (4, h, w) normalised packed mosaic.
        neighbours: (M, 4, h, w) frames aligned to it to the nearest packed pixel, M >= 1.

    Returns:
        The profile, source "burst". The green planes share their values.
    """
    difference = neighbours - reference
    signal = (neighbours + reference) / 2
    mean, squares = _block_mean(difference), _block_mean(difference**2)
    count = _BLOCK**2
    variance = (squares - mean**2) * count / (count - 1) / 2
    usable = _unclipped(reference) * _unclipped(neighbours)
    return _fit(_block_mean(signal), variance, usable, _BURST_QUANTILE, count - 1, "burst")


def estimate_from_frame(packed: Tensor) -> NoiseProfile:
    """Noise from the flattest patches of a single frame (4, h, w); source "frame".

    The residual is what a plane differs from its neighbours by, filtered so that ramps give nothing
    (Immerkaer, "Fast noise variance estimation", 1996).
    """
    kernel = packed.new_tensor([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6  # white noise keeps its variance
    residual = F.conv2d(packed[:, None], kernel[None, None], padding=1)[:, 0]
    variance = _block_mean(residual**2)
    # Neighbouring residuals share pixels: 64 of them hold about as much as 64 * 0.26 independent ones.
    freedom = 0.26 * _BLOCK**2
    return _fit(
        _block_mean(packed)[None], variance[None], _unclipped(packed)[None], _FRAME_QUANTILE, freedom, "frame"
    )


def _block_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x.double(), _BLOCK)


def _unclipped(packed: Tensor) -> Tensor:
    """Blocks in which hardly a pixel lies at the black or the white end of what the file can hold."""
    floor = packed.amin((-2, -1), keepdim=True)
    # Only a floor that many pixels share is a clipping level, not the tail of the noise.
    at_floor = (packed <= floor + 1e-6).double()
    clips = at_floor.mean((-2, -1), keepdim=True) > 1e-4
    bad = at_floor * clips + (packed > _WHITE)
    return (_block_mean(bad) <= _MAX_CLIPPED).double()


def _fit(
    signal: Tensor, variance: Tensor, usable: Tensor, quantile: float, freedom: float, source: NoiseSource
) -> NoiseProfile:
    """Fits each colour; all arguments (M, 4, rows, cols)."""
    gains: dict[int, float] = {}
    reads: dict[int, float] = {}
    for planes in ((0,), (1, 2), (3,)):
        chosen = [t[:, list(planes)].flatten() for t in (signal, variance, usable)]
        keep = chosen[2] > 0
        if int(keep.sum()) < 4 * _MIN_IN_BIN:
            keep = torch.ones_like(keep)  # everything is clipped: a poor answer is better than none
        blocks = _Blocks(chosen[0][keep].cpu().numpy(), chosen[1][keep].cpu().numpy())
        line = _robust_line(blocks, quantile, freedom)
        for plane in planes:
            gains[plane], reads[plane] = line
    return NoiseProfile(
        (gains[0], gains[1], gains[2], gains[3]), (reads[0], reads[1], reads[2], reads[3]), source
    )


def _robust_line(blocks: _Blocks, quantile: float, freedom: float) -> tuple[float, float]:
    """Shot gain and read variance of one colour: a line through the low quantiles of the bins."""
    order = np.argsort(blocks.signal)
    bins = max(1, min(_BINS, order.size // _MIN_IN_BIN))
    # Wilson and Hilferty: the quantile of a chi-square over its mean.
    normal = math.sqrt(2) * float(torch.special.erfinv(torch.tensor(2 * quantile - 1, dtype=torch.float64)))
    shrink = (1 - 2 / (9 * freedom) + normal * math.sqrt(2 / (9 * freedom))) ** 3
    xs, ys = [], []
    for part in np.array_split(order, bins):
        values = blocks.variance[part]
        # Among blocks without texture a fifth of the signal's range changes the variance little; the line
        # is fitted to the medians of the signal.
        low = np.quantile(values, quantile)
        xs.append(float(np.median(blocks.signal[part][values <= low])))
        ys.append(max(float(low) / shrink, _SMALLEST))
    return _weighted_line(np.array(xs), np.array(ys))


def _weighted_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Non-negative slope and intercept; relative errors count, and what lies above the line counts less."""
    slope, intercept = 0.0, float(np.median(y))
    trust = np.ones_like(y)
    for _ in range(_ROUNDS):
        fitted = np.maximum(slope * x + intercept, _SMALLEST)
        # Texture only ever adds: points far above the line lose their say.
        excess = np.maximum(y / fitted - 1.15, 0)
        trust = 1 / (1 + (excess / 0.25) ** 2)
        weight = trust / fitted**2
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.average((x - mean_x) ** 2, weights=weight)
        slope = (
            float(np.average((x - mean_x) * (y - mean_y), weights=weight) / spread) if spread > 1e-12 else 0
        )
        slope = max(slope, 0.0)
        intercept = float(mean_y - slope * mean_x)
        if intercept < _SMALLEST:
            intercept = _SMALLEST
            slope = max(float(np.sum(weight * x * y) / max(np.sum(weight * x * x), 1e-30)), 0.0)
    return slope, intercept
