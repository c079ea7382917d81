"""Records for the opcodes of the DNG specification 1.7.1, chapter 7 "Opcode List Processing".

Rows, columns and rectangles are in pixels of the picture to which the list applies: the whole sensor (list
1), the active area (list 2), the demosaicked picture (list 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OpcodeMode = Literal["apply", "skip"]
"""Apply the corrections stored in a file, or skip them."""


@dataclass(frozen=True, slots=True, eq=False)
class OpcodeLists:
    """Opcode lists of a DNG as bytes, and the size of the picture to which list 1 refers.

    Attributes:
        first: Value of the tag OpcodeList1; empty if absent.
        second: Value of the tag OpcodeList2.
        third: Value of the tag OpcodeList3.
        sensor_height: Rows of the whole mosaic, including masked borders.
        sensor_width: Columns of the whole mosaic, including masked borders.
        top: Row of the mosaic at which the visible area begins.
        left: Column of the mosaic at which the visible area begins.
        linearised: True if a linearisation table was applied to the mosaic, so that the original values,
            which list 1 needs, are lost.
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
    """Fields of all opcodes.

    Attributes:
        name: Name in the specification.
        optional: True if a reader may skip the opcode.
    """

    name: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Area:
    """Pixels to which an opcode applies: every pitch-th row and column of a rectangle, in some planes.

    `bottom` and `right` are exclusive. A mosaic has one plane, number 0. Example: an area with top 1, left 1,
    bottom 5, right 6, row pitch 2 and column pitch 2 contains the pixels X:

        . . . . . . .
        . X . X . X .
        . . . . . . .
        . X . X . X .
        . . . . . . .
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
    """FixBadPixelsConstant (4): pixels with this value (16 bits) are bad."""

    header: Header
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class BadPixelList:
    """FixBadPixelsList (5).

    Attributes:
        header: See `Header`.
        points: int64 (count, 2), rows and columns.
        rectangles: int64 (count, 4), top, left, bottom, right; bottom and right are exclusive.
    """

    header: Header
    points: NDArray[np.int64]
    rectangles: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Trim:
    """TrimBounds (6): crops the picture to this rectangle."""

    header: Header
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """MapTable (7): a table whose index is the value 0..1, scaled to 0..65535.

    `values` is float32 (size,), already divided by 65535. Beyond the end of the table, its last entry
    applies.
    """

    header: Header
    area: Area
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """MapPolynomial (8): `coefficients` float64, constant term first; x in 0..1."""

    header: Header
    area: Area
    coefficients: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GainMap:
    """GainMap (9): gains on a coarse grid, interpolated linearly.

    Attributes:
        header: See `Header`.
        area: Pixels that are multiplied.
        gains: float32 (rows, cols, planes). If the picture has more planes, they use the last one.
        spacing: Vertical and horizontal distance between grid points, relative to the size of the picture.
        origin: Row and column of the first grid point, in the same unit.
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
        area: Pixels that are changed.
        values: float32, one for each affected row or column of the area.
        by_row: True if the values belong to rows, False for columns.
        scales: True if the values are factors, False if they are added.
    """

    header: Header
    area: Area
    values: NDArray[np.float32]
    by_row: bool
    scales: bool


@dataclass(frozen=True, slots=True, eq=False)
class WarpRectilinear:
    """WarpRectilinear (1): lens distortion, a polynomial of the distance from the optical centre.

    Attributes:
        header: See `Header`.
        coefficients: float64 (planes, 6): kr0 to kr3 radial, kt0 and kt1 tangential; a single row applies
            to all planes.
        center: x and y of the optical centre, relative to the size of the picture.
    """

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class WarpRectilinear2:
    """WarpRectilinear2 (14, DNG 1.6): like `WarpRectilinear`, with a longer polynomial in all powers.

    Attributes:
        header: See `Header`.
        coefficients: float64 (planes, 17): kr0 to kr14 radial, kt0 and kt1 tangential; a single row applies
            to all planes.
        valid: float64 (planes, 2): smallest and largest distance, 0 to 1, at which the radial polynomial is
            valid. Other distances are clamped.
        center: Optical centre, as in `WarpRectilinear`.
        reciprocal: True if the radial factor is the reciprocal of the polynomial.
    """

    header: Header
    coefficients: NDArray[np.float64]
    valid: NDArray[np.float64]
    center: tuple[float, float]
    reciprocal: bool


@dataclass(frozen=True, slots=True, eq=False)
class WarpFisheye:
    """WarpFisheye (2): like `WarpRectilinear`, with float64 (planes, 4) coefficients of the view angle."""

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Vignette:
    """FixVignetteRadial (3): gain 1 + k0 r^2 + ... + k4 r^10; `center` as in `WarpRectilinear`."""

    header: Header
    coefficients: NDArray[np.float64]
    center: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Unsupported:
    """An unknown opcode, or an opcode of a newer version of the format."""

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
