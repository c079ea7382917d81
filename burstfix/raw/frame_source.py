"""A frame in host memory as its tiles want it: repaired, corrected, normalised, packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.opcodes import OpcodePlan
from burstfix.raw.cfa import pack, rggb_padding
from burstfix.raw.hot_pixels import repair
from burstfix.raw.mosaic_opcodes import MosaicCorrections
from burstfix.types import LINEAR, Frame

# Of the 12 planes of a demosaiced frame (each colour's 2x2 phases), those that a Bayer mosaic would have.
_BAYER_OF_LINEAR = (0, 5, 6, 11)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the packed picture: rows top to bottom (exclusive), columns left to right."""

    top: int
    left: int
    bottom: int
    right: int


class FrameSource:
    """Reads parts of one frame; the frame itself stays uint16.

    Attributes:
        height: Of the packed picture, after padding to RGGB phase and even size.
        width: Likewise.
        padding: The sensor pixels added on each side.
        changes_noise: Opcodes make the noise differ from place to place.
        planes: How many are read: 4, or 12 of a frame that is demosaiced already.
    """

    def __init__(self, frame: Frame, hot_pixels: NDArray[np.int32], plan: OpcodePlan):
        self._mosaic = frame.mosaic
        rows, cols = frame.mosaic.shape[:2]
        self.planes = 12 if frame.metadata.cfa == LINEAR else 4
        self.padding = rggb_padding(frame.metadata.cfa, rows, cols)
        self.height = (rows + self.padding.top + self.padding.bottom) // 2
        self.width = (cols + self.padding.left + self.padding.right) // 2
        self._corrections = MosaicCorrections(frame, plan)
        self.changes_noise = self._corrections.changes_noise
        places, values = [self._corrections.bad_pixels], [self._corrections.repaired]
        if len(hot_pixels):
            # Once for the whole frame, so that a repair does not depend on what a tile sees.
            whole = repair(torch.from_numpy(frame.mosaic.astype(np.float32)), hot_pixels).numpy()
            places.insert(0, hot_pixels)
            values.insert(0, np.rint(whole[hot_pixels[:, 0], hot_pixels[:, 1]]).astype(np.uint16))
        # What the file calls bad comes last: where both know a pixel, the file is right.
        self._repaired_at, self._repaired = np.concatenate(places), np.concatenate(values)

    def read(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """The part (planes, h, w) of the packed picture, float32, normalised; `region` lies inside it."""
        rows, cols = self._places(region)
        top, left = int(rows.min()), int(cols.min())
        part = self._mosaic[top : rows.max() + 1, left : cols.max() + 1]
        if self.planes == 12:
            part = np.ascontiguousarray(part.transpose(2, 0, 1))
        else:
            part = self._repair(part, top, left)
        values = self._corrections.normalise(torch.from_numpy(part).to(device), top, left)
        return self._packed(values, rows - top, cols - left)

    def noise_slopes(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """(planes, h, w): by how much opcodes stretch the noise of each packed pixel."""
        rows, cols = self._places(region)
        top, left = int(rows.min()), int(cols.min())
        height, width = int(rows.max()) + 1 - top, int(cols.max()) + 1 - left
        colours = 3 if self.planes == 12 else 1
        slopes = self._corrections.slopes(top, left, height, width, colours, device)
        return self._packed(slopes if colours > 1 else slopes[0], rows - top, cols - left)

    def for_matching(self, planes: Tensor) -> Tensor:
        """The planes (4, h, w) of `read` that alignment compares."""
        return planes[list(_BAYER_OF_LINEAR)] if self.planes == 12 else planes

    def _places(self, region: Region) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the mosaic that a region of the packed picture is made of."""
        rows = _reflected(
            2 * region.top - self.padding.top, 2 * (region.bottom - region.top), self._mosaic.shape[0]
        )
        cols = _reflected(
            2 * region.left - self.padding.left, 2 * (region.right - region.left), self._mosaic.shape[1]
        )
        return rows, cols

    def _packed(self, values: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Tensor:
        """(h, w) or (3, h, w) with its rows and columns in the order given, packed."""
        for axis, wanted in ((-2, rows), (-1, cols)):
            if not np.array_equal(wanted, np.arange(values.shape[axis])):
                values = values.index_select(axis, torch.from_numpy(wanted).to(values.device))
        return pack(values).flatten(0, -3)

    def _repair(self, part: NDArray[np.uint16], top: int, left: int) -> NDArray[np.uint16]:
        """A copy of the part, repaired."""
        part = part.copy()
        ys, xs = self._repaired_at[:, 0] - top, self._repaired_at[:, 1] - left
        inside = (ys >= 0) & (ys < part.shape[0]) & (xs >= 0) & (xs < part.shape[1])
        part[ys[inside], xs[inside]] = self._repaired[inside]
        return part


def _reflected(first: int, count: int, size: int) -> NDArray[np.int64]:
    """Rows (or columns) of the mosaic for a run that may begin before its first or end after its last one."""
    last = size - 1
    index = np.abs(np.arange(first, first + count))
    return last - np.abs(last - index)
