"""CFA geometry: every Bayer pattern brought to RGGB phase by reflection, packed into planes and back.

Reflection about the edge pixel keeps the pattern's phase (row -1 is row 1, two rows on), so nothing is
resampled and the four patterns give the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from burstfix.errors import UnsupportedSensorError
from burstfix.types import CFA_PATTERNS, LINEAR, MONOCHROME


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows and columns to add on each side so that a mosaic is RGGB and of even size."""

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
    """The padding that brings a mosaic of the given pattern and size to RGGB phase and even size.

    Raises:
        UnsupportedSensorError: `cfa` is not one of the four Bayer patterns, MONOCHROME or LINEAR.
    """
    if cfa in (MONOCHROME, LINEAR):
        return Padding(0, 0, height % 2, width % 2)  # no phase to bring anywhere
    if cfa not in CFA_PATTERNS:
        known = ", ".join(CFA_PATTERNS)
        raise UnsupportedSensorError(
            f"colour filter pattern {cfa!r} is not supported; expected one of {known}"
        )
    top, left = divmod(cfa.index("R"), 2)
    return Padding(top, left, (top + height) % 2, (left + width) % 2)


def pad_to_rggb(mosaic: Tensor, cfa: str) -> RggbMosaic:
    """Pads a mosaic (..., H, W), H and W at least 2, by reflection to RGGB phase and even size."""
    padding = rggb_padding(cfa, *mosaic.shape[-2:])
    planes = mosaic.reshape(-1, 1, *mosaic.shape[-2:])
    planes = F.pad(planes, (padding.left, padding.right, padding.top, padding.bottom), mode="reflect")
    return RggbMosaic(planes.reshape(*mosaic.shape[:-2], *planes.shape[-2:]), padding.top, padding.left)


def pack(mosaic: Tensor) -> Tensor:
    """(..., H, W) RGGB, even -> (..., 4, H/2, W/2): R, G on the red row, G on the blue row, B."""
    return F.pixel_unshuffle(mosaic.unsqueeze(-3), 2)


def unpack(packed: Tensor) -> Tensor:
    """(..., 4, h, w) -> (..., 2h, 2w); the inverse of `pack`."""
    return F.pixel_shuffle(packed, 2).squeeze(-3)
