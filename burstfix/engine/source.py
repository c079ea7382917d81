"""A frame in host memory as its tiles want it: packed in RGGB order, repaired and normalised where read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.align.gather import Region
from burstfix.raw.cfa import pack, rggb_padding
from burstfix.raw.hot_pixels import repair
from burstfix.raw.levels import normalise
from burstfix.types import Frame


class FrameSource:
    """Reads parts of one frame; the frame itself stays uint16.

    Attributes:
        height: Of the packed picture, after padding to RGGB phase and even size.
        width: Likewise.
        padding: The sensor pixels added on each side.
    """

    def __init__(self, frame: Frame, hot_pixels: NDArray[np.int32]):
        self._mosaic = frame.mosaic
        self._levels = frame.metadata.levels
        rows, cols = frame.mosaic.shape
        self.padding = rggb_padding(frame.metadata.cfa, rows, cols)
        self.height = (rows + self.padding.top + self.padding.bottom) // 2
        self.width = (cols + self.padding.left + self.padding.right) // 2
        self._hot = hot_pixels
        self._repaired = np.empty(0, np.uint16)
        if len(hot_pixels):
            # Once for the whole frame, so that a repair does not depend on what a tile sees.
            whole = repair(torch.from_numpy(frame.mosaic.astype(np.float32)), hot_pixels)
            values = whole.numpy()[hot_pixels[:, 0], hot_pixels[:, 1]]
            self._repaired = np.rint(values).astype(np.uint16)

    def read(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """The part (4, h, w) of the packed picture, float32, normalised; `region` lies inside it."""
        rows = _reflected(
            2 * region.top - self.padding.top, 2 * (region.bottom - region.top), 0, self._mosaic
        )
        cols = _reflected(
            2 * region.left - self.padding.left, 2 * (region.right - region.left), 1, self._mosaic
        )
        top, left = int(rows.min()), int(cols.min())
        part = self._mosaic[top : rows.max() + 1, left : cols.max() + 1]
        part = self._without_hot_pixels(part, top, left)
        values = normalise(torch.from_numpy(part).to(device), self._levels, (top, left))
        for axis, wanted in ((0, rows - top), (1, cols - left)):
            if not np.array_equal(wanted, np.arange(values.shape[axis])):
                values = values.index_select(axis, torch.from_numpy(wanted).to(device))
        return pack(values)

    def _without_hot_pixels(self, part: NDArray[np.uint16], top: int, left: int) -> NDArray[np.uint16]:
        """A copy of the part, repaired."""
        part = part.copy()
        ys, xs = self._hot[:, 0] - top, self._hot[:, 1] - left
        inside = (ys >= 0) & (ys < part.shape[0]) & (xs >= 0) & (xs < part.shape[1])
        part[ys[inside], xs[inside]] = self._repaired[inside]
        return part


def _reflected(first: int, count: int, axis: int, mosaic: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Rows (or columns) of the mosaic for a run that may begin before its first or end after its last one."""
    last = mosaic.shape[axis] - 1
    index = np.abs(np.arange(first, first + count))
    return last - np.abs(last - index)
