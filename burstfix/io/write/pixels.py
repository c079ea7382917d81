"""Pixel types of the picture writers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Pixels (H, W, 3) in full range."""


def to_depth(data: NDArray[np.uint16], bit_depth: int) -> Pixels:
    """Round full-range 16-bit values to 8 bits, or return them unchanged for 16 bits.

    >>> to_depth(np.array([0, 128, 129, 65535], np.uint16), 8).tolist()
    [0, 0, 1, 255]
    """
    if bit_depth == 16:
        return data
    table = np.rint(np.arange(65536) / 257).astype(np.uint8)
    return table[data]
