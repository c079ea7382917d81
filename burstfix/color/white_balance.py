"""White balance: the camera RGB of a grey object, from the file, from the picture, or as the user says."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix, temperature_of, white_of
from burstfix.color.dng import as_shot_neutral, neutral_to_xy, xy_to_neutral
from burstfix.errors import UsageError
from burstfix.types import ColorProfile

WhiteBalance = Literal["camera", "auto"] | tuple[float, float, float]

_CLIPPED = 0.95
_DARK_PERCENTILE = 20.0
_MINKOWSKI_NORM = 5.0
_MAX_CHROMA = 0.3
_MIN_SHARE = 0.02
_NO_LIGHT = 1e-4
_PASSES = 6
_KELVIN_RANGE = (2000.0, 12000.0)
_DUV_RANGE = (-0.012, 0.015)


def neutral_for(white_balance: WhiteBalance, profile: ColorProfile, thumbnail: NDArray[np.float32]) -> Matrix:
    """(3,) camera RGB of a grey object, largest component 1.

    Args:
        white_balance: "camera" (the file's), "auto" (estimated from `thumbnail`), or multipliers of R, G, B.
        profile: The camera's calibration.
        thumbnail: (3, h, w) camera RGB.

    Raises:
        UsageError: Another word, or multipliers that are not three positive numbers.
    """
    if isinstance(white_balance, str):
        if white_balance == "camera":
            return as_shot_neutral(profile)
        if white_balance == "auto":
            return estimate_neutral(profile, thumbnail)
        raise UsageError(
            f"white balance {white_balance!r} is not known; use camera, auto, or R,G,B multipliers"
        )
    multipliers = np.asarray(white_balance, np.float64)
    if multipliers.shape != (3,) or not (np.all(np.isfinite(multipliers)) and np.all(multipliers > 0)):
        raise UsageError(f"white balance {white_balance!r}: expected three positive multipliers for R, G, B")
    return multipliers.min() / multipliers


def estimate_neutral(profile: ColorProfile, thumbnail: NDArray[np.float32]) -> Matrix:
    """Estimates the light's colour from the picture.

    The mean of what is nearly grey under the camera's own guess, over and over, so that a wooden wall that
    fills the picture does not count; where hardly anything is grey, the search starts from shades of grey
    instead (Finlayson and Trezzi 2004). What is clipped or dark is left out. The answer is kept within lights
    that occur: close to the black body locus, from 2000 K to 12000 K.

    Args:
        profile: The camera's calibration.
        thumbnail: (3, h, w) camera RGB, averaged down so that noise hardly counts.

    Returns:
        (3,) camera RGB of a grey object, largest component 1; as shot for a picture without light.
    """
    pixels = np.asarray(thumbnail, np.float64).reshape(3, -1)
    pixels = pixels[:, np.all(np.isfinite(pixels) & (pixels > 0) & (pixels < _CLIPPED), axis=0)]
    as_shot = as_shot_neutral(profile)
    if pixels.shape[1] == 0 or (peak := float(pixels.max())) < _NO_LIGHT:
        return as_shot
    brightness = pixels.sum(axis=0)
    pixels = pixels[:, brightness >= np.percentile(brightness, _DARK_PERCENTILE)]
    neutral = as_shot
    if _nearly_grey(pixels, neutral).mean() < _MIN_SHARE:
        neutral = np.mean((pixels / peak) ** _MINKOWSKI_NORM, axis=1) ** (1 / _MINKOWSKI_NORM)
    for _ in range(_PASSES):
        grey = _nearly_grey(pixels, neutral)
        if grey.mean() < _MIN_SHARE:
            break
        neutral = pixels[:, grey].mean(axis=1)
    kelvin, duv = temperature_of(neutral_to_xy(profile, neutral))
    likely = white_of(float(np.clip(kelvin, *_KELVIN_RANGE)), float(np.clip(duv, *_DUV_RANGE)))
    return xy_to_neutral(profile, likely)


def _nearly_grey(pixels: Matrix, neutral: Matrix) -> NDArray[np.bool_]:
    """Which of (3, n) pixels have little chroma once balanced by `neutral`."""
    balanced = pixels / neutral[:, None]
    high = balanced.max(axis=0)
    return (high - balanced.min(axis=0)) < _MAX_CHROMA * high
