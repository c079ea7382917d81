"""Repair hot and dead pixels; `burstfix.analysis.hot_pixels` finds them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import reflect

_RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def repair(mosaic: Tensor, places: NDArray[np.int32]) -> Tensor:
    """Replace pixels by the median of their intact neighbours of the same colour.

    Args:
        mosaic: (..., H, W) with any 2x2 CFA, floating point.
        places: int (count, 2), rows and columns; positions outside the mosaic are ignored.

    Returns:
        A repaired copy, or the mosaic itself if there is nothing to repair. A pixel without intact neighbours
        gets the median of all neighbours.

    Example:
        >>> mosaic = torch.ones(6, 6)
        >>> mosaic[2, 3] = 9.0
        >>> repair(mosaic, np.array([[2, 3]], np.int32))[2, 3]
        tensor(1.)
    """
    height, width = mosaic.shape[-2:]
    local = torch.from_numpy(np.asarray(places, np.int64))
    local = local[(local[:, 0] >= 0) & (local[:, 0] < height) & (local[:, 1] >= 0) & (local[:, 1] < width)]
    if not len(local):
        return mosaic
    local = local.to(mosaic.device)
    bad = torch.zeros(height, width, dtype=torch.bool, device=mosaic.device)
    bad[local[:, 0], local[:, 1]] = True
    around, usable = [], []
    for dy, dx in _RING:
        # Reflected at the border, which keeps the colour.
        row = reflect(local[:, 0] + 2 * dy, height)
        col = reflect(local[:, 1] + 2 * dx, width)
        around.append(mosaic[..., row, col])
        usable.append(~bad[row, col])
    values, intact = torch.stack(around), torch.stack(usable)
    intact |= ~intact.any(0)  # if there are no intact neighbours, use all neighbours
    intact = intact.reshape(len(_RING), *[1] * (mosaic.dim() - 2), -1)
    out = mosaic.clone()
    out[..., local[:, 0], local[:, 1]] = torch.where(intact, values, torch.nan).nanmedian(0).values
    return out
