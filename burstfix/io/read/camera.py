"""Convert LibRaw's data about a camera, for raws that are not DNGs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import LINEAR, MONOCHROME
from burstfix.errors import UnsupportedSensorError
from burstfix.io.read import dng
from burstfix.io.read.calibration import XYZ_TO_SRGB, checked_levels
from burstfix.io.read.dng import Area
from burstfix.io.read.noted import Noted
from burstfix.io.read.tags import FileTags
from burstfix.types import ColorProfile, Levels, lies_within


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """Data from LibRaw about an unpacked raw and its camera (names as in rawpy).

    Attributes:
        pattern: uint8 indices into `colors`: the smallest repeating pattern of the visible area. None if
            there is no mosaic.
        channels: Values per pixel, 1 or 3.
        is_foveon: True for Foveon sensors, which stack three colour layers.
        colors: Letters of the colour indices, such as "RGBG".
        black: Black level for each colour index.
        white: White level.
        xyz_to_camera: float64 (3, 3), zeros if unknown.
        white_balance: float64 (3,), camera multipliers R, G, B; not positive if unknown.
        estimated_balance: float64 (3,), multipliers if the camera recorded none: LibRaw's estimate from the
            picture, or multipliers for daylight; not positive if unknown.
        iso, exposure_time, aperture, focal_length: Exposure data; 0 if unknown.
        time: Capture time; None if unknown.
        lens: Name of the lens; "" if unknown.
        balanced_to_srgb: float64 (3, 3), LibRaw's matrix from white-balanced camera RGB to sRGB for cameras
            without `xyz_to_camera`; None otherwise.
    """

    pattern: NDArray[np.uint8] | None
    channels: int
    is_foveon: bool
    colors: str
    black: tuple[float, ...]
    white: float
    xyz_to_camera: NDArray[np.float64]
    white_balance: NDArray[np.float64]
    estimated_balance: NDArray[np.float64]
    iso: float
    exposure_time: float
    aperture: float
    focal_length: float
    time: datetime | None
    lens: str
    balanced_to_srgb: NDArray[np.float64] | None = None

    @property
    def is_monochrome(self) -> bool:
        """True if each pixel has one value and the sensor has no colour filters."""
        return self.channels == 1 and (self.pattern is None or len(self.colors) == 1)


def cfa(tags: FileTags, known: CameraFacts) -> str:
    """Return the CFA pattern, MONOCHROME or LINEAR.

    Raises:
        UnsupportedSensorError: The mosaic has another pattern.
    """
    if known.is_foveon:
        raise UnsupportedSensorError(
            f"{tags.path}: comes from a Foveon sensor; only its maker's software can convert its colours; "
            f"{dng.CONVERT}"
        )
    if known.channels == 3:
        return LINEAR
    if known.pattern is None or known.is_monochrome:
        return MONOCHROME
    names = "".join(known.colors[c] if c < len(known.colors) else "?" for c in known.pattern.ravel())
    return dng.checked_pattern(tags, names, known.pattern.shape)


def levels(tags: FileTags, known: CameraFacts) -> Levels:
    """Return LibRaw's black and white levels.

    Raises:
        InputError: The levels are not usable.
    """
    if known.pattern is not None and known.pattern.shape == (2, 2):
        black = np.array([known.black[c] for c in known.pattern.ravel()], dtype=np.float32).reshape(2, 2)
    else:
        black = np.full((1, 1), np.mean(known.black[: known.channels]), np.float32)
    return checked_levels(tags, Levels(black, known.white))


def color(tags: FileTags, known: CameraFacts) -> Noted[ColorProfile]:
    """Return the colour calibration, with an estimated neutral if the camera recorded none."""
    if known.is_monochrome:
        return Noted(ColorProfile(XYZ_TO_SRGB.copy(), np.ones(3)))  # grey stays grey
    warnings: list[str] = []
    neutral = _neutral(known.white_balance)
    if neutral is None:
        neutral = _neutral(known.estimated_balance)
        warnings.append(f"{tags.path}: the camera recorded no white balance; it is estimated")
    matrix = known.xyz_to_camera
    if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e4:
        matrix = XYZ_TO_SRGB.copy()
        if known.balanced_to_srgb is not None:
            balanced = np.linalg.solve(known.balanced_to_srgb, XYZ_TO_SRGB).astype(np.float64)
            matrix = balanced if neutral is None else neutral[:, None] * balanced
        else:
            warnings.append(
                f"{tags.path}: LibRaw has no colour matrix for this camera; its colours are treated as sRGB"
            )
    return Noted(ColorProfile(color_matrix_1=matrix, as_shot_neutral=neutral), tuple(warnings))


def _neutral(gains: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the camera RGB of a neutral object, largest component 1; None if gains are not positive."""
    if not (np.isfinite(gains).all() and (gains > 0).all()):
        return None
    return (1 / gains) / (1 / gains).max()


def crop(found: Area | None, area: Area) -> tuple[int, int, int, int] | None:
    """Return the maker's crop as top, left, height and width within the visible area."""
    if found is None:
        return None
    inside = (found.top - area.top, found.left - area.left, found.height, found.width)
    # The crop of a camera removes only a few pixels. If it removes half of a side, the tags are damaged.
    plausible = 2 * found.height > area.height and 2 * found.width > area.width
    return inside if plausible and lies_within(inside, area.height, area.width) else None
