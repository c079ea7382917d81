"""Opcode lists from bytes, strictly: whatever does not fit is refused with the opcode's name and place.

DNG specification 1.7.1, chapter 7. Lists are big-endian whatever the file is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError
from burstfix.opcodes.records import (
    Area,
    BadPixelList,
    BadPixelValue,
    GainMap,
    Header,
    LineValues,
    Opcode,
    Polynomial,
    Table,
    Trim,
    Unsupported,
    Vignette,
    WarpFisheye,
    WarpRectilinear,
    WarpRectilinear2,
)

_NEWEST = (1, 7, 1, 0)  # version of the format up to which opcodes are understood
_OPTIONAL, _SKIP_FOR_PREVIEW = 1, 2
_MAP_POLYNOMIAL = 8
_MAX_COUNT = 1000  # opcodes in a list; cameras write a handful
_MAX_PLANES = 4
_MAX_DEGREE = 8


class _DamagedError(Exception):
    """What is wrong with an opcode, for `parse_list` to say where."""


def parse_list(data: bytes, number: int, where: str) -> tuple[Opcode, ...]:
    """Parses the value of OpcodeList1, OpcodeList2 or OpcodeList3.

    Args:
        data: The tag's value; empty gives no opcodes.
        number: 1, 2 or 3.
        where: The file, for messages.

    Raises:
        InputError: The list is malformed; the message names the opcode and its offset in the list.
    """
    if not data:
        return ()
    title = f"{where}: OpcodeList{number}"
    if len(data) < 4:
        raise InputError(f"{title} is malformed: {len(data)} bytes hold no list")
    (count,) = struct.unpack_from(">L", data)
    if count > _MAX_COUNT:
        raise InputError(f"{title} is malformed: claims {count} opcodes")
    opcodes: list[Opcode] = []
    at = 4
    for k in range(count):
        if len(data) - at < 16:
            raise InputError(
                f"{title} is malformed: ends at byte {len(data)} before opcode {k + 1} of {count}"
            )
        code, major, minor, third, fourth, flags, size = struct.unpack_from(">L4BLL", data, at)
        name = _NAMES.get(code, f"opcode {code}")
        place = f"{title} is malformed: {name} at byte {at}"
        if size > len(data) - at - 16:
            raise InputError(f"{place}: claims {size} bytes, {len(data) - at - 16} are left")
        if flags & ~(_OPTIONAL | _SKIP_FOR_PREVIEW):
            raise InputError(f"{place}: unknown flags {flags:#x}")
        header = Header(name, bool(flags & _OPTIONAL))
        body = data[at + 16 : at + 16 + size]
        read = _READERS.get(code) if (major, minor, third, fourth) <= _NEWEST else None
        try:
            opcodes.append(Unsupported(header) if read is None else read(header, _Fields(body)))
        except _DamagedError as error:
            raise InputError(f"{place}: {error}") from error
        at += 16 + size
    if at != len(data):
        raise InputError(f"{title} is malformed: {len(data) - at} bytes follow its {count} opcodes")
    return tuple(opcodes)


def without_polynomials(data: bytes) -> bytes:
    """A list that `parse_list` accepts, without its MapPolynomial opcodes; empty where none is left."""
    kept = []
    at = 4
    while at < len(data):
        code, size = struct.unpack_from(">L8xL", data, at)
        if code != _MAP_POLYNOMIAL:
            kept.append(data[at : at + 16 + size])
        at += 16 + size
    return struct.pack(">L", len(kept)) + b"".join(kept) if kept else b""


class _Fields:
    """An opcode's parameters, read from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Numbers by `struct`'s letters."""
        size = struct.calcsize(">" + layout)
        self._need(size)
        values = struct.unpack_from(">" + layout, self._data, self._at)
        self._at += size
        return values

    def array(self, kind: str, *shape: int) -> NDArray[Any]:
        """An array of a numpy type, in this machine's byte order."""
        count = 1
        for length in shape:
            count *= length  # in Python's integers, which do not overflow
        dtype = np.dtype(kind).newbyteorder(">")
        self._need(count * dtype.itemsize)
        values = np.frombuffer(self._data, dtype, count, self._at).reshape(shape)
        self._at += count * dtype.itemsize
        values = values.astype(kind)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _DamagedError("has values that are no numbers")
        return values

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise _DamagedError(f"has {len(self._data)} bytes of parameters where {self._at} belong")

    def _need(self, size: int) -> None:
        if len(self._data) - self._at < size:
            raise _DamagedError(
                f"has {len(self._data)} bytes of parameters where {self._at + size} or more belong"
            )


