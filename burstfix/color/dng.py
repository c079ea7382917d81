"""The DNG colour model: compute the matrix for pixels from a calibration and a neutral colour.

Source: DNG specification 1.7, chapter 6 "Mapping Camera Color Space to CIE XYZ Space".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from burstfix.color.chromatic import D50_XYZ, D65_XY, Matrix, adaptation, temperature_of, xy_to_xyz, xyz_to_xy
from burstfix.color.spaces import ColorSpace
from burstfix.errors import InputError
from burstfix.types import ColorProfile

ILLUMINANT_KELVIN: dict[int, float] = {
    1: 5500.0,  # daylight
    2: 4200.0,  # fluorescent
    3: 2850.0,  # tungsten
    4: 5500.0,  # flash
    9: 5500.0,  # fine weather
    10: 6500.0,  # cloudy weather
    11: 7500.0,  # shade
    12: 6400.0,  # daylight fluorescent, 5700 to 7100
    13: 5050.0,  # day white fluorescent, 4600 to 5500
    14: 4200.0,  # cool white fluorescent, 3800 to 4500
    15: 3450.0,  # white fluorescent, 3250 to 3800
    16: 2925.0,  # warm white fluorescent, 2600 to 3250
    17: 2850.0,  # standard light A
    18: 5500.0,  # standard light B
    19: 6500.0,  # standard light C
    20: 5500.0,  # D55
    21: 6500.0,  # D65
    22: 7500.0,  # D75
    23: 5000.0,  # D50
    24: 3200.0,  # ISO studio tungsten
}
"""EXIF LightSource codes (Exif 3.0, 4.6.6.7) and the temperatures that DNG readers assume."""

_MAX_PASSES = 60
_CONVERGED = 1e-7


def xyz_to_camera(profile: ColorProfile, white_xy: ArrayLike) -> Matrix:
    """Return the (3, 3) matrix from XYZ to camera RGB under a light: AB * CC * CM in the specification."""
    share = _share_of_first(profile, white_xy)
    color = _mix(
        _scaled_color_matrix(profile.color_matrix_1),
        None if profile.color_matrix_2 is None else _scaled_color_matrix(profile.color_matrix_2),
        share,
    )
    return _from_reference_camera(profile, share) @ color


def neutral_to_xy(profile: ColorProfile, neutral: ArrayLike) -> Matrix:
    """Find the (2,) chromaticity of the light under which a grey object has the camera RGB `neutral` (3,).

    The matrix depends on the light, and the light on the matrix, so both are found by iteration, starting at
    D50. Each step has half length, because full steps oscillate if the two calibrations are very different.
    """
    camera = np.asarray(neutral, np.float64)
    xy = xyz_to_xy(D50_XYZ)
    for _ in range(_MAX_PASSES):
        found = xyz_to_xy(np.linalg.solve(xyz_to_camera(profile, xy), camera))
        step = found - xy
        xy = xy + step / 2
        if np.abs(step).sum() < _CONVERGED:
            break
    return xy


def xy_to_neutral(profile: ColorProfile, white_xy: ArrayLike) -> Matrix:
    """Return the (3,) camera RGB of a grey object under this light, largest component 1."""
    camera = np.maximum(xyz_to_camera(profile, white_xy) @ xy_to_xyz(white_xy), 1e-6)
    return camera / camera.max()


def as_shot_neutral(profile: ColorProfile) -> Matrix:
    """Return the (3,) camera RGB of a grey object as the camera recorded it, largest component 1.

    The source is AsShotNeutral, otherwise AsShotWhiteXY, otherwise daylight (D65).
    """
    neutral = profile.as_shot_neutral
    if neutral is not None and np.all(np.isfinite(neutral)) and np.all(np.asarray(neutral) > 0):
        return np.asarray(neutral, np.float64) / np.max(neutral)
    return xy_to_neutral(profile, D65_XY if profile.as_shot_white_xy is None else profile.as_shot_white_xy)


def balanced_camera_to_xyz_d50(profile: ColorProfile, neutral: ArrayLike) -> Matrix:
    """Return the (3, 3) matrix from camera RGB divided by `neutral` to XYZ under D50.

    White-balanced (1, 1, 1) gives exactly D50 white.

    Raises:
        InputError: The calibration cannot be inverted.
    """
    camera = np.asarray(neutral, np.float64)
    try:
        white_xy = neutral_to_xy(profile, camera)
        share = _share_of_first(profile, white_xy)
        forward = _forward_matrix(profile, share)
        if forward is not None:
            undo = np.linalg.inv(_from_reference_camera(profile, share))
            to_xyz = (forward / (undo @ camera)) @ undo
        else:
            to_xyz = adaptation(xy_to_xyz(white_xy), D50_XYZ) @ np.linalg.inv(
                xyz_to_camera(profile, white_xy)
            )
    except np.linalg.LinAlgError as error:
        raise InputError("the colour matrix of this raw cannot be inverted (its tags are damaged)") from error
    balanced = to_xyz * camera
    # Scale so that a grey object at the white level of the sensor has Y = 1.
    balanced /= balanced[1].sum()
    if not np.all(np.isfinite(balanced)):
        raise InputError("the colour calibration of this raw is not usable (its tags are damaged)")
    return balanced


def camera_to_rgb(profile: ColorProfile, neutral: ArrayLike | None, space: ColorSpace) -> Matrix:
    """Return the matrix from *white-balanced* camera RGB to linear RGB of `space`.

    White-balanced means camera RGB divided by `neutral`, so that a grey object has equal components. Every
    row sums to 1.

    Args:
        profile: The camera's calibration.
        neutral: (3,) camera RGB of a grey object, largest component 1; None = as shot. It also determines how
            the two calibrations are mixed.
        space: Colour space of the result.

    Returns:
        float64 (3, 3).

    Raises:
        InputError: The calibration cannot be inverted.
    """
    camera = as_shot_neutral(profile) if neutral is None else np.asarray(neutral, np.float64)
    matrix = space.from_xyz_d50() @ balanced_camera_to_xyz_d50(profile, camera)
    return matrix / matrix.sum(axis=1, keepdims=True)  # rows sum to exactly 1, so that grey stays grey


def _share_of_first(profile: ColorProfile, white_xy: ArrayLike) -> float:
    """Return the share of calibration 1, linear in 1 / temperature between the two illuminants."""
    first = ILLUMINANT_KELVIN.get(profile.illuminant_1, 0.0)
    second = ILLUMINANT_KELVIN.get(profile.illuminant_2 or 0, 0.0)
    if profile.color_matrix_2 is None or first == second or not (first > 0 and second > 0):
        return 1.0
    kelvin, _ = temperature_of(white_xy)
    share = (1 / kelvin - 1 / second) / (1 / first - 1 / second)
    return float(np.clip(share, 0.0, 1.0))


def _mix(first: Matrix, second: Matrix | None, share: float) -> Matrix:
    return first if second is None else share * first + (1 - share) * second


def _scaled_color_matrix(matrix: Matrix) -> Matrix:
    """Scale a matrix before calibrations are mixed, so that the largest value for D50 white is 1."""
    peak = float(np.max(matrix @ D50_XYZ))
    return matrix / peak if peak > 0 else np.asarray(matrix, np.float64)


def _from_reference_camera(profile: ColorProfile, share: float) -> Matrix:
    """Return AB * CC: from the calibrated reference camera to this individual camera."""
    identity = np.eye(3)
    calibration = _mix(
        identity if profile.camera_calibration_1 is None else profile.camera_calibration_1,
        identity if profile.camera_calibration_2 is None else profile.camera_calibration_2,
        share,
    )
    balance = np.ones(3) if profile.analog_balance is None else np.asarray(profile.analog_balance, np.float64)
    return balance[:, None] * calibration


def _forward_matrix(profile: ColorProfile, share: float) -> Matrix | None:
    """Return the forward matrix for this light, scaled so that (1, 1, 1) gives exactly D50 white."""
    first, second = profile.forward_matrix_1, profile.forward_matrix_2
    if first is None:
        return None if second is None else _white_to_d50(second)
    return _mix(_white_to_d50(first), None if second is None else _white_to_d50(second), share)


def _white_to_d50(matrix: Matrix) -> Matrix:
    return matrix * (D50_XYZ / matrix.sum(axis=1))[:, None]
