"""Split a picture into overlapping tiles with blending weights. Independent of models and torch.

Positions and sizes are in packed pixels. Weights are in result pixels; each packed pixel consists of
`SCALE` x `SCALE` result pixels.

    |<------- side ------->|              one axis, two tiles
    |  tile 0      |overlap|
    |              |       |  tile 1   |
    |1111111111111110.75.25|              weight of tile 0
    |              |.25.75 1111111111111| weight of tile 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCALE = 2
"""Result pixels per packed pixel, in each direction."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A rectangle of the result that is computed at once, without its halo.

    Attributes:
        top, left: Position of the first packed pixel.
        height, width: Size in packed pixels.
        weight_rows: float32 (SCALE * height,), blending weight of each row, 0 to 1. The weight of a pixel is
            the product of the weights of its row and its column.
        weight_cols: float32 (SCALE * width,), blending weight of each column.
    """

    top: int
    left: int
    height: int
    width: int
    weight_rows: NDArray[np.float32]
    weight_cols: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Span:
    """An interval on one axis; `stop` is exclusive."""

    start: int
    stop: int


def whole(height: int, width: int) -> Tile:
    """Return the whole picture as one tile."""
    rows, cols = np.ones(SCALE * height, np.float32), np.ones(SCALE * width, np.float32)
    return Tile(0, 0, height, width, rows, cols)


def split(tile: Tile, side: int, multiple: int, overlap: int) -> list[Tile]:
    """Split a tile (initially the `whole` picture) into smaller tiles.

    The weights of the parts add up to those of the tile. For the whole picture, the sums are exactly 1,
    because all weights are multiples of a power of two.

    Args:
        tile: Tile to split; its position is a multiple of `multiple`.
        side: Largest height and width of a part, a multiple of `multiple`.
        multiple: Positions of the parts are multiples of this number of packed pixels.
        overlap: Packed pixels that neighbouring parts share, a multiple of `multiple`. If `side` is less
            than twice the overlap, the parts do not overlap.

    Raises:
        ValueError: A number is not a multiple of `multiple`.
    """
    if side < multiple or any(value % multiple for value in (side, overlap, tile.top, tile.left)):
        raise ValueError(
            f"side {side}, overlap {overlap}, origin {tile.top}, {tile.left}: must be multiples of {multiple}"
        )
    if side < 2 * overlap:
        overlap = 0
    rows = _spans(tile.height, side, multiple, overlap)
    cols = _spans(tile.width, side, multiple, overlap)
    return [
        Tile(
            tile.top + row.start,
            tile.left + col.start,
            row.stop - row.start,
            col.stop - col.start,
            _weights(row, tile.height, overlap) * tile.weight_rows[SCALE * row.start : SCALE * row.stop],
            _weights(col, tile.width, overlap) * tile.weight_cols[SCALE * col.start : SCALE * col.stop],
        )
        for row in rows
        for col in cols
    ]


def round_up(value: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-value // multiple) * multiple


def _spans(length: int, side: int, multiple: int, overlap: int) -> list[_Span]:
    """Divide an axis into the fewest spans of at most `side`, all equal except the last one."""
    count = max(1, -(-(length - overlap) // (side - overlap)))
    even = round_up(-(-(length + (count - 1) * overlap) // count), multiple)
    side = min(side, max(even, 2 * overlap))
    step = side - overlap
    # Because the size was rounded up, the last spans may be unnecessary.
    count = max(1, -(-(length - overlap) // step))
    return [_Span(k * step, min(k * step + side, length)) for k in range(count)]


def _weights(span: _Span, length: int, overlap: int) -> NDArray[np.float32]:
    weights = np.ones(SCALE * (span.stop - span.start), np.float32)
    shared = SCALE * overlap
    if shared == 0:
        return weights
    rising = _ramp(shared)
    if span.start > 0:
        weights[:shared] = rising
    if span.stop < length:
        weights[-shared:] = 1 - rising
    return weights


def _ramp(size: int) -> NDArray[np.float32]:
    """Return weights from 0 to 1, odd multiples of a power of two, so that w + (1 - w) is exact."""
    steps = 1 << (size.bit_length() - 1)
    ramp = np.zeros(size, np.float32)
    first = (size - steps) // 2
    ramp[first : first + steps] = (2 * np.arange(steps) + 1) / (2 * steps)
    ramp[first + steps :] = 1
    return ramp
