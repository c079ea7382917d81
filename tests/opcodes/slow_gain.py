"""Slow reference implementation of GainMap."""

from __future__ import annotations

import numpy as np


def slow_gain(gains: np.ndarray, origin, spacing, row: int, col: int, height: int, width: int) -> float:
    """Return the gain at one pixel, computed directly according to the specification."""
    at = []
    for place, size, start, step, points in (
        (row, height, origin[0], spacing[0], gains.shape[0]),
        (col, width, origin[1], spacing[1], gains.shape[1]),
    ):
        at.append(min(max(((place + 0.5) / size - start) / step, 0), points - 1))
    (y, x), (y0, x0) = at, (int(at[0]), int(at[1]))
    y1, x1 = min(y0 + 1, gains.shape[0] - 1), min(x0 + 1, gains.shape[1] - 1)
    fy, fx = y - y0, x - x0
    upper = gains[y0, x0, 0] * (1 - fx) + gains[y0, x1, 0] * fx
    lower = gains[y1, x0, 0] * (1 - fx) + gains[y1, x1, 0] * fx
    return upper * (1 - fy) + lower * fy
