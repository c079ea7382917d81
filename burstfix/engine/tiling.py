"""Cuts a picture into overlapping tiles and says how to blend them; knows no network and no tensor library.

All positions and sizes are packed pixels; weights are for the result, which has `SCALE` pixels for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCALE = 2
"""Pixels of the result on a side of a packed pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A rectangle of the result that is computed in one go, without its halo.

    Attributes:
        top, left: Where it begins.
        height, width: Its size.
        weight_rows: float32 (SCALE * height,), how much each row counts where tiles overlap. The weight
            of a pixel is the product of its row's and its column's.
        weight_cols: float32 (SCALE * width,) likewise.
    """

    top: int
    left: int
    height: int
    width: int
    weight_rows: NDArray[np.float32]
    weight_cols: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of one axis: from `start` to `stop` (exclusive)."""

    start: int
    stop: int


def whole(height: int, width: int) -> Tile:
    """The picture as a single tile."""
    rows, cols = np.ones(SCALE * height, np.float32), np.ones(SCALE * width, np.float32)
    return Tile(0, 0, height, width, rows, cols)


def split(tile: Tile, side: int, lattice: int, overlap: int) -> list[Tile]:
    """Cuts a tile (at first the `whole` picture) into smaller ones.

    Their weights add up to the tile's own, without any rounding for the whole picture: they are made of
    multiples of powers of two.

    Args:
        tile: What to cut; its top and left lie on the lattice.
        side: Largest height and width of a part, a multiple of the lattice.
        lattice: Tops and lefts of the parts are multiples of it.
        overlap: Packed pixels that neighbours share, a multiple of the lattice. Where `side` is under twice
            that, parts meet edge to edge instead.

    Raises:
        ValueError: A number is off the lattice.
    """
    if side < lattice or any(value % lattice for value in (side, overlap, tile.top, tile.left)):
        raise ValueError(f"side {side}, overlap {overlap} or origin is no multiple of lattice {lattice}")
    if side < 2 * overlap:
        overlap = 0
    rows = _spans(tile.height, side, lattice, overlap)
    cols = _spans(tile.width, side, lattice, overlap)
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


def round_up(value: int, lattice: int) -> int:
    """The smallest multiple of `lattice` that is at least `value`."""
    return -(-value // lattice) * lattice


def _spans(length: int, side: int, lattice: int, overlap: int) -> list[_Span]:
    """As few spans as `side` allows, of even size but for the last."""
    count = max(1, -(-(length - overlap) // (side - overlap)))
    even = round_up(-(-(length + (count - 1) * overlap) // count), lattice)
    side = min(side, max(even, 2 * overlap))
    step = side - overlap
    # Rounding the side up to the lattice can leave nothing for the last spans.
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
    """From 0 to 1 in odd multiples of a power of two, so that w, 1 - w and all their sums are exact."""
    steps = 1 << (size.bit_length() - 1)
    ramp = np.zeros(size, np.float32)
    first = (size - steps) // 2
    ramp[first : first + steps] = (2 * np.arange(steps) + 1) / (2 * steps)
    ramp[first + steps :] = 1
    return ramp
