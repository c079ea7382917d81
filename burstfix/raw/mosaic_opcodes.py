"""Apply opcode lists 1 and 2 to any part of a mosaic, and compute how they scale the noise.

Source: DNG specification 1.7.1, chapter 7. All opcodes except those for bad pixels change each pixel
independently, so the result for a part is a slice of the result for the whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.errors import InputError
from burstfix.opcodes.parse import SKIP_HINT
from burstfix.opcodes.plan import OpcodePlan, Step
from burstfix.opcodes.records import Area, GainMap, LineValues, Polynomial, Table
from burstfix.raw.bad_pixels import fill_bad_pixels, find_bad_pixels
from burstfix.raw.levels import normalise
from burstfix.types import Frame

MAX_VALUE = 1e6  # multiple of full scale; larger results indicate damaged opcodes
_WHITE = 1 - 1e-4  # samples at or above this level have been clipped by the sensor
_FULL = 65535.0
_FIRST_CODES = 256  # number of table entries over which the slope at black is measured


def is_pointwise(step: Step) -> bool:
    """Return True if a step changes each pixel independently of the others."""
    return isinstance(step.opcode, (GainMap, Table, Polynomial, LineValues))


def check_values(values: Tensor, steps: Sequence[Step], where: str) -> None:
    """Check that opcodes produced usable values.

    Args:
        values: Result of the steps, of any shape.
        steps: The steps applied, for the message.
        where: The file, for the message.

    Raises:
        InputError: A value is not finite or exceeds `MAX_VALUE`.
    """
    # Comparisons with NaN are false.
    if values.numel() and not bool((values.abs() <= MAX_VALUE).all()):
        names = ", ".join(dict.fromkeys(step.opcode.header.name for step in steps))
        raise InputError(
            f"{where}: {names} gives values that are not finite or more than {MAX_VALUE:g} times full scale; "
            f"the opcodes are damaged ({SKIP_HINT})"
        )


def apply_steps(values: Tensor, steps: Sequence[Step], top: int = 0, left: int = 0) -> Tensor:
    """Apply pointwise opcodes to a part of a picture.

    Below black, curves are continued as straight lines, so that noise around black keeps its mean.

    Args:
        values: (P, h, w), where 0 is black and 1 is full scale; changed in place.
        steps: Steps of a list; TrimBounds and opcodes for bad pixels are ignored.
        top: Row of the visible area at which the part begins.
        left: Column of the visible area at which the part begins.

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
        pixels = part.of(values, top, left)
        if isinstance(opcode, GainMap):
            pixels *= gain_map_values(opcode, step, part, values.device)
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
            line = _line(opcode, step, part).to(values.device)
            if opcode.scales:
                pixels *= line
            else:
                pixels += line
    return values


def steps_change_noise(steps: Sequence[Step]) -> bool:
    """Return True if any step scales values."""
    return any(
        isinstance(step.opcode, (GainMap, Table, Polynomial))
        or (isinstance(step.opcode, LineValues) and step.opcode.scales)
        for step in steps
    )


def apply_slopes(slopes: Tensor, steps: Sequence[Step], top: int = 0, left: int = 0) -> Tensor:
    """Multiply `slopes` (P, h, w), in place, by the slope of the steps at each pixel.

    Noise is scaled by these slopes. They are exact for gains and factors. For curves, the mean slope is used.
    """
    for step in steps:
        opcode = step.opcode
        if isinstance(opcode, GainMap) or (isinstance(opcode, LineValues) and opcode.scales):
            apply_steps(slopes, [step], top, left)
        elif isinstance(opcode, (Table, Polynomial)):
            part = _part(opcode.area, step, slopes, top, left)
            if part is not None:
                part.of(slopes, top, left).mul_(mean_slope(opcode))
    return slopes


def mean_slope(opcode: Table | Polynomial) -> float:
    """Return the mean slope of a curve between black and white."""
    if isinstance(opcode, Polynomial):
        return float(opcode.coefficients[1:].sum())
    return float(opcode.values[-1] - opcode.values[0]) * _FULL / max(len(opcode.values) - 1, 1)


