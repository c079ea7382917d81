"""The opcodes of DNG specification 1.7.1, chapter 7 "Opcode List Processing", one record each.

Rows, columns and rectangles are in pixels of the picture that the list belongs to: the whole sensor for
list 1, the active area for list 2, the demosaiced picture for list 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OpcodeMode = Literal["apply", "skip"]
"""Whether the corrections that a file asks for are applied."""


@dataclass(frozen=True, slots=True, eq=False)
class OpcodeLists:
    """A DNG's opcode lists as bytes, and the size of the picture that list 1 refers to.

    Attributes:
        first: Value of the tag OpcodeList1; empty if absent.
        second: Value of OpcodeList2.
        third: Value of OpcodeList3.
        sensor_height: Rows of the whole mosaic, masked borders included.
        sensor_width: Columns of it.
        top: Row of the mosaic at which the visible area begins.
        left: Column of the mosaic at which the visible area begins.
        linearised: The mosaic went through a linearisation table, so the values that list 1 applies to
            are lost.
    """

    first: bytes = b""
    second: bytes = b""
    third: bytes = b""
    sensor_height: int = 0
    sensor_width: int = 0
    top: int = 0
    left: int = 0
    linearised: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What every opcode begins with.

    Attributes:
        name: As the specification calls it.
        optional: A reader that cannot apply it may pass over it.
    """

    name: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Area:
    """The pixels that an opcode is for: every pitch-th row and column of a rectangle, in some planes.

    `bottom` and `right` are exclusive. A mosaic has one plane, number 0.
    """

    top: int
    left: int
    bottom: int
    right: int
    plane: int = 0
    planes: int = 1
    row_pitch: int = 1
    col_pitch: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class BadPixelValue:
    """FixBadPixelsConstant (4): pixels of this value (in a mosaic of 16-bit numbers) are bad."""

    header: Header
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class BadPixelList:
    """FixBadPixelsList (5).

    Attributes:
        header: See `Header`.
        points: int64 (count, 2), rows and columns.
        rectangles: int64 (count, 4), top, left, bottom, right, the last two exclusive.
    """

    header: Header
    points: NDArray[np.int64]
    rectangles: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Trim:
    """TrimBounds (6): what is outside this rectangle is cut off."""

    header: Header
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """MapTable (7): values 0..1 stand for 0..65535, which index the table; beyond its end the last one holds.

    `values` is float32 (size,), already divided by 65535.
    """

    header: Header
    area: Area
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """MapPolynomial (8): `coefficients` float64, that of x^0 first; x is 0..1."""

    header: Header
    area: Area
    coefficients: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GainMap:
    """GainMap (9): gains on a coarse grid, interpolated between its points.

    Attributes:
        header: See `Header`.
        area: The pixels multiplied.
        gains: float32 (rows, cols, planes). Planes beyond the last take the last one's.
        spacing: Of the grid's points, down and across, as a share of the picture.
        origin: Of the first point, down and across, as a share of the picture.
    """

    header: Header
    area: Area
    gains: NDArray[np.float32]
    spacing: tuple[float, float]
    origin: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class LineValues:
    """DeltaPerRow (10), DeltaPerColumn (11), ScalePerRow (12), ScalePerColumn (13).

    Attributes:
        header: See `Header`.
        area: The pixels changed.
        values: float32, one for each row (or column) of the area that its pitch meets.
        by_row: Rows, else columns.
        scales: The values are factors, else they are added.
    """

    header: Header
    area: Area
    values: NDArray[np.float32]
    by_row: bool
    scales: bool


@dataclass(frozen=True, slots=True, eq=False)
class WarpRectilinear:
    """WarpRectilinear (1): where a pixel's value comes from, by a polynomial of its distance from a centre.

    Attributes:
        header: See `Header`.
        coefficients: float64 (planes, 6): kr0 to kr3 radial, kt0 and kt1 tangential; one row serves all.
        center: x and y as a share of the picture.
    """

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class WarpRectilinear2:
    """WarpRectilinear2 (14, DNG 1.6): a longer polynomial, in odd powers of the distance as well.

    Attributes:
        header: See `Header`.
        coefficients: float64 (planes, 17): kr0 to kr14 radial, kt0 and kt1 tangential; one row serves all.
        valid: float64 (planes, 2): the distances, 0 to 1, between which the radial polynomial holds; nearer
            and farther pixels take its value there.
        center: x and y as a share of the picture.
        reciprocal: Pixels move by the polynomial's reciprocal.
    """

    header: Header
    coefficients: NDArray[np.float64]
    valid: NDArray[np.float64]
    center: tuple[float, float]
    reciprocal: bool


@dataclass(frozen=True, slots=True, eq=False)
class WarpFisheye:
    """WarpFisheye (2): as `WarpRectilinear`, with four coefficients of the angle: float64 (planes, 4)."""

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Vignette:
    """FixVignetteRadial (3): gain 1 + k0 r^2 + ... + k4 r^10; `center` as for warps."""

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Unsupported:
    """An opcode that is not known here, or of a later version of the format."""

    header: Header


Warp = WarpRectilinear | WarpRectilinear2 | WarpFisheye

Opcode = (
    BadPixelValue
    | BadPixelList
    | Trim
    | Table
    | Polynomial
    | GainMap
    | LineValues
    | Warp
    | Vignette
    | Unsupported
)
