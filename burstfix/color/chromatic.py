"""Chromaticity: xy and XYZ, chromatic adaptation, and correlated colour temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

D50_XYZ: Matrix = np.array([0.9642, 1.0, 0.8249])
"""White of the ICC profile connection space (ICC.1:2022, 7.2.16), which is also the D50 of DNG."""

D65_XY: Matrix = np.array([0.3127, 0.3290])
"""White of sRGB, Display P3 and Rec. 2020 (IEC 61966-2-1, ITU-R BT.2020)."""

_BRADFORD: Matrix = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""XYZ to the sharpened cone responses of the Bradford transform (Lam 1985; ICC.1:2022, annex E)."""

_MIRED_RANGE = (1e6 / 25000.0, 1e6 / 1500.0)


def xy_to_xyz(xy: ArrayLike) -> Matrix:
    """Convert (2,) chromaticity to (3,) XYZ with Y = 1."""
    x, y = np.asarray(xy, np.float64)
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def xyz_to_xy(xyz: ArrayLike) -> Matrix:
    """Convert (3,) XYZ to (2,) chromaticity; return D50 if the sum is not positive, as the DNG SDK does."""
    values = np.asarray(xyz, np.float64)
    total = float(values.sum())
    if not total > 0:
        values, total = D50_XYZ, float(D50_XYZ.sum())
    return values[:2] / total


def adaptation(source_xyz: ArrayLike, target_xyz: ArrayLike) -> Matrix:
    """Return the (3, 3) linear Bradford transform from XYZ under `source_xyz` to XYZ under `target_xyz`."""
    gains = (_BRADFORD @ np.asarray(target_xyz, np.float64)) / (
        _BRADFORD @ np.asarray(source_xyz, np.float64)
    )
    return np.linalg.inv(_BRADFORD) @ (gains[:, None] * _BRADFORD)


def _xy_to_uv(xy: ArrayLike) -> Matrix:
    x, y = np.asarray(xy, np.float64)
    return np.array([4.0 * x, 6.0 * y]) / (-2.0 * x + 12.0 * y + 3.0)


def _uv_to_xy(uv: ArrayLike) -> Matrix:
    u, v = np.asarray(uv, np.float64)
    return np.array([3.0 * u, 2.0 * v]) / (2.0 * u - 8.0 * v + 4.0)


def _planckian_uv(kelvin: ArrayLike) -> Matrix:
    """Return CIE 1960 uv (2, ...) of a black body; error below 9e-5 for 1000 K to 15000 K (Krystek 1985)."""
    t = np.asarray(kelvin, np.float64)
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t**2) / (
        1.0 + 8.42420235e-4 * t + 7.08145163e-7 * t**2
    )
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t**2) / (
        1.0 - 2.89741816e-5 * t + 1.61456053e-7 * t**2
    )
    return np.stack([u, v])


def _locus_normal(kelvin: float) -> Matrix:
    """Return the (2,) unit vector in uv that is perpendicular to the black body locus and points to green."""
    du, dv = _planckian_uv(kelvin * 1.001) - _planckian_uv(kelvin * 0.999)
    normal = np.array([-dv, du]) / np.hypot(du, dv)
    return normal if normal[1] > 0 else -normal


def temperature_of(xy: ArrayLike) -> tuple[float, float]:
    """Compute the correlated colour temperature and the distance from the black body locus.

    Args:
        xy: (2,) chromaticity.

    Returns:
        Temperature in kelvin, 1500 to 25000, and Duv: distance in CIE 1960 uv, positive on the green side.
    """
    uv = _xy_to_uv(xy)
    # Equal steps in mireds have nearly equal lengths on the locus. Scan coarsely, then refine at the nearest
    # point.
    low, high = _MIRED_RANGE
    nearest = low
    for _ in range(6):
        mireds = np.linspace(low, high, 41)
        distance = np.hypot(*(_planckian_uv(1e6 / mireds) - uv[:, None]))
        nearest = float(mireds[int(np.argmin(distance))])
        step = float(mireds[1] - mireds[0])
        low, high = max(_MIRED_RANGE[0], nearest - step), min(_MIRED_RANGE[1], nearest + step)
    kelvin = 1e6 / nearest
    duv = float((uv - _planckian_uv(kelvin)) @ _locus_normal(kelvin))
    return kelvin, duv


def white_of(kelvin: float, duv: float = 0.0) -> Matrix:
    """Return the (2,) xy of a light of this temperature and Duv; the inverse of `temperature_of`."""
    return _uv_to_xy(_planckian_uv(kelvin) + duv * _locus_normal(kelvin))
