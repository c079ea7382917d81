"""Average blocks of pixels."""

from __future__ import annotations

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
