"""Resample pictures of sensors with non-square pixels to square pixels (DNG 1.7.1, DefaultScale)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretched(data: NDArray[np.float32], scale: tuple[float, float] | None) -> NDArray[np.float32]:
    """Resample a picture by linear interpolation.

    Args:
        data: float32 (C, H, W).
        scale: Factors for height and width; for None or (1, 1), the data is returned unchanged.

    Returns:
        float32 (C, round(H * scale[0]), round(W * scale[1])).

    Example:
        >>> stretched(np.float32([[[0, 4]]]), (1, 2)).tolist()
        [[[0.0, 1.0, 3.0, 4.0]]]
    """
    for axis, factor in zip((1, 2), scale or (1.0, 1.0), strict=True):
        if factor != 1:
            data = _along(data, axis, factor)
    return data


def _along(data: NDArray[np.float32], axis: int, factor: float) -> NDArray[np.float32]:
    size = data.shape[axis]
    count = max(1, round(size * factor))
    # Position of the centre of output pixel k relative to the centres of the input pixels.
    position = ((np.arange(count) + 0.5) * size / count - 0.5).clip(0, size - 1)
    lower = np.minimum(position.astype(np.intp), max(0, size - 2))
    weight = (position - lower).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
    below, above = data.take(lower, axis), data.take(np.minimum(lower + 1, size - 1), axis)
    return below + weight * (above - below)
