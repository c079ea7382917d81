"""Opcode lists 1 and 2 applied to mosaics, in any part of a frame, and what they do to its noise.

DNG specification 1.7.1, chapter 7. Everything but bad pixels works pixel by pixel, so a part of a frame
comes out as it would in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.errors import InputError
from burstfix.opcodes.plan import OpcodePlan, Step
from burstfix.opcodes.records import (
    Area,
    BadPixelList,
    BadPixelValue,
    GainMap,
    LineValues,
    Polynomial,
    Table,
)
from burstfix.raw.levels import normalise
from burstfix.types import Frame, Levels

_WHITE = 1 - 1e-4  # samples from here on were clipped by the sensor
_FULL = 65535.0
_FIRST_CODES = 256
# Share of bad pixels from which on a file is taken for damaged; focus pixels are less than half of that.
_MAX_BAD = 0.1


def is_pointwise(step: Step) -> TypeGuard[Step]:
    """Whether a step changes values pixel by pixel."""
    return isinstance(step.opcode, (GainMap, Table, Polynomial, LineValues))


def apply_steps(values: Tensor, steps: Sequence[Step], top: int = 0, left: int = 0) -> Tensor:
    """Applies pointwise opcodes to a part of a picture.

    Below black curves go on as straight lines: noise about black keeps its mean.

    Args:
        values: (P, h, w), 0..1 within full scale; changed in place.
        steps: Trims and bad pixels among them are passed over.
        top, left: Where the part begins in the visible area.

    Returns:
        `values`.
    """
    for step in steps:
        opcode = step.opcode
        if not isinstance(opcode, (GainMap, Table, Polynomial, LineValues)):
            continue
        part = _part(opcode.area, step, values, top, left)
        if part is None:
            continue
        planes, rows, cols = part
        pixels = values[planes, _slice(rows, top), _slice(cols, left)]
        if isinstance(opcode, GainMap):
            pixels *= gain_map_values(opcode, step, rows, cols, planes, values)
        elif isinstance(opcode, Table):
            table = torch.from_numpy(opcode.values).to(values.device)
            index = (pixels * _FULL).round().clamp(0, len(table) - 1).long()
            pixels.copy_(table[index] + pixels.clamp(max=0) * slope_at_black(opcode))
        elif isinstance(opcode, Polynomial):
            x = pixels.clamp(0, 1)
            result = torch.zeros_like(pixels)
            for coefficient in opcode.coefficients[::-1]:
                result = result * x + float(coefficient)
            beyond = (pixels - 1).clamp(min=0) * mean_slope(opcode)
            pixels.copy_(result + pixels.clamp(max=0) * slope_at_black(opcode) + beyond)
        else:
            line = _line(opcode, step, rows, cols).to(values.device)
            if opcode.scales:
                pixels *= line
            else:
                pixels += line
    return values


def steps_change_noise(steps: Sequence[Step]) -> bool:
    """Whether any step scales values."""
    return any(
        isinstance(step.opcode, (GainMap, Table, Polynomial))
        or (isinstance(step.opcode, LineValues) and step.opcode.scales)
        for step in steps
    )


def apply_slopes(slopes: Tensor, steps: Sequence[Step], top: int = 0, left: int = 0) -> Tensor:
    """Multiplies `slopes` (P, h, w) by how much the steps stretch a small difference at each pixel.

    Gains and factors do exactly that; of curves the mean slope is taken.
    """
    for step in steps:
        opcode = step.opcode
        if isinstance(opcode, GainMap) or (isinstance(opcode, LineValues) and opcode.scales):
            apply_steps(slopes, [step], top, left)
        elif isinstance(opcode, (Table, Polynomial)):
            part = _part(opcode.area, step, slopes, top, left)
            if part is not None:
                planes, rows, cols = part
                slopes[planes, _slice(rows, top), _slice(cols, left)] *= mean_slope(opcode)
    return slopes


def mean_slope(opcode: Table | Polynomial) -> float:
    """Of a curve between black and white."""
    if isinstance(opcode, Polynomial):
        return float(opcode.coefficients[1:].sum())
    return float(opcode.values[-1] - opcode.values[0]) * _FULL / max(len(opcode.values) - 1, 1)


def slope_at_black(opcode: Table | Polynomial) -> float:
    """Of a curve; of a table over its first codes, whose steps are too coarse one by one."""
    if isinstance(opcode, Polynomial):
        return float(opcode.coefficients[1:2].sum())
    span = min(_FIRST_CODES, len(opcode.values) - 1)
    return float(opcode.values[span] - opcode.values[0]) * _FULL / max(span, 1)


def gain_map_values(
    opcode: GainMap,
    step: Step,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    planes: slice,
    like: Tensor,
) -> Tensor:
    """(planes, rows, cols) gains at the given rows and columns of the visible area."""
    down = _weights(rows - step.origin[0], step.height, opcode.origin[0], opcode.spacing[0], 0, opcode)
    across = _weights(cols - step.origin[1], step.width, opcode.origin[1], opcode.spacing[1], 1, opcode)
    available = opcode.gains.shape[2]
    gains = []
    for plane in range(planes.start, planes.stop):
        grid = opcode.gains[:, :, min(plane, available - 1)]
        gains.append(
            down.to(like) @ torch.from_numpy(np.ascontiguousarray(grid)).to(like) @ across.to(like).T
        )
    return torch.stack(gains)


def _weights(
    index: NDArray[np.int64], size: int, origin: float, spacing: float, axis: int, opcode: GainMap
) -> Tensor:
    """(len(index), points): how much each grid point counts at the centre of each row or column."""
    points = opcode.gains.shape[axis]
    place = np.clip(((index + 0.5) / size - origin) / spacing, 0, points - 1)
    first = np.minimum(place.astype(np.int64), max(points - 2, 0))
    share = place - first
    weights = np.zeros((len(index), points), np.float32)
    here = np.arange(len(index))
    weights[here, first] = 1 - share
    if points > 1:
        weights[here, first + 1] += share.astype(np.float32)
    return torch.from_numpy(weights)


def _part(
    area: Area, step: Step, values: Tensor, top: int, left: int
) -> tuple[slice, NDArray[np.int64], NDArray[np.int64]] | None:
    """Planes, rows and columns (of the visible area) that an area meets in a part, or None."""
    count, height, width = values.shape
    planes = slice(min(area.plane, count), min(area.plane + area.planes, count))
    rows = _run(area.top, area.bottom, area.row_pitch, step.origin[0], step.height, top, height)
    cols = _run(area.left, area.right, area.col_pitch, step.origin[1], step.width, left, width)
    if planes.start == planes.stop or not len(rows) or not len(cols):
        return None
    return planes, rows, cols


def _run(
    first: int, last: int, pitch: int, origin: int, size: int, start: int, length: int
) -> NDArray[np.int64]:
    """The places first, first + pitch, ... of a picture, seen from the visible area, within a part of it."""
    end = min(origin + min(last, size), start + length)
    begin = origin + first
    begin += max(0, -(-(max(start, origin) - begin) // pitch)) * pitch
    return np.arange(begin, end, pitch, dtype=np.int64)


def _slice(places: NDArray[np.int64], start: int) -> slice:
    pitch = int(places[1] - places[0]) if len(places) > 1 else 1
    return slice(int(places[0]) - start, int(places[-1]) - start + 1, pitch)


def _line(opcode: LineValues, step: Step, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Tensor:
    area = opcode.area
    if opcode.by_row:
        values = opcode.values[(rows - step.origin[0] - area.top) // area.row_pitch]
        return torch.from_numpy(np.ascontiguousarray(values))[:, None]
    return torch.from_numpy(opcode.values[(cols - step.origin[1] - area.left) // area.col_pitch].copy())


class MosaicCorrections:
    """What opcode lists 1 and 2 do to one frame.

    Attributes:
        bad_pixels: int32 (count, 2) places in the visible area to be replaced.
        repaired: uint16 (count,), what goes there.
        changes_noise: Whether noise differs from place to place afterwards.
    """

    def __init__(self, frame: Frame, plan: OpcodePlan):
        self._levels = frame.metadata.levels
        self._sensor = [step for step in plan.sensor if is_pointwise(step)]
        self._mosaic = [step for step in plan.mosaic if is_pointwise(step)]
        self.changes_noise = steps_change_noise([*self._sensor, *self._mosaic])
        self.bad_pixels = np.empty((0, 2), np.int32)
        self.repaired = np.empty(0, np.uint16)
        if frame.layout.channels == 1:
            self.bad_pixels = find_bad_pixels(frame, plan)
            if len(self.bad_pixels):
                self.repaired = fill_bad_pixels(
                    frame.mosaic, self.bad_pixels, frame.layout.pitch, str(frame.metadata.path)
                )

    def normalise(self, mosaic: Tensor, top: int, left: int) -> Tensor:
        """A part (h, w) or (3, h, w) in DN to corrected normalised values; what was at white stays there."""
        planes = mosaic if mosaic.dim() == 3 else mosaic[None]
        if self._sensor:
            planes = apply_steps(planes.to(torch.float32) / _FULL, self._sensor, top, left) * _FULL
        values = torch.stack([normalise(plane, self._levels, (top, left)) for plane in planes])
        if self._mosaic:
            white = values >= _WHITE
            corrected = apply_steps(values.clone(), self._mosaic, top, left)
            values = torch.where(white, corrected.clamp(min=1.0), corrected)
        return values if mosaic.dim() == 3 else values[0]

    def slopes(
        self, top: int, left: int, height: int, width: int, planes: int, device: torch.device | str
    ) -> Tensor:
        """(planes, h, w): by how much the opcodes stretch noise at each pixel of a part."""
        ones = torch.ones(planes, height, width, device=device)
        apply_slopes(ones, self._sensor, top, left)
        return apply_slopes(ones, self._mosaic, top, left)


def find_bad_pixels(frame: Frame, plan: OpcodePlan) -> NDArray[np.int32]:
    """Places in the visible area that opcodes call bad, int32 (count, 2), each once, in reading order."""
    height, width = frame.mosaic.shape
    bad = np.zeros((height, width), bool)
    for number, steps in ((1, plan.sensor), (2, plan.mosaic)):
        for step in steps:
            opcode = step.opcode
            if isinstance(opcode, BadPixelValue):
                bad |= frame.mosaic == _in_dn(opcode.value, number, frame.metadata.levels)
            elif isinstance(opcode, BadPixelList):
                points = opcode.points + step.origin
                inside = ((points >= 0) & (points < (height, width))).all(1)
                bad[points[inside, 0], points[inside, 1]] = True
                bad |= _inside_any(opcode.rectangles + np.tile(step.origin, 2), height, width)
    return np.argwhere(bad).astype(np.int32)


def _inside_any(boxes: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width): which pixels lie in a rectangle; its cost hardly grows with their number."""
    corners = np.zeros((height + 1, width + 1), np.int32)
    limited = np.clip(boxes, 0, (height, width, height, width))
    top, left, bottom, right = limited.T
    for rows, cols, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(corners, (rows, cols), sign)
    return corners.cumsum(0).cumsum(1)[:height, :width] > 0


