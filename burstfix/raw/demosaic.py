"""Demosaic packed RGGB mosaics with Menon 2007 (better quality) or bilinear interpolation.

The tests compare the result with the library colour-demosaicing, which also implements Menon 2007. The
library is not used here, because it processes whole pictures in float64 with numpy. For 12 megapixels it
needs 1.1 GB and is several times slower. The code below takes 0.3 s on two cores, runs on any device and is
differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.raw.cfa import deinterleave, interleave

Place = tuple[int, int]
"""Row and column in the 2x2 pattern."""
Planes = dict[Place, Tensor]
"""Tensors (B, h, w), one for each of several positions in the pattern."""
Step = tuple[int, int]
"""A step in sensor pixels."""

_RED, _BLUE = (0, 0), (1, 1)
_COLOURS = (_RED, _BLUE)
_GREENS = ((0, 1), (1, 0))  # on the red row, on the blue row
_ROW, _COLUMN = (0, 1), (1, 0)

MENON_HALO = 8
"""Packed pixels around a tile that influence the result of `menon`: one for each of its eight steps."""

_TIE = 1e-3  # the two directions are blended if their summed changes differ by less
_STRIP = 64  # packed rows processed at once, so that they stay in the processor's cache


def menon(packed: Tensor) -> Tensor:
    """Demosaic with directional filtering, an a posteriori decision, and a refinement step.

    Menon, Andriani, Calvagno, "Demosaicing with directional filtering and a posteriori decision", IEEE
    Transactions on Image Processing 16(1), 2007. The mosaic is reflected at its border. The library
    colour-demosaicing reflects each intermediate result instead and assumes zero change outside, so the
    results differ within `MENON_HALO` of the border.

    Args:
        packed: (B, 4, h, w) planes R, Gr, Gb, B; h, w > `MENON_HALO`. Computation is in float32.

    Returns:
        (B, 3, 2h, 2w) float32 linear RGB, unclipped. Red and blue samples of the mosaic are unchanged.

    Example:
        >>> planes = torch.tensor([0.2, 0.5, 0.5, 0.3]).reshape(1, 4, 1, 1).expand(1, 4, 10, 12)
        >>> rgb = menon(planes)
        >>> rgb.shape, [round(float(value), 3) for value in rgb[0, :, 7, 9]]
        (torch.Size([1, 3, 20, 24]), [0.2, 0.5, 0.3])
    """
    height = packed.shape[-2]
    padded = _mirror(packed.float(), MENON_HALO)
    strips = [
        _menon_inside(padded[..., top : min(top + _STRIP, height) + 2 * MENON_HALO, :])
        for top in range(0, height, _STRIP)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, -2)


def bilinear(packed: Tensor) -> Tensor:
    """Interpolate each missing sample as the mean of its two or four nearest neighbours of that colour.

    Args:
        packed: (B, 4, h, w) planes R, Gr, Gb, B; h, w >= 2. The mosaic is reflected at its border.

    Returns:
        (B, 3, 2h, 2w) in the dtype of `packed`. The result depends on neighbours one packed pixel away.

    Example:
        >>> bilinear(torch.ones(1, 4, 3, 5)).shape
        torch.Size([1, 3, 6, 10])
    """
    m = _planes(_mirror(packed, 1))
    inner = _inside(m)
    green = inner | {p: (_pair(m, p, _ROW) + _pair(m, p, _COLUMN)) / 2 for p in _COLOURS}
    red, blue = {_RED: inner[_RED]}, {_BLUE: inner[_BLUE]}
    for p, to_red, to_blue in (((0, 1), _ROW, _COLUMN), ((1, 0), _COLUMN, _ROW)):
        red[p], blue[p] = _pair(m, p, to_red), _pair(m, p, to_blue)
    red[_BLUE] = (_pair(m, _BLUE, (1, 1)) + _pair(m, _BLUE, (1, -1))) / 2
    blue[_RED] = (_pair(m, _RED, (1, 1)) + _pair(m, _RED, (1, -1))) / 2
    return torch.stack([_interleave(red), _interleave(green), _interleave(blue)], 1)


@dataclass(slots=True)
class _Picture:
    """Colours computed so far at each position in the pattern. All planes have the same size."""

    red: Planes
    green: Planes
    blue: Planes
    along_rows: Planes  # at red and blue: 1 to interpolate along rows, 0 along columns (`_preference`)

    def inside(self) -> _Picture:
        """Return all planes without their outermost packed pixels."""
        return _Picture(*(_inside(planes) for planes in (self.red, self.green, self.blue, self.along_rows)))


def _menon_inside(packed: Tensor) -> Tensor:
    """Demosaic (B, 4, h + 16, w + 16) to (B, 3, 2h, 2w). Each of the eight steps trims one pixel per side."""
    # Steps 1 to 3: green everywhere.
    picture = _directional_green(_planes(packed))
    # 4. Compute red and blue at the green pixels: green plus the mean colour difference of two neighbours.
    picture = _colours_at_green(picture)
    # 5. Compute red at blue and blue at red from the difference of red and blue along the chosen direction.
    picture = _red_at_blue_and_blue_at_red(picture, _pair, _GREENS)
    # 6. Refine green at red and blue, using the smoothed colour difference along the chosen direction.
    refined = {}
    for p, colour in ((_RED, picture.red), (_BLUE, picture.blue)):
        difference = {q: colour[q] - picture.green[q] for q in colour}
        refined[p] = _shifted(colour[p]) - _directional(picture.along_rows, difference, p, _triple)
    picture = picture.inside()
    picture.green |= refined
    # 7. Compute red and blue at the green pixels again, with the refined green.
    picture = _colours_at_green(picture)
    # 8. Compute red at blue and blue at red again, now with smoothed differences.
    picture = _red_at_blue_and_blue_at_red(picture, _triple, tuple(picture.red))
    return torch.stack([_interleave(picture.red), _interleave(picture.green), _interleave(picture.blue)], 1)


def _directional_green(m: Planes) -> _Picture:
    """Interpolate green along the direction in which colour minus green changes less (steps 1 to 3)."""
    green: dict[Step, Planes] = {}
    change: dict[Step, Planes] = {}
    for step in (_ROW, _COLUMN):
        # 1. Green along this direction: mean of the neighbours, corrected by the curvature of the colour (eq.
        # 1).
        far = {p: _pair(m, p, (2 * step[0], 2 * step[1])) for p in _COLOURS}
        green[step] = {p: _pair(m, p, step) + (_shifted(m[p]) - far[p]) / 2 for p in _COLOURS}
        chroma = {p: _shifted(m[p]) - green[step][p] for p in _COLOURS}
        # 2. Change of colour minus green over the next two sensor pixels.
        change[step] = {p: (_shifted(chroma[p]) - _shifted(chroma[p], *step)).abs() for p in _COLOURS}
    # 3. Choose the direction with less change in the neighbourhood.
    along_rows = {
        p: _preference(_total_change(change[_COLUMN], p, _COLUMN) - _total_change(change[_ROW], p, _ROW))
        for p in _COLOURS
    }
    m = _inside(_inside(_inside(m)))
    rows, columns = (_inside(_inside(green[step])) for step in (_ROW, _COLUMN))
    decided = {p: torch.lerp(columns[p], rows[p], along_rows[p]) for p in _COLOURS}
    return _Picture({_RED: m[_RED]}, decided | {p: m[p] for p in _GREENS}, {_BLUE: m[_BLUE]}, along_rows)


def _preference(advantage: Tensor) -> Tensor:
    """Return the weight of the direction along rows, 0 to 1; it is between 0 and 1 for near ties.

    The paper makes a hard decision. Then rounding errors, which depend on the size of the tile, would decide
    near ties and change the pixel by far more than a rounding error.
    """
    return (advantage / (2 * _TIE) + 0.5).clamp(0, 1)


def _total_change(change: Planes, place: Place, step: Step) -> Tensor:
    """Sum the changes around a pixel as in the 5x5 classifier of the paper; the pixel has triple weight."""
    sy, sx = step
    total = 3 * (_at(change, place, (0, 0)) + _at(change, place, (-2 * sy, -2 * sx)))
    for side in (-1, 1):
        total += _at(change, place, (2 * side * sx, 2 * side * sy))
        total += _at(change, place, (2 * side * sx - 2 * sy, 2 * side * sy - 2 * sx))
        total += _at(change, place, (side * sx - sy, side * sy - sx))
    return total


def _colours_at_green(picture: _Picture) -> _Picture:
    """Interpolate red and blue at green pixels from the two neighbours of that colour (steps 4 and 7)."""
    red = {_RED: picture.red[_RED] - picture.green[_RED]}
    blue = {_BLUE: picture.blue[_BLUE] - picture.green[_BLUE]}
    inside = picture.inside()
    for p, to_red, to_blue in (((0, 1), _ROW, _COLUMN), ((1, 0), _COLUMN, _ROW)):
        inside.red[p] = inside.green[p] + _pair(red, p, to_red)
        inside.blue[p] = inside.green[p] + _pair(blue, p, to_blue)
    return inside


def _red_at_blue_and_blue_at_red(
    picture: _Picture, mean: Callable[[Planes, Place, Step], Tensor], places: tuple[Place, ...]
) -> _Picture:
    """Interpolate red at blue and blue at red from the mean of red minus blue at `places` (steps 5 and 8)."""
    difference = {p: picture.red[p] - picture.blue[p] for p in places}
    at_red, at_blue = (_directional(picture.along_rows, difference, p, mean) for p in _COLOURS)
    inside = picture.inside()
    inside.red[_BLUE] = inside.blue[_BLUE] + at_blue
    inside.blue[_RED] = inside.red[_RED] - at_red
    return inside


def _directional(
    along_rows: Planes, planes: Planes, place: Place, mean: Callable[[Planes, Place, Step], Tensor]
) -> Tensor:
    """Evaluate `mean` along the direction chosen for each pixel at `place`."""
    return torch.lerp(mean(planes, place, _COLUMN), mean(planes, place, _ROW), _shifted(along_rows[place]))


def _pair(planes: Planes, place: Place, step: Step) -> Tensor:
    """Average the two pixels one step away from those at `place`."""
    return (_at(planes, place, step) + _at(planes, place, (-step[0], -step[1]))) / 2


def _triple(planes: Planes, place: Place, step: Step) -> Tensor:
    """Average the pixels at `place` and their two neighbours."""
    return (
        _at(planes, place, (0, 0)) + _at(planes, place, step) + _at(planes, place, (-step[0], -step[1]))
    ) / 3


def _at(planes: Planes, place: Place, step: Step) -> Tensor:
    """Return the pixels one `step` (at most 2) from those at `place`, without the outermost packed pixels."""
    row, col = place[0] + step[0], place[1] + step[1]
    return _shifted(planes[row % 2, col % 2], row // 2, col // 2)


def _shifted(plane: Tensor, dy: int = 0, dx: int = 0) -> Tensor:
    """Return a plane without its outermost pixels, shifted by at most one."""
    height, width = plane.shape[-2:]
    return plane[..., 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]


def _inside(planes: Planes) -> Planes:
    return {place: _shifted(plane) for place, plane in planes.items()}


def _planes(packed: Tensor) -> Planes:
    return {(k // 2, k % 2): packed[:, k] for k in range(4)}


def _interleave(planes: Planes) -> Tensor:
    """Combine four planes (B, h, w) into one (B, 2h, 2w)."""
    stacked = torch.stack([planes[k // 2, k % 2] for k in range(4)], 1)
    return interleave(stacked)[:, 0]


def _mirror(packed: Tensor, margin: int) -> Tensor:
    """Pad packed planes as if the mosaic were reflected about its border pixels."""
    mosaic = interleave(packed)
    return deinterleave(F.pad(mosaic, (2 * margin,) * 4, mode="reflect"))
