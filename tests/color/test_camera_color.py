from dataclasses import replace

import numpy as np
import pytest

from burstfix.color import SPACES, as_shot_neutral
from burstfix.color.chromatic import D50_XYZ, adaptation, temperature_of, xy_to_xyz
from burstfix.color.dng import (
    balanced_camera_to_xyz_d50,
    camera_to_rgb,
    neutral_to_xy,
    xy_to_neutral,
    xyz_to_camera,
)
from burstfix.errors import InputError
from tests.color.pictures import ACTION_CAMERA, SRGB_CAMERA, matrix

SRGB = SPACES["srgb"]


def test_xyz_to_camera_when_between_the_illuminants_then_it_is_linear_in_inverse_temperature():
    # 3630.57 K is half way between 1/2850 K and 1/5000 K. Both matrices are scaled so that white is at most
    # 1.
    xy = [0.4, 0.3907]
    kelvin, _ = temperature_of(xy)
    share = (1 / kelvin - 1 / 5000) / (1 / 2850 - 1 / 5000)
    first, second = ACTION_CAMERA.color_matrix_1, ACTION_CAMERA.color_matrix_2
    assert second is not None
    expected = share * first / (first @ D50_XYZ).max() + (1 - share) * second / (second @ D50_XYZ).max()
    assert 0.4 < share < 0.6
    np.testing.assert_allclose(xyz_to_camera(ACTION_CAMERA, xy), expected, rtol=1e-9)


@pytest.mark.parametrize(("xy", "which"), [((0.31, 0.32), 2), ((0.52, 0.41), 1)])
def test_xyz_to_camera_when_outside_the_illuminants_then_only_the_nearer_one_is_used(xy, which):
    only = ACTION_CAMERA.color_matrix_1 if which == 1 else ACTION_CAMERA.color_matrix_2
    assert only is not None
    np.testing.assert_allclose(xyz_to_camera(ACTION_CAMERA, xy), only / (only @ D50_XYZ).max(), rtol=1e-9)


def test_xyz_to_camera_when_illuminants_are_swapped_then_the_result_is_the_same():
    swapped = replace(
        ACTION_CAMERA,
        color_matrix_1=ACTION_CAMERA.color_matrix_2,
        color_matrix_2=ACTION_CAMERA.color_matrix_1,
        illuminant_1=23,
        illuminant_2=3,
    )
    np.testing.assert_allclose(xyz_to_camera(swapped, [0.4, 0.39]), xyz_to_camera(ACTION_CAMERA, [0.4, 0.39]))


def test_xyz_to_camera_when_balance_and_calibration_are_given_then_it_is_ab_times_cc_times_cm():
    cc = matrix(1.1, 0.02, 0, 0, 0.95, 0, 0.01, 0, 1.05)
    profile = replace(SRGB_CAMERA, analog_balance=np.array([1.5, 1.0, 0.8]), camera_calibration_1=cc)
    expected = np.diag([1.5, 1.0, 0.8]) @ cc @ xyz_to_camera(SRGB_CAMERA, [0.33, 0.33])
    np.testing.assert_allclose(xyz_to_camera(profile, [0.33, 0.33]), expected, rtol=1e-12)


@pytest.mark.parametrize("xy", [(0.45, 0.41), (0.3805, 0.3767), (0.3457, 0.3585), (0.3127, 0.3290)])
def test_neutral_to_xy_when_given_the_neutral_of_a_light_then_it_returns_the_light(xy):
    neutral = xy_to_neutral(ACTION_CAMERA, xy)
    assert neutral.max() == 1.0
    np.testing.assert_allclose(neutral_to_xy(ACTION_CAMERA, neutral), xy, atol=2e-6)


def test_neutral_to_xy_when_a_real_camera_is_in_daylight_then_the_light_is_close_to_daylight():
    kelvin, duv = temperature_of(neutral_to_xy(ACTION_CAMERA, ACTION_CAMERA.as_shot_neutral))
    assert 4500 < kelvin < 5000
    assert abs(duv) < 0.01


