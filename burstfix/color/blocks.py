"""Means of blocks of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def block_mean(data: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Average (C, H, W) over blocks of `height` by `width` pixels; an incomplete last block is left out."""
    channels, rows, cols = data.shape[0], data.shape[1] // height, data.shape[2] // width
    blocks = data[:, : rows * height, : cols * width].reshape(channels, rows, height, cols, width)
    return blocks.mean((2, 4), dtype=np.float32)