def slope_at_black(opcode: Table | Polynomial) -> float:
    """Return the slope of a curve at black; for a table, the mean slope over its first entries."""
    if isinstance(opcode, Polynomial):
        return float(opcode.coefficients[1:2].sum())
    span = min(_FIRST_CODES, len(opcode.values) - 1)
    return float(opcode.values[span] - opcode.values[0]) * _FULL / max(span, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pixels that an opcode changes: planes, and rows and columns of the visible area."""

    planes: slice
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    def of(self, values: Tensor, top: int, left: int) -> Tensor:
        """Return a view of these pixels in (P, h, w) values that begin at row `top`, column `left`."""
        return values[self.planes, _slice(self.rows, top), _slice(self.cols, left)]


def gain_map_values(opcode: GainMap, step: Step, part: Part, device: torch.device) -> Tensor:
    """Interpolate a gain map.

    Returns:
        float32 (planes, rows, cols) gains at the pixels of a part.
    """
    down = _taps(part.rows - step.origin[0], step.height, opcode, 0)
    across = _taps(part.cols - step.origin[1], step.width, opcode, 1)
    # Use only the required rows of the grid, because maps may have millions of rows.
    needed, first = np.unique(np.concatenate([down.first, down.second]), return_inverse=True)
    upper, lower = (torch.from_numpy(half).to(device) for half in np.split(first.reshape(-1), 2))
    share_y = torch.from_numpy(down.share).to(device)[:, None]
    share_x = torch.from_numpy(across.share).to(device)
    available = opcode.gains.shape[2]
    gains = []
    for plane in range(part.planes.start, part.planes.stop):
        grid = opcode.gains[needed, :, min(plane, available - 1)]
        left, right = (
            torch.from_numpy(np.ascontiguousarray(grid[:, cols])).to(device)
            for cols in (across.first, across.second)
        )
        lines = torch.lerp(left, right, share_x)
        gains.append(torch.lerp(lines[upper], lines[lower], share_y))
    return torch.stack(gains)


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """The two grid points next to each pixel along one axis, and the float32 weight of the second."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: NDArray[np.float32]


def _taps(index: NDArray[np.int64], size: int, opcode: GainMap, axis: int) -> _Taps:
    points = opcode.gains.shape[axis]
    position = ((index + 0.5) / size - opcode.origin[axis]) / opcode.spacing[axis]
    position = np.clip(position, 0, points - 1)
    first = np.minimum(position.astype(np.int64), max(points - 2, 0))
    second = np.minimum(first + 1, points - 1)
    return _Taps(first, second, (position - first).astype(np.float32))


def _part(area: Area, step: Step, values: Tensor, top: int, left: int) -> Part | None:
    """Return the pixels of an area that lie inside a part; None if there are none."""
    count, height, width = values.shape
    planes = slice(min(area.plane, count), min(area.plane + area.planes, count))
    rows = _positions_inside(area.top, area.bottom, area.row_pitch, step.origin[0], step.height, top, height)
    cols = _positions_inside(area.left, area.right, area.col_pitch, step.origin[1], step.width, left, width)
    if planes.start == planes.stop or not len(rows) or not len(cols):
        return None
    return Part(planes, rows, cols)


def _positions_inside(
    first: int, last: int, pitch: int, origin: int, size: int, start: int, length: int
) -> NDArray[np.int64]:
    """Return the positions first, first + pitch, ... that lie inside a part, along one axis.

    Args:
        first: First position, in the picture to which the list applies.
        last: End (exclusive) of the positions in that picture.
        pitch: Distance between positions.
        origin: Position in the visible area at which that picture begins.
        size: Size of that picture.
        start: Position in the visible area at which the part begins.
        length: Size of the part.

    Returns:
        Positions in the visible area.
    """
    end = min(origin + min(last, size), start + length)
    begin = origin + first
    begin += max(0, -(-(max(start, origin) - begin) // pitch)) * pitch
    return np.arange(begin, end, pitch, dtype=np.int64)


def _slice(positions: NDArray[np.int64], start: int) -> slice:
    pitch = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    return slice(int(positions[0]) - start, int(positions[-1]) - start + 1, pitch)


def _line(opcode: LineValues, step: Step, part: Part) -> Tensor:
    """Return the values of rows (rows, 1) or columns (cols,) of a part."""
    area = opcode.area
    if opcode.by_row:
        values = opcode.values[(part.rows - step.origin[0] - area.top) // area.row_pitch]
        return torch.from_numpy(np.ascontiguousarray(values))[:, None]
    return torch.from_numpy(opcode.values[(part.cols - step.origin[1] - area.left) // area.col_pitch].copy())


class MosaicCorrections:
    """Corrections of opcode lists 1 and 2 for one frame.

    Args:
        frame: The frame.
        plan: Plan of the frame. With an empty plan, the frame is only normalised.

    Attributes:
        bad_pixels: int32 (count, 2), rows and columns of pixels to replace.
        repaired: uint16 (count,), their new values.
        changes_noise: True if noise differs between pixels after the corrections.
    """

    def __init__(self, frame: Frame, plan: OpcodePlan):
        self._levels, self._where = frame.metadata.levels, str(frame.metadata.path)
        self._sensor = [step for step in plan.sensor if is_pointwise(step)]
        self._mosaic = [step for step in plan.mosaic if is_pointwise(step)]
        self.changes_noise = steps_change_noise([*self._sensor, *self._mosaic])
        self.bad_pixels = np.empty((0, 2), np.int32)
        self.repaired = np.empty(0, np.uint16)
        if frame.layout.channels == 1:
            self.bad_pixels = find_bad_pixels(frame, plan)
            if len(self.bad_pixels):
                self.repaired = fill_bad_pixels(
                    frame.mosaic, self.bad_pixels, frame.layout.pitch, self._where
                )

    def normalise(self, mosaic: Tensor, top: int, left: int) -> Tensor:
        """Correct and normalise a part of the mosaic. Clipped samples stay at white or above.

        Args:
            mosaic: (h, w) or (3, h, w) in DN.
            top: Row of the visible area at which the part begins.
            left: Column of the visible area at which the part begins.

        Returns:
            float32, of the same shape.

        Raises:
            InputError: The opcodes give values that are not finite or far too large.
        """
        planes = mosaic if mosaic.dim() == 3 else mosaic[None]
        if self._sensor:
            planes = apply_steps(planes.to(torch.float32) / _FULL, self._sensor, top, left) * _FULL
        values = torch.stack([normalise(plane, self._levels, (top, left)) for plane in planes])
        if self._mosaic:
            white = values >= _WHITE
            corrected = apply_steps(values.clone(), self._mosaic, top, left)
            values = torch.where(white, corrected.clamp(min=1.0), corrected)
        if self._sensor or self._mosaic:
            check_values(values, [*self._sensor, *self._mosaic], self._where)
        return values if mosaic.dim() == 3 else values[0]

    def slopes(
        self, top: int, left: int, height: int, width: int, planes: int, device: torch.device | str
    ) -> Tensor:
        """Return the factors (planes, h, w) by which the opcodes scale the noise in a part."""
        ones = torch.ones(planes, height, width, device=device)
        apply_slopes(ones, self._sensor, top, left)
        return apply_slopes(ones, self._mosaic, top, left)
