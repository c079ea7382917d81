"""The display colour spaces: one table of names, primaries and curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burstfix.color.chromatic import D50_XYZ, D65_XY, Matrix, adaptation, xy_to_xyz
from burstfix.errors import UsageError


@dataclass(frozen=True, slots=True)
class TransferCurve:
    """Curve from encoded values e to linear light: (a*e + b)**gamma for e >= start, else slope * e.

    This is the parametric curve of type 3 of ICC profiles (ICC.1:2022, 10.18), so that the profile describes
    exactly the encoding of the pixels.
    """

    gamma: float
    a: float
    b: float
    slope: float
    start: float

    def encode(self, linear: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode linear light, 0 to 1. The result has the same range, shape and dtype."""
        encoded = np.power(linear, 1.0 / self.gamma)
        encoded -= self.b
        encoded *= 1.0 / self.a
        np.copyto(encoded, linear / self.slope, where=linear < self.start * self.slope)
        return encoded

    def decode(self, encoded: ArrayLike) -> NDArray[np.float64]:
        """Decode encoded values, 0 to 1, to linear light."""
        e = np.asarray(encoded, np.float64)
        curved = (self.a * np.maximum(e, 0.0) + self.b) ** self.gamma
        return np.asarray(np.where(e < self.start, self.slope * e, curved), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class ColorSpace:
    """A display colour space.

    Attributes:
        name: Name on the command line.
        title: Name in the ICC profile.
        primaries: (3, 2) xy of red, green, blue.
        white_xyz: (3,) XYZ of white, Y = 1.
        curve: Transfer curve of each channel.
    """

    name: str
    title: str
    primaries: Matrix
    white_xyz: Matrix
    curve: TransferCurve

    def to_xyz(self) -> Matrix:
        """Return the (3, 3) matrix from linear RGB to XYZ relative to its own white."""
        columns = np.stack([xy_to_xyz(xy) for xy in self.primaries], axis=1)
        return columns @ np.diag(np.linalg.solve(columns, self.white_xyz))

    def to_xyz_d50(self) -> Matrix:
        """Return the (3, 3) matrix from linear RGB to XYZ adapted to D50 (Bradford)."""
        return adaptation(self.white_xyz, D50_XYZ) @ self.to_xyz()

    def from_xyz_d50(self) -> Matrix:
        """Return the (3, 3) inverse of `to_xyz_d50`."""
        return np.asarray(np.linalg.inv(self.to_xyz_d50()), np.float64)


SRGB_CURVE = TransferCurve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""IEC 61966-2-1."""

_BT2020_ALPHA = 1.09929682680944
_BT2020_CURVE = TransferCurve(
    1 / 0.45, 1 / _BT2020_ALPHA, (_BT2020_ALPHA - 1) / _BT2020_ALPHA, 1 / 4.5, 4.5 * 0.018053968510807
)
"""ITU-R BT.2020, constants to full precision."""

_ROMM_CURVE = TransferCurve(1.8, 1.0, 0.0, 1 / 16, 1 / 32)
"""ISO 22028-2 (ROMM RGB)."""

_D65_XYZ = xy_to_xyz(D65_XY)

SPACES: dict[str, ColorSpace] = {
    space.name: space
    for space in (
        ColorSpace(
            "srgb", "sRGB", np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]]), _D65_XYZ, SRGB_CURVE
        ),
        ColorSpace(
            "display-p3",
            "Display P3",
            np.array([[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]]),
            _D65_XYZ,
            SRGB_CURVE,
        ),
        ColorSpace(
            "rec2020",
            "Rec. ITU-R BT.2020",
            np.array([[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]]),
            _D65_XYZ,
            _BT2020_CURVE,
        ),
        ColorSpace(
            "prophoto",
            "ProPhoto RGB",
            np.array([[0.7347, 0.2653], [0.1596, 0.8404], [0.0366, 0.0001]]),
            D50_XYZ,
            _ROMM_CURVE,
        ),
    )
}


def color_space(name: str) -> ColorSpace:
    """Return the row of `SPACES` with this name; raise UsageError if the name is unknown."""
    try:
        return SPACES[name]
    except KeyError:
        raise UsageError(f"colour space {name!r} is not known; choose one of {', '.join(SPACES)}") from None
