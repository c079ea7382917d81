"""Read the inputs of a model for one tile: the pixels of all frames, their block fields, and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.gather import BurstTile, source_region
from burstfix.engine.tiling import Tile, round_up, split
from burstfix.models.base import ModelInfo
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import NoiseProfile

BORDER = 16
"""Maximum width of the mirrored border in packed pixels. A wider border would only repeat pixels."""
LEAST_READ_VARIANCE = 1e-10
"""Lower bound that avoids 0/0 at black. The variance of 14-bit quantisation is three times as large."""
_READ_MARGIN = CELL // 2  # packed pixels around each cell that `BurstTile.each_window` reads
_LEAST_GAIN = 1e-3  # lower bound of gains from opcodes; avoids a noise of 0, by which models divide


@dataclass(frozen=True, slots=True)
class Window:
    """A tile with its halo, in packed pixels and whole cells; `bottom` and `right` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int


class TileGrid:
    """Sizes and positions of the tiles of one picture, for one model.

    Attributes:
        height, width: Size of the packed picture.
        multiple: Sizes and positions of tiles are multiples of this number, which is a common multiple of
            `CELL` and the model's `size_multiple`.
        halo: Width in packed pixels of the surroundings that are computed with a tile.
        border: Maximum number of packed pixels by which a window extends beyond the picture.
    """

    def __init__(self, height: int, width: int, info: ModelInfo) -> None:
        self.height, self.width = height, width
        self.multiple = int(np.lcm(info.size_multiple, CELL))
        self.halo = round_up(info.halo, self.multiple)
        self.border = min(self.halo, round_up(BORDER, self.multiple))

    def side(self, wanted: int) -> int:
        """Round the side of a tile up to a valid one, at most the size of the picture."""
        largest = round_up(max(self.height, self.width), self.multiple)
        return min(round_up(wanted, self.multiple), largest)

    def split(self, tile: Tile, side: int) -> list[Tile]:
        """Split a tile into parts of at most `side`, which overlap."""
        return split(tile, side, self.multiple, self.multiple)

    def window(self, tile: Tile) -> Window:
        """Add the halo to a tile."""
        top, bottom = self._span(tile.top, tile.height, self.height)
        left, right = self._span(tile.left, tile.width, self.width)
        return Window(top, left, bottom, right)

    def _span(self, start: int, length: int, size: int) -> tuple[int, int]:
        end = start + round_up(length, self.multiple) + self.halo
        return max(start - self.halo, -self.border), min(end, round_up(size, self.multiple) + self.border)


class TileReader:
    """Reader of the tiles of a burst.

    Args:
        sources: The frames.
        fields: Block field of each frame, int64 (2, gy, gx).
        reference: Index of the reference.
        noise: Noise of the frames before opcodes are applied.
        strength: Multiplier of the noise level that the model assumes.
    """

    def __init__(
        self,
        sources: Sequence[FrameSource],
        fields: Sequence[Tensor],
        reference: int,
        noise: NoiseProfile,
        strength: float,
    ) -> None:
        self._sources, self._fields, self._reference = sources, fields, reference
        self._noise, self._strength = noise, strength

    def read(self, window: Window, device: torch.device) -> BurstTile:
        """Read the pixels of all frames in a window. The noise includes the gains of opcodes."""
        picture = (self._sources[0].height, self._sources[0].width)
        cells_y = torch.arange(window.top // CELL, window.bottom // CELL)
        cells_x = torch.arange(window.left // CELL, window.right // CELL)
        sources, origins, offsets = [], [], []
        for source, field in zip(self._sources, self._fields, strict=True):
            # Cells outside the picture get the offset of the nearest cell inside.
            rows, cols = cells_y.clamp(0, field.shape[1] - 1), cells_x.clamp(0, field.shape[2] - 1)
            part = field[:, rows[:, None], cols]
            region = source_region(part, CELL, _READ_MARGIN, window.top, window.left, picture)
            sources.append(source.read(region, device))
            origins.append((region.top, region.left))
            offsets.append(part.to(device))
        shot_gain, read_variance = self._noise_of(window, device)
        return BurstTile(
            tuple(sources),
            tuple(origins),
            tuple(offsets),
            CELL,
            window.top,
            window.left,
            self._reference,
            shot_gain,
            read_variance,
            self._strength,
        )

    def _noise_of(self, window: Window, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return shot gain and read variance of the window, broadcastable to (1, 1, planes, h, w)."""
        reference = self._sources[self._reference]
        shot_gain, read_variance = noise_tensors(self._noise, device)
        planes = list(reference.layout.noise_planes)
        shot_gain, read_variance = shot_gain[:, :, planes], read_variance[:, :, planes]
        if not reference.changes_noise:
            return shot_gain, read_variance
        rows = torch.arange(window.top, window.bottom).clamp(0, reference.height - 1)
        cols = torch.arange(window.left, window.right).clamp(0, reference.width - 1)
        region = Region(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
        gains = reference.noise_slopes(region, device)
        rows, cols = (rows - region.top).to(device), (cols - region.left).to(device)
        gains = gains[:, rows[:, None], cols].clamp(min=_LEAST_GAIN)
        # A gain g on the signal multiplies the shot gain by g and the read variance by g^2.
        return shot_gain * gains, read_variance * gains.square()


def noise_tensors(noise: NoiseProfile, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return shot gain and read variance of the four planes, each (1, 1, 4, 1, 1)."""
    shot_gain = torch.tensor(noise.shot_gain, device=device).reshape(1, 1, 4, 1, 1)
    read_variance = torch.tensor(noise.read_variance, device=device).reshape(1, 1, 4, 1, 1)
    return shot_gain, read_variance.clamp(min=LEAST_READ_VARIANCE)
