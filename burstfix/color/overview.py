"""A reduced copy of a picture, for finding exposure, white balance and local gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstfix.color.blocks import block_mean


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A picture averaged down in square blocks.

    Attributes:
        data: float32 (3, h, w).
        block: Side of a pixel of `data` in pixels of the picture.
    """

    data: NDArray[np.float32]
    block: int


def overview_of(data: NDArray[np.float32], side: int) -> Overview:
    """Average (3, H, W) down to at most `side` pixels on the longer side; drops incomplete blocks."""
    _, height, width = data.shape
    block = max(1, min(-(-max(height, width) // side), height, width))
    return Overview(data if block == 1 else block_mean(data, block, block), block)
