"""Apply opcode list 3 (lens corrections) to the merged picture in linear light.

Source: DNG specification 1.7.1, chapter 7. Warps use cubic convolution for interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.opcodes.plan import OpcodePlan
from burstfix.opcodes.records import Trim, Vignette, Warp, WarpFisheye, WarpRectilinear
from burstfix.raw.mosaic_opcodes import apply_steps, check_values, is_pointwise

_STRIP_PIXELS = 1 << 15  # pixels processed at once, so that they stay in the processor's cache


def apply_to_picture(
    data: NDArray[np.float32], plan: OpcodePlan, where: str = "picture"
) -> NDArray[np.float32]:
    """Crop a picture according to lists 1 and 2, and apply list 3.

    Args:
        data: (C, H, W) linear picture of the visible area; may be changed in place.
        plan: Plan of the reference frame.
        where: The file, for messages.

    Returns:
        The corrected picture, unclipped.

    Raises:
        InputError: The opcodes give values that are not finite or far too large.
    """
    top, left, bottom, right = plan.crop or (0, 0, *data.shape[1:])
    picture = torch.from_numpy(np.ascontiguousarray(data[:, top:bottom, left:right]))
    origin = (0, 0)
    for step in plan.picture:
        opcode = step.opcode
        if isinstance(opcode, Trim):
            picture = picture[:, opcode.top : opcode.bottom, opcode.left : opcode.right].contiguous()
            origin = (origin[0] + opcode.top, origin[1] + opcode.left)
        elif isinstance(opcode, Vignette):
            picture *= vignette_gain(opcode, *picture.shape[1:])
        elif isinstance(opcode, Warp):
            picture = warp(picture, opcode)
        elif is_pointwise(step):
            picture = apply_steps(picture, [step], *origin)
        check_values(picture, [step], where)
    return picture.numpy()


def vignette_gain(opcode: Vignette, height: int, width: int) -> Tensor:
    """Return the gains of a vignette correction, float32 (height, width)."""
    rows, cols = _relative_positions(opcode.center, height, width)
    squared = rows[:, None] ** 2 + cols**2
    gain = torch.zeros_like(squared)
    for coefficient in opcode.coefficients[::-1]:
        gain = (gain + float(coefficient)) * squared
    return (1 + gain).float()


def warp(picture: Tensor, opcode: Warp) -> Tensor:
    """Correct lens distortion of (C, H, W) in place. Outside the picture, edge pixels are repeated."""
    for channel, plane in enumerate(picture):
        # There is one set of coefficients for all colours, or one set for each colour.
        _warp_plane(plane, opcode, min(channel, len(opcode.coefficients) - 1))
    return picture


def _warp_plane(plane: Tensor, opcode: Warp, chosen: int) -> None:
    height, width = plane.shape
    rows = max(1, _STRIP_PIXELS // width)
    source = _with_edges(plane)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        y, x = source_positions(opcode, chosen, height, width, top, bottom)
        plane[top:bottom] = _sample(source, y, x)


def source_positions(
    opcode: Warp, plane: int, height: int, width: int, top: int = 0, bottom: int | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the source position of each pixel in some rows.

    Args:
        opcode: The warp.
        plane: Index of its coefficients.
        height: Rows of the picture.
        width: Columns of the picture.
        top: First row to compute.
        bottom: End (exclusive) of the rows to compute; None = the last row.

    Returns:
        float64 rows and columns, each (bottom - top, width).
    """
    y, x = _relative_positions(opcode.center, height, width)
    y = y[top:bottom, None]
    squared = y**2 + x**2
    k = [float(value) for value in opcode.coefficients[plane]]
    if isinstance(opcode, WarpFisheye):
        r = squared.sqrt()
        angle = torch.atan(r)
        curve = angle * _polynomial(k, angle**2)
        scale = torch.where(r > 1e-12, curve / r.clamp(min=1e-12), torch.full_like(r, k[0]))
        new_x, new_y = x * scale, y * scale
    else:
        if isinstance(opcode, WarpRectilinear):
            radial = _polynomial(k[:4], squared)
        else:
            least, most = (float(value) for value in opcode.valid[plane])
            radial = _polynomial(k[:15], squared.sqrt().clamp(least, most))
            radial = 1 / radial if opcode.reciprocal else radial
        down, across = k[-2:]
        new_x = x * radial + down * (2 * x * y) + across * (squared + 2 * x**2)
        new_y = y * radial + across * (2 * x * y) + down * (squared + 2 * y**2)
    center_x, center_y = opcode.center[0] * (width - 1), opcode.center[1] * (height - 1)
    reach = _reach(opcode.center, height, width)
    return center_y + reach * new_y, center_x + reach * new_x


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Evaluate a polynomial, constant term first."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def _with_edges(plane: Tensor) -> Tensor:
    """Repeat the edges, (H, W) -> (H + 5, W + 5), so that `_sample` needs no bounds checks."""
    return torch.nn.functional.pad(plane[None], (2, 3, 2, 3), mode="replicate")[0]


def _sample(source: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Interpolate at fractional positions (h, w) of a picture prepared by `_with_edges`.

    The method is cubic convolution with a = -1/2 (Keys 1981), which reproduces quadratic functions.
    """
    height, width = (side - 5 for side in source.shape)
    # Damaged coefficients may result in any position.
    y = torch.nan_to_num(y).clamp(-1, height)
    x = torch.nan_to_num(x).clamp(-1, width)
    first_y, first_x = y.floor(), x.floor()
    weights_y, weights_x = _cubic((y - first_y).float()), _cubic((x - first_x).float())
    # Index of the upper left one of the 4x4 samples of each pixel. The others are at fixed distances from it.
    corner = ((first_y + 1) * source.shape[1] + first_x + 1).flatten().long()
    flat = source.flatten()
    out = torch.zeros_like(weights_y[0])
    for row, weight_y in enumerate(weights_y):
        line = torch.zeros_like(out)
        for col, weight_x in enumerate(weights_x):
            values = flat[row * source.shape[1] + col :].index_select(0, corner)
            line.addcmul_(values.view_as(out), weight_x)
        out.addcmul_(line, weight_y)
    return out


def _cubic(t: Tensor) -> list[Tensor]:
    """Return the weights of the four samples around a position that is t = 0..1 past the second sample."""
    return [
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (1.5 * t - 2.5),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (0.5 * t - 0.5),
    ]


def _relative_positions(center: tuple[float, float], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return rows (H,) and columns (W,) relative to a centre; the distance of the farthest corner is 1."""
    reach = _reach(center, height, width)
    rows = (torch.arange(height, dtype=torch.float64) - center[1] * (height - 1)) / reach
    cols = (torch.arange(width, dtype=torch.float64) - center[0] * (width - 1)) / reach
    return rows, cols


def _reach(center: tuple[float, float], height: int, width: int) -> float:
    """Return the distance of the farthest corner from the centre, in pixels."""
    y, x = center[1] * (height - 1), center[0] * (width - 1)
    return max(float(np.hypot(max(y, height - 1 - y), max(x, width - 1 - x))), 1.0)