def test_balanced_camera_to_xyz_when_there_is_no_forward_matrix_then_it_is_inverse_and_bradford():
    neutral = ACTION_CAMERA.as_shot_neutral
    xy = neutral_to_xy(ACTION_CAMERA, neutral)
    expected = adaptation(xy_to_xyz(xy), D50_XYZ) @ np.linalg.inv(xyz_to_camera(ACTION_CAMERA, xy))
    expected = expected @ np.diag(neutral)
    expected /= expected[1].sum()
    np.testing.assert_allclose(balanced_camera_to_xyz_d50(ACTION_CAMERA, neutral), expected, rtol=1e-9)


def test_balanced_camera_to_xyz_when_forward_matrices_are_given_then_they_are_used():
    forward = matrix(0.7, 0.15, 0.1142, 0.3, 0.65, 0.05, 0.02, 0.1, 0.7049)  # the sums of its rows are D50
    profile = replace(ACTION_CAMERA, forward_matrix_1=forward, forward_matrix_2=forward)
    found = balanced_camera_to_xyz_d50(profile, ACTION_CAMERA.as_shot_neutral)
    np.testing.assert_allclose(found, forward, atol=1e-9)
    one = replace(ACTION_CAMERA, forward_matrix_2=forward)
    np.testing.assert_allclose(balanced_camera_to_xyz_d50(one, [0.5, 1, 0.6]), forward, atol=1e-9)


def test_balanced_camera_to_xyz_when_calibrated_then_balancing_is_in_the_reference_camera():
    # By hand, with CC = diag(2, 1, 1): the reference neutral is (n_r / 2, n_g, n_b). Balancing in the
    # reference camera cancels it. Only mixing terms of CC would have an effect, and there are none.
    forward = matrix(0.7, 0.15, 0.1142, 0.3, 0.65, 0.05, 0.02, 0.1, 0.7049)
    profile = replace(SRGB_CAMERA, forward_matrix_1=forward, camera_calibration_1=np.diag([2.0, 1, 1]))
    np.testing.assert_allclose(balanced_camera_to_xyz_d50(profile, [0.5, 1, 0.6]), forward, atol=1e-9)
    # With a mixing term, camera = CC @ reference with CC = I + 0.1 e_rg. Neutral (1, 1, 1) is (0.9, 1, 1) in
    # the reference camera. Camera RGB (0.1, 1, 0) is (0, 1, 0) in the reference camera and after balancing,
    # so the result is the green column of `forward`.
    mixing = np.eye(3)
    mixing[0, 1] = 0.1
    profile = replace(SRGB_CAMERA, forward_matrix_1=forward, camera_calibration_1=mixing)
    found = balanced_camera_to_xyz_d50(profile, [1, 1, 1])
    np.testing.assert_allclose(found @ [0.1, 1, 0], forward[:, 1], atol=1e-9)


def test_camera_to_rgb_when_the_camera_records_srgb_then_it_is_the_identity():
    np.testing.assert_allclose(camera_to_rgb(SRGB_CAMERA, None, SRGB), np.eye(3), atol=2e-3)


@pytest.mark.parametrize("neutral", [None, (0.565121, 1, 0.527835), (1, 0.7, 0.3), (0.3, 0.8, 1.0)])
def test_camera_to_rgb_when_given_the_neutral_then_the_result_is_grey(neutral):
    np.testing.assert_allclose(
        camera_to_rgb(ACTION_CAMERA, neutral, SRGB) @ np.ones(3), np.ones(3), atol=1e-12
    )


def test_as_shot_neutral_when_only_the_white_point_is_given_then_it_is_computed_from_it():
    xy = np.array([0.3457, 0.3585])
    profile = replace(ACTION_CAMERA, as_shot_neutral=None, as_shot_white_xy=xy)
    np.testing.assert_allclose(as_shot_neutral(profile), xy_to_neutral(ACTION_CAMERA, xy))


def test_as_shot_neutral_when_tags_are_missing_then_it_is_that_of_daylight():
    profile = replace(SRGB_CAMERA, as_shot_neutral=None)
    np.testing.assert_allclose(as_shot_neutral(profile), np.ones(3), atol=2e-3)


def test_camera_to_rgb_when_the_matrix_is_singular_then_input_error():
    with pytest.raises(InputError, match="colour matrix"):
        camera_to_rgb(replace(SRGB_CAMERA, color_matrix_1=np.zeros((3, 3))), None, SRGB)
