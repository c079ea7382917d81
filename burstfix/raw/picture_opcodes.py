"""Opcode list 3 applied to the merged picture: lens corrections, in linear light.

DNG specification 1.7.1, chapter 7. Warps take their pixels by cubic interpolation.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.opcodes.plan import OpcodePlan
from burstfix.opcodes.records import Trim, Vignette, WarpFisheye, WarpRectilinear
from burstfix.raw.mosaic_opcodes import apply_steps, is_pointwise

_STRIP_PIXELS = 1 << 20


def apply_to_picture(data: NDArray[np.float32], plan: OpcodePlan) -> NDArray[np.float32]:
    """Cuts off what lists 1 and 2 trim, and applies list 3.

    Args:
        data: (C, H, W) linear picture of the visible area; may be changed in place.
        plan: Of its frame.

    Returns:
        The corrected picture, its values unclipped.
    """
    top, left, bottom, right = plan.crop
    picture = torch.from_numpy(np.ascontiguousarray(data[:, top:bottom, left:right]))
    origin = (0, 0)
    for step in plan.picture:
        opcode = step.opcode
        if isinstance(opcode, Trim):
            picture = picture[:, opcode.top : opcode.bottom, opcode.left : opcode.right].contiguous()
            origin = (origin[0] + opcode.top, origin[1] + opcode.left)
        elif isinstance(opcode, Vignette):
            picture *= vignette_gain(opcode, *picture.shape[1:])
        elif isinstance(opcode, (WarpRectilinear, WarpFisheye)):
            picture = warp(picture, opcode)
        elif is_pointwise(step):
            picture = apply_steps(picture, [step], *origin)
    return picture.numpy()


def picture_size(plan: OpcodePlan) -> tuple[int, int]:
    """Height and width of what `apply_to_picture` returns."""
    top, left, bottom, right = plan.crop
    size = (bottom - top, right - left)
    for step in plan.picture:
        if isinstance(step.opcode, Trim):
            size = (step.opcode.bottom - step.opcode.top, step.opcode.right - step.opcode.left)
    return size


def vignette_gain(opcode: Vignette, height: int, width: int) -> Tensor:
    """(height, width) float32 gains."""
    rows, cols = _places(opcode.center, height, width)
    squared = rows[:, None] ** 2 + cols**2
    gain = torch.zeros_like(squared)
    for coefficient in opcode.coefficients[::-1]:
        gain = (gain + float(coefficient)) * squared
    return (1 + gain).float()


def warp(picture: Tensor, opcode: WarpRectilinear | WarpFisheye) -> Tensor:
    """(C, H, W) -> the same size, every pixel from where the opcode says; edges are repeated beyond."""
    out = torch.empty_like(picture)
    channels, height, _ = picture.shape
    rows = max(1, _STRIP_PIXELS // picture.shape[2])
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        if len(opcode.coefficients) == 1:
            grid = _source_grid(opcode, 0, picture.shape, top, bottom)
            out[:, top:bottom] = _sample(picture, grid)
            continue
        for channel in range(channels):
            grid = _source_grid(
                opcode, min(channel, len(opcode.coefficients) - 1), picture.shape, top, bottom
            )
            out[channel : channel + 1, top:bottom] = _sample(picture[channel : channel + 1], grid)
    return out


def source_places(
    opcode: WarpRectilinear | WarpFisheye,
    plane: int,
    height: int,
    width: int,
    top: int = 0,
    bottom: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Where each pixel of some rows comes from: float64 rows and columns, each (bottom - top, width)."""
    y, x = _places(opcode.center, height, width)
    y = y[top:bottom, None]
    squared = y**2 + x**2
    k = [float(value) for value in opcode.coefficients[plane]]
    if isinstance(opcode, WarpRectilinear):
        radial = k[0] + squared * (k[1] + squared * (k[2] + squared * k[3]))
        new_x = x * radial + k[4] * (2 * x * y) + k[5] * (squared + 2 * x**2)
        new_y = y * radial + k[5] * (2 * x * y) + k[4] * (squared + 2 * y**2)
    else:
        r = squared.sqrt()
        angle = torch.atan(r)
        turned = angle**2
        curve = angle * (k[0] + turned * (k[1] + turned * (k[2] + turned * k[3])))
        scale = torch.where(r > 1e-12, curve / r.clamp(min=1e-12), torch.full_like(r, k[0]))
        new_x, new_y = x * scale, y * scale
    center_x, center_y = opcode.center[0] * (width - 1), opcode.center[1] * (height - 1)
    reach = _reach(opcode.center, height, width)
    return center_y + reach * new_y, center_x + reach * new_x


def _source_grid(
    opcode: WarpRectilinear | WarpFisheye, plane: int, shape: torch.Size, top: int, bottom: int
) -> Tensor:
    """(1, rows, W, 2) as grid_sample counts: -1 to 1 from the first pixel's centre to the last's."""
    _, height, width = shape
    y, x = source_places(opcode, plane, height, width, top, bottom)
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    # Damaged coefficients may point anywhere; beyond the edge it is the edge all the same.
    return torch.nan_to_num(grid, 0.0, 3.0, -3.0).clamp(-3, 3).float()[None]


def _sample(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(picture[None], grid, "bicubic", "border", align_corners=True)[0]


def _places(center: tuple[float, float], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows (H,) and columns (W,) seen from the centre, in units of the distance to the farthest corner."""
    reach = _reach(center, height, width)
    rows = (torch.arange(height, dtype=torch.float64) - center[1] * (height - 1)) / reach
    cols = (torch.arange(width, dtype=torch.float64) - center[0] * (width - 1)) / reach
    return rows, cols


def _reach(center: tuple[float, float], height: int, width: int) -> float:
    y, x = center[1] * (height - 1), center[0] * (width - 1)
    return max(float(np.hypot(max(y, height - 1 - y), max(x, width - 1 - x))), 1.0)