def _area(fields: _Fields) -> Area:
    top, left, bottom, right, plane, planes, row_pitch, col_pitch = fields.numbers("8L")
    if top >= bottom or left >= right:
        raise _DamagedError(f"its area (rows {top} to {bottom}, columns {left} to {right}) is empty")
    if planes < 1 or row_pitch < 1 or col_pitch < 1:
        raise _DamagedError(f"{planes} planes, pitch {row_pitch}, {col_pitch}: all must be at least 1")
    return Area(top, left, bottom, right, plane, planes, row_pitch, col_pitch)


def _bad_pixel_value(header: Header, fields: _Fields) -> BadPixelValue:
    value, phase = fields.numbers("LL")
    _check_phase(phase)
    fields.end()
    return BadPixelValue(header, value)


def _bad_pixel_list(header: Header, fields: _Fields) -> BadPixelList:
    phase, points, rectangles = fields.numbers("LLL")
    _check_phase(phase)
    listed = fields.array("u4", points, 2).astype(np.int64)
    boxes = fields.array("u4", rectangles, 4).astype(np.int64)
    if not ((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])).all():
        raise _DamagedError("has an empty rectangle")
    fields.end()
    return BadPixelList(header, listed, boxes)


def _check_phase(phase: int) -> None:
    # Which of the four Bayer patterns; the file's CFAPattern says the same.
    if phase > 3:
        raise _DamagedError(f"has the Bayer phase {phase}; 0 to 3 are known")


def _trim(header: Header, fields: _Fields) -> Trim:
    top, left, bottom, right = fields.numbers("4L")
    if top >= bottom or left >= right:
        raise _DamagedError(f"its bounds (rows {top} to {bottom}, columns {left} to {right}) are empty")
    fields.end()
    return Trim(header, top, left, bottom, right)


def _table(header: Header, fields: _Fields) -> Table:
    area = _area(fields)
    (size,) = fields.numbers("L")
    if not 1 <= size <= 65536:
        raise _DamagedError(f"its table has {size} values; 1 to 65536 are allowed")
    values = fields.array("u2", size)
    fields.end()
    return Table(header, area, (values / np.float32(65535)).astype(np.float32))


def _polynomial(header: Header, fields: _Fields) -> Polynomial:
    area = _area(fields)
    (degree,) = fields.numbers("L")
    if degree > _MAX_DEGREE:
        raise _DamagedError(f"is of degree {degree}; at most {_MAX_DEGREE} is allowed")
    coefficients = fields.array("f8", degree + 1)
    fields.end()
    return Polynomial(header, area, coefficients)


def _gain_map(header: Header, fields: _Fields) -> GainMap:
    area = _area(fields)
    rows, cols = fields.numbers("LL")
    spacing = fields.array("f8", 2)
    origin = fields.array("f8", 2)
    (planes,) = fields.numbers("L")
    if rows < 1 or cols < 1 or planes < 1:
        raise _DamagedError(f"its map has {rows}x{cols} points in {planes} planes")
    if (rows > 1 and not spacing[0] > 0) or (cols > 1 and not spacing[1] > 0):
        raise _DamagedError(f"its points lie {spacing[0]:g}, {spacing[1]:g} apart")
    gains = fields.array("f4", rows, cols, planes)
    if (gains < 0).any():
        raise _DamagedError("has negative gains")
    fields.end()
    # The spacing of a single row or column of points means nothing; files give 0 for it.
    steps = tuple(float(s) if n > 1 else 1.0 for s, n in zip(spacing, (rows, cols), strict=True))
    return GainMap(header, area, gains, (steps[0], steps[1]), (float(origin[0]), float(origin[1])))


