"""Read parts of a frame as packed planes, normalised and optionally repaired and corrected.

This is the only reader of packed planes. The analysis reads frames as recorded by the sensor. The engine
reads frames with repaired hot pixels and applied opcodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import pack, reflect, rggb_padding
from burstfix.raw.hot_pixels import repair
from burstfix.raw.mosaic_opcodes import MosaicCorrections
from burstfix.scratch import release
from burstfix.types import Frame, OpcodePlan


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the packed picture: rows top to bottom (exclusive), columns left to right."""

    top: int
    left: int
    bottom: int
    right: int


class FrameSource:
    """Reader of parts of one frame. The frame is kept as uint16.

    A region may include the padding that `rggb_padding` adds, which mirrors the frame. The result for a
    region is a slice of the result for the whole picture.

    Args:
        frame: The frame.
        hot_pixels: int (count, 2), rows and columns of pixels to repair.
        corrected: True to apply the opcode lists 1 and 2 of `frame.plan`.

    Attributes:
        layout: Layout of the planes that are read.
        height: Height of the packed picture, after padding to RGGB phase and even size.
        width: Width of the packed picture.
        padding: Sensor pixels added on each side.
        changes_noise: True if the noise differs between pixels because of opcodes.

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
        # Pixels that the file marks as bad come last, so that their repaired values take precedence.
        self._repaired_at, self._repaired = np.concatenate(places), np.concatenate(values)

    @property
    def whole(self) -> Region:
        """Region that covers the whole packed picture."""
        return Region(0, 0, self.height, self.width)

    def read(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Read a region.

        Args:
            region: A rectangle inside the packed picture.
            device: Device of the computation and the result.

        Returns:
            float32 (planes, h, w), normalised: 0 = black, 1 = white, unclipped.
        """
        area = self._area(region)
        part = self._mosaic[area.top : area.bottom, area.left : area.right]
        if self.layout.channels > 1:
            part = part.transpose(2, 0, 1)
        part = self._repair(part, area.top, area.left)
        values = self._corrections.normalise(torch.from_numpy(part).to(device), area.top, area.left)
        return _packed(values, area)

    def read_for_matching(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Read the four planes (4, h, w) that a Bayer sensor would record, to compare frames."""
        planes = self.read(region, device)
        return planes if self.layout.planes == 4 else planes[list(self.layout.matching_planes)]

    def noise_slopes(self, region: Region, device: torch.device | str = "cpu") -> Tensor:
        """Return the factors (planes, h, w) by which opcodes scale the noise of each packed pixel."""
        area, channels = self._area(region), self.layout.channels
        height, width = area.bottom - area.top, area.right - area.left
        slopes = self._corrections.slopes(area.top, area.left, height, width, channels, device)
        return _packed(slopes if channels > 1 else slopes[0], area)

    def _area(self, region: Region) -> _Area:
        """Return the part of the mosaic that forms a region of the packed picture."""
        height, width = self._mosaic.shape[:2]
        top, bottom = 2 * region.top - self.padding.top, 2 * region.bottom - self.padding.top
        left, right = 2 * region.left - self.padding.left, 2 * region.right - self.padding.left
        if min(top, left) >= 0 and bottom <= height and right <= width:
            return _Area(top, left, bottom, right)
        rows, cols = reflect(torch.arange(top, bottom), height), reflect(torch.arange(left, right), width)
        top, left = int(rows.min()), int(cols.min())
        return _Area(top, left, int(rows.max()) + 1, int(cols.max()) + 1, (rows - top, cols - left))

    def _repair(self, part: NDArray[np.uint16], top: int, left: int) -> NDArray[np.uint16]:
        """Return the part as a contiguous array with repaired pixels."""
        ys, xs = self._repaired_at[:, 0] - top, self._repaired_at[:, 1] - left
        inside = (ys >= 0) & (ys < part.shape[-2]) & (xs >= 0) & (xs < part.shape[-1])
        part = part.copy()
        release(self._mosaic)
        part[..., ys[inside], xs[inside]] = self._repaired[inside]
        return part


@dataclass(frozen=True, slots=True, eq=False)
class _Area:
    """A rectangle of the mosaic (bottom and right exclusive), and the order in which its pixels are packed.

    `order` contains the rows and columns relative to `top` and `left`. In padding, a row or column occurs
    twice. It is None for all rows and columns in their order.
    """

    top: int
    left: int
    bottom: int
    right: int
    order: tuple[Tensor, Tensor] | None = None


def _packed(values: Tensor, area: _Area) -> Tensor:
    """Mirror the values (h, w) or (3, h, w) of an area into the padding, and pack them."""
    if area.order is not None:
        for axis, wanted in zip((-2, -1), area.order, strict=True):
            values = values.index_select(axis, wanted.to(values.device))
    return pack(values).flatten(0, -3)