def _in_dn(value: int, number: int, levels: Levels) -> int:
    """A value of list 2 counts from black to white in 65535 steps; one of list 1 is the sensor's own."""
    if number == 1:
        return value
    black = float(levels.black.mean())
    return round(black + value / _FULL * (levels.white - black))


def fill_bad_pixels(
    mosaic: NDArray[np.uint16], places: NDArray[np.int32], pitch: int, where: str
) -> NDArray[np.uint16]:
    """Values for bad pixels: the mean of the nearest good ones of the same colour, worked inward.

    Args:
        mosaic: (H, W) in DN.
        places: (count, 2), each once.
        pitch: Distance of neighbours of one colour: 2 in a Bayer mosaic.
        where: The file, for messages.

    Raises:
        InputError: More pixels are bad than neighbours can stand in for.
    """
    height, width = mosaic.shape
    if len(places) > _MAX_BAD * height * width:
        raise InputError(
            f"{where}: its opcodes call {len(places) / (height * width):.0%} of its pixels bad; the file is "
            "damaged (--opcodes skip leaves them as they are)"
        )
    values = mosaic.astype(np.float32)
    bad = np.zeros(mosaic.shape, bool)
    bad[places[:, 0], places[:, 1]] = True
    left = places.astype(np.int64)
    while len(left):
        total, weight = np.zeros(len(left), np.float32), np.zeros(len(left), np.float32)
        for dy, dx, share in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5)):  # diagonals are further
            (before, good_before), (after, good_after) = (
                _neighbours(values, bad, left[:, 0] + sign * pitch * dy, left[:, 1] + sign * pitch * dx)
                for sign in (-1, 1)
            )
            # Opposite neighbours keep ramps; a single one counts only where there is no such pair.
            trust = np.float32(share) * np.where(good_before & good_after, 1.0, 1e-4)
            total += (before * good_before + after * good_after) * trust
            weight += (1.0 * good_before + good_after) * trust
        known = weight > 0
        if not known.any():
            raise InputError(f"{where}: its opcodes call all pixels of a colour bad; the file is damaged")
        done = left[known]
        values[done[:, 0], done[:, 1]] = total[known] / weight[known]
        bad[done[:, 0], done[:, 1]] = False
        left = left[~known]
    return np.rint(values[places[:, 0], places[:, 1]]).astype(np.uint16)


def _neighbours(
    values: NDArray[np.float32], bad: NDArray[np.bool_], y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values at places that may lie outside, and whether they are inside and good."""
    height, width = values.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    return values[y, x], inside & ~bad[y, x]
