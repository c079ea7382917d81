"""A reduced copy of a picture, used to find exposure, white balance and local gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstfix.color.planes import block_mean


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A picture reduced by averaging square blocks.

    Attributes:
        data: float32 (3, h, w).
        block: Side of a pixel of `data` in pixels of the picture.
    """

    data: NDArray[np.float32]
    block: int


def overview_of(data: NDArray[np.float32], side: int) -> Overview:
    """Average blocks of (3, H, W), so that the longer side is at most `side`; drop incomplete blocks."""
    _, height, width = data.shape
    block = max(1, min(-(-max(height, width) // side), height, width))
    return Overview(data if block == 1 else block_mean(data, block, block), block)
