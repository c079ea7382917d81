"""Measure in the flat parts of the picture how much noise a merge removed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 32  # side of the blocks in which noise is measured, pixels at half size
_LEVELS = 3  # octaves of the Haar transform, of 4, 8 and 16 sensor pixels
_FLAT = 0.15  # share of the blocks, the flattest ones, that count as flat
_DARKEST, _BRIGHTEST = 0.002, 0.9  # limits of the signal in usable blocks; beyond them noise is clipped
_FEWEST = 8  # minimum number of flat blocks for a result


@dataclass(frozen=True, slots=True, eq=False)
class NoiseGain:
    """Noise before and after a merge.

    Attributes:
        decibels: 20 log10(noise before / noise after), median over the flat blocks; positive if the merge is
            cleaner. None if the picture has too few flat parts.
        left: float32 (h, w), ratio of the standard deviations after and before in each block; NaN if the
            block is clipped or not flat.
    """

    decibels: float | None
    left: NDArray[np.floating]

    def iso_equivalent(self, iso: float) -> float | None:
        """Return the ISO speed at which a single frame would be as clean as the merge.

        The variance of relative noise is proportional to ISO.
        """
        return None if self.decibels is None else iso * 10 ** (-self.decibels / 10)


def measure_noise_gain(before: NDArray[np.floating], after: NDArray[np.floating]) -> NoiseGain:
    """Compare the noise of one frame with that of the merged picture.

    Noise is measured on luminance averaged over 2x2 pixels, in blocks of 64x64 pixels: the mean variance of
    the diagonal Haar details of three octaves. All octaves have the same weight, because networks remove fine
    noise best, so that fine noise alone would overestimate the gain. The flat blocks are those with the
    weakest horizontal and vertical details in the merged picture.

    Args:
        before: (3, H, W) linear camera RGB of the reference alone.
        after: (3, H, W) linear camera RGB of the merged picture.

    Raises:
        ValueError: The pictures differ in size.
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of {before.shape} and {after.shape} cannot be compared")
    first, second = _half_luminance(before), _half_luminance(after)
    if min(second.shape) < _BLOCK:
        return NoiseGain(None, np.full((1, 1), math.nan, np.float32))
    noise_before, noise_after = _details(first).diagonal, _details(second).diagonal
    signal = _block_means(second, _BLOCK)
    edges = _details(second).edges / np.maximum(signal, _DARKEST)
    usable = (signal > _DARKEST) & (signal < _BRIGHTEST) & (noise_before > 0)
    if usable.sum() < _FEWEST:
        return NoiseGain(None, np.full(signal.shape, math.nan, np.float32))
    flat = usable & (edges <= np.quantile(edges[usable], max(_FLAT, min(1.0, _FEWEST / usable.sum()))))
    ratio = np.sqrt(noise_after / np.maximum(noise_before, 1e-20))
    decibels = float(-20 * np.log10(max(float(np.median(ratio[flat])), 1e-6)))
    # Where edges are much stronger than in flat parts, the ratio would measure the scene instead of the
    # noise.
    scene = edges > 4 * np.quantile(edges[usable], _FLAT)
    return NoiseGain(decibels, np.where(usable & ~scene, ratio, math.nan).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class _Details:
    """Haar details of blocks, float32 (h, w): variance of the diagonal detail, mean size of the other two."""

    diagonal: NDArray[np.floating]
    edges: NDArray[np.floating]


def _details(x: NDArray[np.floating]) -> _Details:
    rows, cols = x.shape[0] // _BLOCK, x.shape[1] // _BLOCK
    x = x[: rows * _BLOCK, : cols * _BLOCK]
    diagonal, edges = np.zeros((rows, cols), np.float32), np.zeros((rows, cols), np.float32)
    for level in range(1, _LEVELS + 1):
        a, b, c, d = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
        side = _BLOCK >> level
        diagonal += _block_means(np.square(a - b - c + d) / 4, side) / _LEVELS
        edges += _block_means(np.abs(a + b - c - d) + np.abs(a - b + c - d), side) / (4 * _LEVELS)
        x = (a + b + c + d) / np.float32(2)  # orthonormal: white noise keeps its variance
    return _Details(diagonal, edges)


def _half_luminance(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    height, width = (size // 2 * 2 for size in rgb.shape[1:])
    gray = (rgb[0, :height, :width] + 2 * rgb[1, :height, :width] + rgb[2, :height, :width]) / 4
    return _block_means(gray, 2)


def _block_means(x: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    rows, cols = x.shape[0] // side, x.shape[1] // side
    blocks = x[: rows * side, : cols * side].reshape(rows, side, cols, side)
    return blocks.mean((1, 3), dtype=np.float32)