def _line_values(by_row: bool, scales: bool) -> Callable[[Header, _Fields], LineValues]:
    def read(header: Header, fields: _Fields) -> LineValues:
        area = _area(fields)
        (count,) = fields.numbers("L")
        first, last, pitch = (
            (area.top, area.bottom, area.row_pitch) if by_row else (area.left, area.right, area.col_pitch)
        )
        wanted = -(-(last - first) // pitch)
        if count != wanted:
            raise _DamagedError(f"has {count} values for {wanted} {'rows' if by_row else 'columns'}")
        values = fields.array("f4", count)
        if scales and (values < 0).any():
            raise _DamagedError("has negative factors")
        fields.end()
        return LineValues(header, area, values, by_row, scales)

    return read


def _planes_and_center(fields: _Fields, width: int) -> tuple[NDArray[np.float64], tuple[float, float]]:
    (planes,) = fields.numbers("L")
    if not 1 <= planes <= _MAX_PLANES:
        raise _DamagedError(f"is for {planes} planes; 1 to {_MAX_PLANES} are known")
    coefficients = fields.array("f8", planes, width)
    return coefficients, _center(fields)


def _center(fields: _Fields) -> tuple[float, float]:
    x, y = (float(v) for v in fields.array("f8", 2))
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise _DamagedError(f"its centre ({x:g}, {y:g}) lies outside the picture")
    return x, y


def _warp_rectilinear(header: Header, fields: _Fields) -> WarpRectilinear:
    coefficients, center = _planes_and_center(fields, 6)
    fields.end()
    return WarpRectilinear(header, coefficients, center)


def _warp_rectilinear_2(header: Header, fields: _Fields) -> WarpRectilinear2:
    terms, center = _planes_and_center(fields, 19)
    (reciprocal,) = fields.numbers("L")
    fields.end()
    if reciprocal > 1:
        raise _DamagedError(f"has the reciprocal flag {reciprocal}; 0 and 1 are known")
    least, most = terms[:, 17], terms[:, 18]
    if not ((least >= 0) & (least < most) & (most <= 1)).all():
        raise _DamagedError("its range of valid radii is none within 0 to 1")
    return WarpRectilinear2(header, terms[:, :17], terms[:, 17:], center, bool(reciprocal))


def _warp_fisheye(header: Header, fields: _Fields) -> WarpFisheye:
    coefficients, center = _planes_and_center(fields, 4)
    fields.end()
    return WarpFisheye(header, coefficients, center)


def _vignette(header: Header, fields: _Fields) -> Vignette:
    coefficients = fields.array("f8", 5)
    center = _center(fields)
    fields.end()
    return Vignette(header, coefficients, center)


_READERS: dict[int, Callable[[Header, _Fields], Opcode]] = {
    1: _warp_rectilinear,
    2: _warp_fisheye,
    3: _vignette,
    4: _bad_pixel_value,
    5: _bad_pixel_list,
    6: _trim,
    7: _table,
    _MAP_POLYNOMIAL: _polynomial,
    9: _gain_map,
    10: _line_values(by_row=True, scales=False),
    11: _line_values(by_row=False, scales=False),
    12: _line_values(by_row=True, scales=True),
    13: _line_values(by_row=False, scales=True),
    14: _warp_rectilinear_2,
}

_NAMES = {
    1: "WarpRectilinear",
    2: "WarpFisheye",
    3: "FixVignetteRadial",
    4: "FixBadPixelsConstant",
    5: "FixBadPixelsList",
    6: "TrimBounds",
    7: "MapTable",
    _MAP_POLYNOMIAL: "MapPolynomial",
    9: "GainMap",
    10: "DeltaPerRow",
    11: "DeltaPerColumn",
    12: "ScalePerRow",
    13: "ScalePerColumn",
    14: "WarpRectilinear2",
}
