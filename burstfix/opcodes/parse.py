"""Parse opcode lists with strict checks. Errors name the opcode and its offset.

Source: DNG specification 1.7.1, chapter 7. Lists are big-endian, independent of the byte order of the file.
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

_NEWEST = (1, 7, 1, 0)  # newest version of the format that is supported
_OPTIONAL, _SKIP_FOR_PREVIEW = 1, 2
_MAP_POLYNOMIAL = 8
_MAX_COUNT = 1000  # maximum number of opcodes in a list; cameras write fewer than 20
_MAX_PLANES = 4
_MAX_DEGREE = 8
# Limits far above the values of real lenses and sensors. Larger values overflow float32 or hide the picture.
_MAX_FACTOR = 1e4
_MAX_COEFFICIENT = 1e6
_RADII = np.linspace(0, 1, 257)  # distances from the centre at which polynomials are checked
SKIP_HINT = "--opcodes skip merges without the opcodes"


class OpcodeCountError(InputError):
    """The count of an opcode list does not match its contents.

    Attributes:
        optional: True if every opcode in the list is optional.
    """

    def __init__(self, message: str, optional: bool) -> None:
        super().__init__(message)
        self.optional = optional


class _DamagedError(Exception):
    """A fault in an opcode; `parse_list` adds its position to the message."""


def parse_list(data: bytes, number: int, where: str) -> tuple[Opcode, ...]:
    """Parse the value of OpcodeList1, OpcodeList2 or OpcodeList3.

    Args:
        data: Value of the tag; empty = no opcodes.
        number: 1, 2 or 3.
        where: The file, for messages.

    Raises:
        OpcodeCountError: The opcodes are complete, but the stated count is wrong.
        InputError: The list is malformed; the message names the opcode and its offset in the list.
    """
    if not data:
        return ()
    title = f"{where}: OpcodeList{number} is malformed"
    if len(data) < 4:
        raise InputError(f"{title}: {len(data)} bytes are too few for a list ({SKIP_HINT})")
    (count,) = struct.unpack_from(">L", data)
    flags = _flags_of_complete_list(data)
    if flags is not None and len(flags) != count:
        optional = all(flag & _OPTIONAL for flag in flags)
        raise OpcodeCountError(
            f"{title}: claims {count} opcodes, but contains {len(flags)} ({SKIP_HINT})", optional
        )
    if count > _MAX_COUNT:
        raise InputError(f"{title}: claims {count} opcodes; at most {_MAX_COUNT} are allowed ({SKIP_HINT})")
    opcodes: list[Opcode] = []
    at = 4
    for k in range(count):
        if len(data) - at < 16:
            raise InputError(
                f"{title}: ends at byte {len(data)} before opcode {k + 1} of {count} ({SKIP_HINT})"
            )
        code, *_, size = struct.unpack_from(">L4BLL", data, at)
        try:
            opcodes.append(_parse_opcode(data, at))
        except _DamagedError as error:
            name = _NAMES.get(code, f"opcode {code}")
            raise InputError(f"{title}: {name} at byte {at}: {error} ({SKIP_HINT})") from error
        at += 16 + size
    if at != len(data):
        raise InputError(f"{title}: {len(data) - at} bytes follow its {count} opcodes ({SKIP_HINT})")
    return tuple(opcodes)


def _flags_of_complete_list(data: bytes) -> list[int] | None:
    """Return the flags of all opcodes if they fill the list exactly. The stated count is ignored."""
    flags: list[int] = []
    at = 4
    while len(data) - at >= 16:
        flag, size = struct.unpack_from(">8xLL", data, at)
        flags.append(flag)
        at += 16 + size
    return flags if at == len(data) else None


def _parse_opcode(data: bytes, at: int) -> Opcode:
    code, major, minor, third, fourth, flags, size = struct.unpack_from(">L4BLL", data, at)
    if size > len(data) - at - 16:
        raise _DamagedError(f"claims {size} bytes, but only {len(data) - at - 16} are left")
    if flags & ~(_OPTIONAL | _SKIP_FOR_PREVIEW):
        raise _DamagedError(f"unknown flags {flags:#x}")
    header = Header(_NAMES.get(code, f"opcode {code}"), bool(flags & _OPTIONAL))
    read = _READERS.get(code) if (major, minor, third, fourth) <= _NEWEST else None
    return Unsupported(header) if read is None else read(header, _Fields(data[at + 16 : at + 16 + size]))


def without_polynomials(data: bytes) -> bytes:
    """Remove the MapPolynomial opcodes from a list that `parse_list` accepts.

    Return b"" if no opcode remains.
    """
    kept: list[bytes] = []
    at = 4
    while at < len(data):
        code, size = struct.unpack_from(">L8xL", data, at)
        if code != _MAP_POLYNOMIAL:
            kept.append(data[at : at + 16 + size])
        at += 16 + size
    return struct.pack(">L", len(kept)) + b"".join(kept) if kept else b""


class _Fields:
    """Sequential reader of the parameters of an opcode."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Read numbers in the format of `struct`."""
        size = struct.calcsize(">" + layout)
        self._require(size)
        values = struct.unpack_from(">" + layout, self._data, self._at)
        self._at += size
        return values

    def array(self, kind: str, *shape: int) -> NDArray[Any]:
        """Read an array of a numpy type, and convert it to native byte order."""
        count = 1
        for length in shape:
            count *= length  # Python integers, which do not overflow
        dtype = np.dtype(kind).newbyteorder(">")
        self._require(count * dtype.itemsize)
        values = np.frombuffer(self._data, dtype, count, self._at).reshape(shape)
        self._at += count * dtype.itemsize
        values = values.astype(kind)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _DamagedError("contains values that are not finite")
        return values

    def end(self) -> None:
        """Check that all bytes were read."""
        if self._at != len(self._data):
            raise _DamagedError(f"has {len(self._data)} bytes of parameters, expected {self._at}")

    def _require(self, size: int) -> None:
        if len(self._data) - self._at < size:
            raise _DamagedError(
                f"has {len(self._data)} bytes of parameters, expected at least {self._at + size}"
            )


