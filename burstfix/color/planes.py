"""Means of blocks of pixels, and minima around pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def block_mean(data: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Average (C, H, W) over blocks of `height` by `width` pixels; incomplete last blocks are dropped."""
    channels, rows, cols = data.shape[0], data.shape[1] // height, data.shape[2] // width
    out = np.empty((channels, rows, cols), np.float32)
    for mean, plane in zip(out, data, strict=True):
        # Sum over rows first, because rows are contiguous in memory.
        summed = plane[: rows * height].reshape(rows, height, -1).sum(axis=1)
        mean[:] = summed[:, : cols * width].reshape(rows, cols, width).sum(axis=2)
    out *= np.float32(1 / (height * width))
    return out


def least_around(plane: NDArray[Any], apart: int) -> NDArray[Any]:
    """Return the smallest value among each pixel of (H, W) and those `apart` rows or columns away."""
    for _ in range(2):
        p = np.pad(plane, ((apart, apart), (0, 0)), mode="edge")
        plane = np.minimum(np.minimum(p[: -2 * apart], p[2 * apart :]), p[apart:-apart]).T
    return plane
