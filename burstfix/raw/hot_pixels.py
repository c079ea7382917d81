"""Repair of hot and dead pixels; `burstfix.analysis.hot_pixels` finds them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import reflect

_RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def repair(mosaic: Tensor, places: NDArray[np.int32]) -> Tensor:
    """Replaces pixels by the median of their neighbours of the same colour.

    Args:
        mosaic: (..., H, W) of any 2x2 CFA.
        places: int (count, 2), rows and columns; those outside are passed over.

    Returns:
        A repaired copy, or the mosaic itself where there is nothing to repair.
    """
    height, width = mosaic.shape[-2:]
    local = torch.from_numpy(np.asarray(places, np.int64))
    local = local[(local[:, 0] >= 0) & (local[:, 0] < height) & (local[:, 1] >= 0) & (local[:, 1] < width)]
    if not len(local):
        return mosaic
    local = local.to(mosaic.device)
    around = []
    for dy, dx in _RING:
        # Reflected at the border, which keeps the colour.
        row = reflect(local[:, 0] + 2 * dy, height)
        col = reflect(local[:, 1] + 2 * dx, width)
        around.append(mosaic[..., row, col])
    out = mosaic.clone()
    out[..., local[:, 0], local[:, 1]] = torch.stack(around).median(0).values
    return out