def _check_limit(values: NDArray[Any], limit: float, what: str) -> None:
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= limit:
        raise _DamagedError(f"{what} {largest:g} is too large; at most {limit:g} is allowed")


def _radial(coefficients: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate polynomials (planes, terms) at radii (count,), constant term first: (planes, count)."""
    with np.errstate(over="ignore", invalid="ignore"):
        exponents = np.arange(coefficients.shape[1], dtype=np.float64).reshape(-1, 1)
        return coefficients @ np.power(radii, exponents)


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
    # The phase is one of the four Bayer patterns. It is not used, because CFAPattern also states the pattern.
    if phase > 3:
        raise _DamagedError(f"has the Bayer phase {phase}, expected 0 to 3")


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
    _check_limit(coefficients, _MAX_COEFFICIENT, "its coefficient")
    _check_limit(_radial(coefficients[None], _RADII), _MAX_FACTOR, "its value")
    return Polynomial(header, area, coefficients)


def _gain_map(header: Header, fields: _Fields) -> GainMap:
    area = _area(fields)
    rows, cols = fields.numbers("LL")
    spacing = fields.array("f8", 2)
    origin = fields.array("f8", 2)
    (planes,) = fields.numbers("L")
    if rows < 1 or cols < 1 or planes < 1:
        raise _DamagedError(f"its map of {rows}x{cols} points in {planes} planes is empty")
    if (rows > 1 and not spacing[0] > 0) or (cols > 1 and not spacing[1] > 0):
        raise _DamagedError(f"the spacing of its points is {spacing[0]:g}, {spacing[1]:g}, expected above 0")
    gains = fields.array("f4", rows, cols, planes)
    if (gains < 0).any():
        raise _DamagedError("has negative gains")
    fields.end()
    _check_limit(gains, _MAX_FACTOR, "its gain")
    # If there is a single row or column of points, the spacing is irrelevant, and files contain 0.
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
        _check_limit(values, _MAX_FACTOR, "its value")
        return LineValues(header, area, values, by_row, scales)

    return read


def _planes_and_center(fields: _Fields, width: int) -> tuple[NDArray[np.float64], tuple[float, float]]:
    (planes,) = fields.numbers("L")
    if not 1 <= planes <= _MAX_PLANES:
        raise _DamagedError(f"is for {planes} planes, expected 1 to {_MAX_PLANES}")
    coefficients = fields.array("f8", planes, width)
    _check_limit(coefficients, _MAX_COEFFICIENT, "its coefficient")
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
        raise _DamagedError(f"has the reciprocal flag {reciprocal}, expected 0 or 1")
    least, most = terms[:, 17], terms[:, 18]
    if not ((least >= 0) & (least < most) & (most <= 1)).all():
        raise _DamagedError("its range of valid radii is not within 0 to 1")
    if reciprocal:
        for plane in terms:
            factors = _radial(plane[None, :15], np.clip(_RADII, plane[17], plane[18]))
            if np.abs(factors).min() < 1 / _MAX_FACTOR or factors.min() * factors.max() < 0:
                raise _DamagedError("its polynomial is 0 within the picture; it has no finite reciprocal")
    return WarpRectilinear2(header, terms[:, :17], terms[:, 17:], center, bool(reciprocal))


def _warp_fisheye(header: Header, fields: _Fields) -> WarpFisheye:
    coefficients, center = _planes_and_center(fields, 4)
    fields.end()
    return WarpFisheye(header, coefficients, center)


def _vignette(header: Header, fields: _Fields) -> Vignette:
    coefficients = fields.array("f8", 5)
    center = _center(fields)
    fields.end()
    gains = 1 + _radial(np.concatenate([[0.0], coefficients])[None], _RADII**2)
    _check_limit(gains, _MAX_FACTOR, "its gain")
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
