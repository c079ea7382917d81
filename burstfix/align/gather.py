"""Gather the cells of a frame that match the reference; provide the aligned frames of a tile to models.

A block field has one offset (dy, dx) for each cell of the reference. `gather_cells` reads the matching square
of the frame, extended by a margin, and puts the squares side by side:

    frame                           result (2 cells, margin m)
    . . . . . . . . . .             +------+------+
    . +------+ . . . . .            |cell 0|cell 1|   each cell + 2 m wide
    . |cell 0| . +------+           |      |      |
    . +------+ . |cell 1|           +------+------+
    . . . . . .  +------+
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from burstfix.native.gather import can_gather, gather
from burstfix.raw.cfa import reflect
from burstfix.raw.frame_source import Region


def gather_cells(
    source: Tensor,
    offsets: Tensor,
    cell: int,
    margin: int = 0,
    *,
    origin: tuple[int, int] = (0, 0),
) -> Tensor:
    """Read every cell of a block field from a frame.

    Args:
        source: (..., C, hs, ws) pixels of the frame, continued by reflection outside.
        offsets: Integer (..., 2, gy, gx) in packed pixels; leading dimensions as in `source`.
        cell: Side of a cell in packed pixels.
        margin: Pixels by which each cell is extended on every side.
        origin: Row and column of the field's first cell within `source`.

    Returns:
        (..., C, gy * (cell + 2 * margin), gx * (cell + 2 * margin)): the windows side by side. With margin 0
        this is the aligned picture; crop it if its size is not a multiple of the cell.

    Example:
        >>> frame = torch.arange(16.0).reshape(1, 4, 4)
        >>> gather_cells(frame, torch.tensor([1, 0]).reshape(2, 1, 1), cell=2).tolist()
        [[[4.0, 5.0], [8.0, 9.0]]]
    """
    if can_gather(source):
        top, left = origin
        return gather(source, offsets, cell + 2 * margin, cell, (top - margin, left - margin))
    lead = source.shape[:-3]
    channels, height, width = source.shape[-3:]
    gy, gx = offsets.shape[-2:]
    side = cell + 2 * margin
    flat_offsets = offsets.reshape(-1, 2, gy, gx).long()
    batch = flat_offsets.shape[0]
    inside = torch.arange(-margin, cell + margin, device=source.device)
    start_y = flat_offsets[:, 0] + (torch.arange(gy, device=source.device) * cell + origin[0])[:, None]
    start_x = flat_offsets[:, 1] + torch.arange(gx, device=source.device) * cell + origin[1]
    rows = reflect(start_y[..., None] + inside, height)  # B, gy, gx, side
    cols = reflect(start_x[..., None] + inside, width)
    index = rows.permute(0, 1, 3, 2)[..., None] * width + cols[:, :, None]  # B, gy, side, gx, side
    index = index.reshape(batch, 1, -1).expand(batch, channels, -1)
    out = source.reshape(batch, channels, height * width).gather(2, index)
    return out.reshape(*lead, channels, gy * side, gx * side)


def covered(offsets: Tensor, cell: int, origin: tuple[int, int], height: int, width: int) -> Tensor:
    """Return a mask of the pixels of `gather_cells` that lie inside its source, without reflection.

    Args:
        offsets: Integer (2, gy, gx) in packed pixels.
        cell: Side of a cell in packed pixels.
        origin: Row and column of the field's first cell within the source.
        height: Rows of the source.
        width: Columns of the source.

    Returns:
        bool (gy * cell, gx * cell).
    """
    gy, gx = offsets.shape[-2:]
    inside = torch.arange(cell, device=offsets.device)
    start_y = offsets[0] + (torch.arange(gy, device=offsets.device) * cell + origin[0])[:, None]
    start_x = offsets[1] + torch.arange(gx, device=offsets.device) * cell + origin[1]
    rows, cols = start_y[..., None] + inside, start_x[..., None] + inside  # gy, gx, cell
    rows_fit, cols_fit = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
    fit = rows_fit.permute(0, 2, 1)[..., None] & cols_fit[:, None]  # gy, cell, gx, cell
    return fit.reshape(gy * cell, gx * cell)


def source_region(
    offsets: Tensor, cell: int, margin: int, top: int, left: int, picture: tuple[int, int]
) -> Region:
    """Return the part of a frame that a tile reads. It is clipped to the picture and never empty.

    Args:
        offsets: (2, gy, gx) offsets of the cells that cover the tile, in packed pixels.
        cell: Side of a cell in packed pixels.
        margin: Pixels read around each cell (half a cell for `BurstTile.each_window`).
        top: Row of the picture at which the first cell begins.
        left: Column of the picture at which the first cell begins.
        picture: Height and width of the packed picture.
    """
    gy, gx = offsets.shape[-2:]
    height, width = picture
    start_y = offsets[0].cpu() + (top + torch.arange(gy) * cell)[:, None]
    start_x = offsets[1].cpu() + left + torch.arange(gx) * cell
    first_row = min(max(int(start_y.min()) - margin, 0), height - 1)
    first_col = min(max(int(start_x.min()) - margin, 0), width - 1)
    last_row = min(max(int(start_y.max()) + cell + margin, first_row + 1), height)
    last_col = min(max(int(start_x.max()) + cell + margin, first_col + 1), width)
    return Region(first_row, first_col, last_row, last_col)


@dataclass(frozen=True, slots=True, eq=False)
class BurstTile:
    """Pixels of all frames for one tile, not yet aligned.

    The tile, including its halo, consists of whole cells: (gy * cell, gx * cell) packed pixels.

    Attributes:
        sources: For each frame, normalised (4, hs, ws), or (12, hs, ws) if frames are linear. The source
            contains at least the part of the picture that the tile reads (`source_region`).
        origins: Row and column of each source in the packed picture.
        offsets: Block field of the tile's cells for each frame, integer (2, gy, gx).
        cell: Side of a cell in packed pixels.
        top: Row of the packed picture at which the tile, including its halo, begins; may be outside the
            picture.
        left: Column of the packed picture at which the tile begins.
        reference: Index of the reference among the frames.
        shot_gain: Measured shot gain in normalised units: (1, 1, 4, 1, 1), or (1, 1, 4, h, w) if it differs
            between pixels because of opcodes.
        read_variance: Measured read variance, in the same form.
        strength: Multiplier of the noise level that the model assumes; see `assumed_noise`.
    """

    sources: tuple[Tensor, ...]
    origins: tuple[tuple[int, int], ...]
    offsets: tuple[Tensor, ...]
    cell: int
    top: int
    left: int
    reference: int
    shot_gain: Tensor
    read_variance: Tensor
    strength: float = 1.0

    def assumed_noise(self) -> tuple[Tensor, Tensor]:
        """Return the assumed shot gain and read variance: the measured ones times `strength` squared."""
        factor = self.strength**2
        return self.shot_gain * factor, self.read_variance * factor

    def aligned(self) -> Tensor:
        """Return the tile of every frame, aligned to the reference, (N, 4, h, w)."""
        reference, *others = self.each_aligned()
        return torch.stack([*others[: self.reference], reference, *others[self.reference :]])

    def each_aligned(self) -> Iterator[Tensor]:
        """Yield the frames of `aligned` one by one, (4, h, w), the reference first."""
        return self._each_square(self.offsets, self.cell, 0, 0)

    def each_window(self, phase_y: int, phase_x: int) -> Iterator[Tensor]:
        """Yield windows around every second cell in both directions: cells extended to twice their side.

        The four phases together cover every pixel of the tile four times, but fewer times within half a cell
        of its border.

        Args:
            phase_y: First row of cells, 0 or 1. Windows begin at row phase_y * cell - cell / 2.
            phase_x: The same for columns.

        Yields:
            For each frame, the reference first: (4, ny * 2 * cell, nx * 2 * cell), windows edge to edge, with
            ny = ceil((gy - phase_y) / 2), and nx the same for columns.
        """
        half = self.cell // 2
        fields = tuple(field[:, phase_y::2, phase_x::2] for field in self.offsets)
        return self._each_square(
            fields, 2 * self.cell, phase_y * self.cell - half, phase_x * self.cell - half
        )

    def _each_square(self, fields: tuple[Tensor, ...], side: int, row: int, col: int) -> Iterator[Tensor]:
        """Yield for each frame, the reference first, squares of `side` pixels, edge to edge from (row, col).

        Pixels that a frame does not cover come from the reference. Repeated edge pixels would sometimes
        match it by chance and leave streaks along the border of the picture.
        """
        anchor = self._squares(self.reference, fields, side, row, col)
        yield anchor
        for i, (source, field) in enumerate(zip(self.sources, fields, strict=True)):
            if i == self.reference:
                continue
            if can_gather(source):
                yield gather(source, field, side, side, self._source_position(i, row, col), anchor)
                continue
            inside = covered(
                field, side, self._source_position(i, row, col), source.shape[-2], source.shape[-1]
            )
            squares = self._squares(i, fields, side, row, col)
            yield squares if inside.all() else torch.where(inside, squares, anchor)

    def _squares(self, frame: int, fields: tuple[Tensor, ...], side: int, row: int, col: int) -> Tensor:
        return gather_cells(
            self.sources[frame], fields[frame], side, origin=self._source_position(frame, row, col)
        )

    def _source_position(self, frame: int, row: int, col: int) -> tuple[int, int]:
        """Convert a position in the tile to a position in the source of a frame."""
        y, x = self.origins[frame]
        return self.top + row - y, self.left + col - x
