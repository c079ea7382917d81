"""Reads parts of a frame as packed planes: normalised and, if asked for, repaired and corrected.

This is the only reader of packed planes. Analysis reads frames as the sensor recorded them; the engine reads
them with hot pixels repaired and opcodes applied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import pack, rggb_padding
from burstfix.raw.hot_pixels import repair
from burstfix.raw.mosaic_opcodes import MosaicCorrections
from burstfix.types import Frame, OpcodePlan


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the packed picture: rows top to bottom (exclusive), columns left to right."""

    top: int
    left: int
    bottom: int
    right: int


class FrameSource:
    """Reads parts of one frame; the frame itself stays uint16.

    A region may touch or include the padding that `rggb_padding` adds; padded pixels mirror the frame. Every
    region is a slice of the whole picture.

    Args:
        frame: The frame.
        hot_pixels: int (count, 2), rows and columns of pixels to repair.
        corrected: Whether to apply the opcode lists 1 and 2 that `frame.plan` holds.

    Attributes:
        layout: Which planes are read.
        height: Height of the packed picture, after padding to RGGB phase and even size.
        width: Width of it.
        padding: Sensor pixels added on each side.
        changes_noise: True if opcodes make the noise differ from place to place.

    Example:
        >>> from pathlib import Path
        >>> from burstfix.types import ColorProfile, FrameMetadata, Levels
        >>> levels = Levels(black=np.full((1, 1), 64, np.float32), white=1023.0)
        >>> color = ColorProfile(np.eye(3), np.ones(3))
        >>> metadata = FrameMetadata(Path("a.dng"), 6, 9, "RGGB", levels, color)
        >>> source = FrameSource(Frame(np.full((6, 9), 64, np.uint16), metadata))
        >>> source.height, source.width
        (3, 5)
        >>> source.read(Region(0, 3, 2, 5)).shape
        torch.Size([4, 2, 2])
    """

    def __init__(
        self, frame: Frame, hot_pixels: NDArray[np.int32] | None = None, *, corrected: bool = False
    ) -> None:
        self._mosaic = frame.mosaic
        rows, cols = frame.mosaic.shape[:2]
        self.layout = frame.layout
        self.padding = rggb_padding(frame.metadata.cfa, rows, cols)
        self.height = (rows + self.padding.top + self.padding.bottom) // 2
        self.width = (cols + self.padding.left + self.padding.right) // 2
        self._corrections = MosaicCorrections(frame, frame.plan if corrected else OpcodePlan())
        self.changes_noise = self._corrections.changes_noise
        places, values = [self._corrections.bad_pixels], [self._corrections.repaired]
        if hot_pixels is not None and len(hot_pixels):
            # Repair the whole frame once, so that the result does not depend on the region.
            whole = repair(torch.from_numpy(frame.mosaic.astype(np.float32)), hot_pixels).numpy()
            places.insert(0, hot_pixels)
            values.insert(0, np.rint(whole[hot_pixels[:, 0], hot_pixels[:, 1]]).astype(np.uint16))
        # Pixels that the file calls bad come last, so that the file's repair takes precedence.
        self._repaired_at, self._repaired = np.concatenate(places), np.concatenate(values)

    @property
    def whole(self) -> Region:
        """The region of the whole packed picture."""
        return Region(0, 0, self.height, self.width)

    def read(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Reads a region.

        Args:
            region: A rectangle inside the packed picture.
            device: Where to compute.

        Returns:
            float32 (planes, h, w), normalised: 0 = black, 1 = white, unclipped.
        """
        rows, cols = self._mosaic_indices(region)
        top, left = int(rows.min()), int(cols.min())
        part = self._mosaic[top : rows.max() + 1, left : cols.max() + 1]
        if self.layout.channels > 1:
            part = part.transpose(2, 0, 1)
        part = self._repair(part, top, left)
        values = self._corrections.normalise(torch.from_numpy(part).to(device), top, left)
        return self._packed(values, rows - top, cols - left)

    def read_for_matching(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Reads the four planes (4, h, w) on which frames are compared, as a Bayer sensor records them."""
        planes = self.read(region, device)
        return planes if self.layout.planes == 4 else planes[list(self.layout.matching_planes)]

    def noise_slopes(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Returns the factors (planes, h, w) by which opcodes scale the noise of each packed pixel."""
        rows, cols = self._mosaic_indices(region)
        top, left = int(rows.min()), int(cols.min())
        height, width = int(rows.max()) + 1 - top, int(cols.max()) + 1 - left
        channels = self.layout.channels
        slopes = self._corrections.slopes(top, left, height, width, channels, device)
        return self._packed(slopes if channels > 1 else slopes[0], rows - top, cols - left)

    def _mosaic_indices(self, region: Region) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the rows and columns of the mosaic that a region of the packed picture consists of."""
        rows = _reflected(
            2 * region.top - self.padding.top, 2 * (region.bottom - region.top), self._mosaic.shape[0]
        )
        cols = _reflected(
            2 * region.left - self.padding.left, 2 * (region.right - region.left), self._mosaic.shape[1]
        )
        return rows, cols

    def _packed(self, values: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Tensor:
        """Packs (h, w) or (3, h, w) after putting its rows and columns in the given order."""
        for axis, wanted in ((-2, rows), (-1, cols)):
            if not np.array_equal(wanted, np.arange(values.shape[axis])):
                values = values.index_select(axis, torch.from_numpy(wanted).to(values.device))
        return pack(values).flatten(0, -3)

    def _repair(self, part: NDArray[np.uint16], top: int, left: int) -> NDArray[np.uint16]:
        """Returns the part with repaired pixels, contiguous."""
        ys, xs = self._repaired_at[:, 0] - top, self._repaired_at[:, 1] - left
        inside = (ys >= 0) & (ys < part.shape[-2]) & (xs >= 0) & (xs < part.shape[-1])
        part = part.copy()
        part[..., ys[inside], xs[inside]] = self._repaired[inside]
        return part


def _reflected(first: int, count: int, size: int) -> NDArray[np.int64]:
    """Rows (or columns) of the mosaic for a run that may begin before its first or end after its last one."""
    last = size - 1
    index = np.abs(np.arange(first, first + count))
    return last - np.abs(last - index)
