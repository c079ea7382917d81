"""CFA geometry: bring every Bayer pattern to RGGB phase by reflection, and pack it into planes.

Reflection about the edge pixel keeps the phase of the pattern: row -1 repeats row 1, which is two rows below.
Nothing is resampled, and the four patterns give the same picture. A GBRG mosaic of 3x4 pixels gets one row
on top, which makes it RGGB of 4x4:

    row -1 = row 1     R G R G
    row  0             G B G B
    row  1             R G R G
    row  2             G B G B
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.cfa import CfaLayout


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows and columns to add on each side so that a mosaic has RGGB phase and even size."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class RggbMosaic:
    """A padded mosaic (..., H', W') in RGGB phase; the original begins at row `top`, column `left`."""

    mosaic: Tensor
    top: int
    left: int


def rggb_padding(cfa: str, height: int, width: int) -> Padding:
    """Return the padding that brings a mosaic to RGGB phase and even size.

    Args:
        cfa: Pattern of the mosaic, see `CfaLayout`.
        height: Rows of the mosaic.
        width: Columns of the mosaic.

    Raises:
        UnsupportedSensorError: `cfa` is not one of the four Bayer patterns, MONOCHROME or LINEAR.

    Example:
        >>> rggb_padding("GBRG", 3, 4)
        Padding(top=1, left=0, bottom=0, right=0)
    """
    top, left = CfaLayout.of(cfa).red
    return Padding(top, left, (top + height) % 2, (left + width) % 2)


def pad_to_rggb(mosaic: Tensor, cfa: str) -> RggbMosaic:
    """Pad a mosaic (..., H, W), H and W at least 2, by reflection to RGGB phase and even size."""
    padding = rggb_padding(cfa, *mosaic.shape[-2:])
    planes = mosaic.reshape(-1, 1, *mosaic.shape[-2:])
    planes = F.pad(planes, (padding.left, padding.right, padding.top, padding.bottom), mode="reflect")
    return RggbMosaic(planes.reshape(*mosaic.shape[:-2], *planes.shape[-2:]), padding.top, padding.left)


def mosaic(rgb: Tensor, cfa: str = "RGGB") -> Tensor:
    """Sample RGB like a sensor with a Bayer filter.

    Args:
        rgb: (..., 3, H, W).
        cfa: One of the four Bayer patterns.

    Returns:
        (..., H, W): at each pixel, the value of the colour that its filter passes.

    Example:
        >>> colors = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1).expand(3, 2, 4)
        >>> mosaic(colors, "GRBG").tolist()
        [[2.0, 1.0, 2.0, 1.0], [3.0, 2.0, 3.0, 2.0]]
    """
    out = torch.empty_like(rgb[..., 0, :, :])
    for k, color in enumerate(cfa):
        y, x = divmod(k, 2)
        out[..., y::2, x::2] = rgb[..., "RGB".index(color), y::2, x::2]
    return out


def reflect(index: Tensor, size: int) -> Tensor:
    """Map indices into 0..size - 1 by reflection about the first and last pixel.

    Reflection keeps the phase of a mosaic. Repeated edge pixels would share the same noise, which would look
    like a signal.

    Args:
        index: Integer indices, any shape.
        size: Number of pixels along the axis.

    Example:
        >>> reflect(torch.arange(-3, 7), 4).tolist()
        [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    last = size - 1
    return (last - (last - index.abs()).abs()).clamp(0, last)


def pack(mosaic: Tensor) -> Tensor:
    """Pack a mosaic of RGGB phase and even size into planes.

    Args:
        mosaic: (..., H, W).

    Returns:
        (..., 4, H/2, W/2): R, Gr, Gb, B (Gr: green in the red rows; Gb: green in the blue rows).

    Example:
        >>> pack(torch.arange(8.0).reshape(2, 4))[:, 0].tolist()
        [[0.0, 2.0], [1.0, 3.0], [4.0, 6.0], [5.0, 7.0]]
    """
    return deinterleave(mosaic.unsqueeze(-3))


def unpack(packed: Tensor) -> Tensor:
    """Invert `pack`: (..., 4, h, w) -> (..., 2h, 2w)."""
    return interleave(packed).squeeze(-3)


def deinterleave(x: Tensor) -> Tensor:
    """Move 2x2 pixels to channels: (..., C, 2h, 2w) to (..., 4C, h, w), as `F.pixel_unshuffle(x, 2)`.

    On a CPU, these copies take half the time of torch's function or less.
    """
    return x.unflatten(-2, (-1, 2)).unflatten(-1, (-1, 2)).movedim((-3, -1), (-4, -3)).flatten(-5, -3)


def interleave(x: Tensor) -> Tensor:
    """Invert `deinterleave`: (..., 4C, h, w) to (..., C, 2h, 2w), as `F.pixel_shuffle(x, 2)`."""
    return x.unflatten(-3, (-1, 2, 2)).movedim((-4, -3), (-3, -1)).flatten(-4, -3).flatten(-2)
