"""Opcode list 3 applied to the merged picture: lens corrections, in linear light.

DNG specification 1.7.1, chapter 7. Warps take their pixels by cubic interpolation.
"""

from __future__ import annotations

import numpy as np
import torch
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
    channels, height, width = picture.shape
    rows = max(1, _STRIP_PIXELS // width)
    planes = len(opcode.coefficients)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # One set of coefficients serves all colours, or each has its own.
        for group in [slice(0, channels)] if planes == 1 else [slice(c, c + 1) for c in range(channels)]:
            y, x = source_places(opcode, min(group.start, planes - 1), height, width, top, bottom)
            out[group, top:bottom] = _sample(picture[group], y, x)
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


def _sample(picture: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Values (C, h, w) of a picture (C, H, W) at fractional places; outside, the edge goes on.

    Cubic convolution with a = -1/2 (Keys 1981), the one of its kind that keeps quadratic curves.
    """
    channels, height, width = picture.shape
    # Damaged coefficients may point anywhere.
    y = torch.nan_to_num(y).clamp(-2, height + 1)
    x = torch.nan_to_num(x).clamp(-2, width + 1)
    first_y, first_x = y.floor(), x.floor()
    weights_y, weights_x = _cubic((y - first_y).float()), _cubic((x - first_x).float())
    flat = picture.reshape(channels, -1)
    out = torch.zeros(channels, y.numel())
    cols = [(first_x.long() + step).clamp(0, width - 1) for step in (-1, 0, 1, 2)]
    for step_y, weight_y in zip((-1, 0, 1, 2), weights_y, strict=True):
        row = (first_y.long() + step_y).clamp(0, height - 1) * width
        for col, weight_x in zip(cols, weights_x, strict=True):
            out += flat.index_select(1, (row + col).flatten()) * (weight_y * weight_x).flatten()
    return out.reshape(channels, *y.shape)


def _cubic(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of the four samples around a place, t = 0..1 beyond the second."""
    return (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (1.5 * t - 2.5),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (0.5 * t - 0.5),
    )


def _places(center: tuple[float, float], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows (H,) and columns (W,) seen from the centre, in units of the distance to the farthest corner."""
    reach = _reach(center, height, width)
    rows = (torch.arange(height, dtype=torch.float64) - center[1] * (height - 1)) / reach
    cols = (torch.arange(width, dtype=torch.float64) - center[0] * (width - 1)) / reach
    return rows, cols


def _reach(center: tuple[float, float], height: int, width: int) -> float:
    y, x = center[1] * (height - 1), center[0] * (width - 1)
    return max(float(np.hypot(max(y, height - 1 - y), max(x, width - 1 - x))), 1.0)
