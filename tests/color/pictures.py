"""Small linear images and calibrations for the tests of `color`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from burstfix.types import ColorProfile, FrameMetadata, Levels, LinearImage


def matrix(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float64).reshape(3, 3)


# Real action camera with two calibrations (tungsten, D50). The numbers are from exiftool.
ACTION_CAMERA = ColorProfile(
    color_matrix_1=matrix(1.8331, -0.8166, -0.2478, 0.1391, 0.8961, -0.0367, 0.0822, 0.0662, 0.2597),
    illuminant_1=3,
    color_matrix_2=matrix(1.0344, -0.421, -0.062, -0.2315, 1.0625, 0.1948, 0.0093, 0.1058, 0.5541),
    illuminant_2=23,
    as_shot_neutral=np.array([0.565121, 1.0, 0.527835]),
)

# Camera with linear sRGB output: its colour matrix is the inverse of the matrix of IEC 61966-2-1.
SRGB_CAMERA = ColorProfile(
    color_matrix_1=matrix(3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570),
    illuminant_1=21,
    as_shot_neutral=np.ones(3),
)


def linear_image(
    data: ArrayLike, profile: ColorProfile = SRGB_CAMERA, orientation: int = 1, **changes: object
) -> LinearImage:
    """Return a linear image of (3, H, W) camera RGB with minimal metadata."""
    values = np.asarray(data, np.float32)
    _, height, width = values.shape
    levels = Levels(np.zeros((2, 2), np.float32), 1023.0)
    metadata = FrameMetadata(Path("shot.dng"), height, width, "RGGB", levels, profile, orientation)
    return LinearImage(values, replace(metadata, **changes), {"model": "average"})  # type: ignore[arg-type]
