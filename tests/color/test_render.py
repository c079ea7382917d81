import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from burstfix.color import SHIPPED, render
from burstfix.color.orientation import as_stored, upright
from burstfix.color.tone import automatic_exposure
from burstfix.errors import UsageError
from burstfix.types import ExifTags
from tests.color.pictures import ACTION_CAMERA, SRGB_CAMERA, linear_image

plain = partial(render, look="plain")
NEUTRAL = np.asarray(ACTION_CAMERA.as_shot_neutral)

# A picture of 2x3 pixels, rotated by hand for each orientation.
STORED = np.array([[1, 2, 3], [4, 5, 6]])
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_upright_when_given_each_orientation_then_the_result_equals_that_by_hand(orientation):
    np.testing.assert_array_equal(upright(STORED, orientation), UPRIGHT[orientation])
    np.testing.assert_array_equal(as_stored(upright(STORED, orientation), orientation), STORED)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_render_when_given_each_orientation_then_pixels_are_upright_and_the_tag_is_1(orientation):
    image = plain(linear_image(np.stack([STORED / 10.0] * 3), orientation=orientation))
    order = np.argsort(np.argsort(image.data[..., 1].ravel())).reshape(image.data.shape[:2]) + 1
    np.testing.assert_array_equal(order, UPRIGHT[orientation])
    assert image.exif.image[274] == 1
    assert image.data.flags.c_contiguous


@pytest.mark.parametrize("orientation", [1, 6])
def test_render_when_the_raw_has_a_default_crop_then_it_is_applied(orientation):
    data = np.random.default_rng(3).random((3, 9, 12))
    linear = linear_image(data, orientation=orientation)
    cropped = replace(linear, metadata=replace(linear.metadata, default_crop=(2, 3, 5, 7)))
    expected = as_stored(plain(linear).data, orientation)[2:7, 3:10]
    np.testing.assert_array_equal(as_stored(plain(cropped).data, orientation), expected)
    too_large = replace(linear, metadata=replace(linear.metadata, default_crop=(2, 3, 8, 7)))
    np.testing.assert_array_equal(plain(too_large).data, plain(linear).data)
    smaller = replace(cropped, data=linear.data[:, ::2, ::2])  # its size differs from that of the raw
    assert plain(smaller).data.shape == plain(replace(linear, data=smaller.data)).data.shape


def test_render_when_the_camera_records_srgb_then_only_the_curve_is_applied():
    data = np.random.default_rng(1).random((3, 5, 7)) * 0.9
    found = plain(linear_image(data)).data / 65535.0
    expected = np.where(data <= 0.0031308, 12.92 * data, 1.055 * data ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found, expected.transpose(1, 2, 0), atol=2e-3)  # the matrix has 4 digits


def test_render_when_a_grey_ramp_is_in_the_as_shot_light_then_it_is_neutral_up_to_white():
    ramp = np.linspace(0, 1, 200)
    image = plain(linear_image(NEUTRAL[:, None, None] * ramp[None, None], ACTION_CAMERA)).data.astype(int)
    assert np.ptp(image, axis=-1).max() <= 2
    assert image[0, -1].tolist() == [65535] * 3
    assert np.all(np.diff(image[0, :, 1]) >= 0)


@pytest.mark.parametrize("look", SHIPPED)
@pytest.mark.parametrize("exposure", [-1.0, 0.0, 1.5])
def test_render_when_a_neutral_gradient_clips_in_the_sensor_then_it_stays_neutral(look, exposure):
    # Every channel clips at 1, green first. Without reconstruction, brighter pixels would become magenta.
    brightness = np.linspace(0.5, 3.0, 500)
    camera = np.minimum(NEUTRAL[:, None, None] * brightness, 1.0)
    image = render(linear_image(camera, ACTION_CAMERA), look=look, exposure=exposure).data.astype(int)
    assert np.ptp(image, axis=-1).max() <= 64  # of 65535


def test_render_when_frames_clip_at_different_times_then_highlights_are_nearly_neutral():
    # Near clipping, green of a merged picture is the mean of clipped and unclipped samples.
    camera = (NEUTRAL * 1.1)[:, None, None] * np.ones((3, 1, 1))
    camera[1] = 0.97
    image = plain(linear_image(camera, ACTION_CAMERA)).data[0, 0] / 65535.0
    assert np.ptp(image) < 0.005


def test_render_when_a_red_lamp_clips_then_it_remains_red():
    image = plain(linear_image(np.array([1.0, 0.12, 0.02]).reshape(3, 1, 1), ACTION_CAMERA)).data[0, 0]
    assert image[0] == 65535 and image[1] < 25000 and image[2] < 15000


def test_render_when_multipliers_are_given_then_the_balanced_colour_is_grey():
    camera = np.array([0.2, 0.4, 0.25]).reshape(3, 1, 1)
    image = plain(linear_image(camera, ACTION_CAMERA), white_balance=(2.0, 1.0, 1.6))
    assert np.ptp(image.data[0, 0].astype(int)) <= 2
    assert image.settings["render"]["white_balance_multipliers"] == [2.0, 1.0, 1.6]


def test_render_when_balance_is_auto_then_grey_under_another_light_becomes_grey():
    rng = np.random.default_rng(5)
    light = np.array([0.75, 1.0, 0.42])  # similar to tungsten light for this camera
    grey = rng.uniform(0.05, 0.7, (60, 80))
    camera = light[:, None, None] * np.stack([grey] * 3)
    camera[:, :, :20] *= np.array([1.0, 0.3, 0.2])[:, None, None]  # a red wall in a quarter of the picture
    camera[:, :10] = 1.0  # and a clipped window
    image = plain(linear_image(camera, ACTION_CAMERA), white_balance="auto").data[30, 40:] / 65535.0
    assert np.ptp(image, axis=-1).max() < 0.02
    as_shot = plain(linear_image(camera, ACTION_CAMERA)).data[30, 40:] / 65535.0
    assert np.ptp(as_shot, axis=-1).max() > 0.1


def test_render_when_balance_is_auto_and_the_picture_is_black_then_it_is_as_shot():
    image = plain(linear_image(np.zeros((3, 8, 8)), ACTION_CAMERA), white_balance="auto")
    np.testing.assert_allclose(image.settings["render"]["white_balance_multipliers"], 1 / NEUTRAL, atol=1e-4)


def test_render_when_exposed_by_one_ev_then_linear_light_doubles():
    data = np.full((3, 2, 2), 0.2)
    bright = plain(linear_image(data), exposure=1.0).data
    np.testing.assert_allclose(bright.astype(int), plain(linear_image(data * 2)).data.astype(int), atol=1)


def test_render_when_the_file_has_a_baseline_exposure_then_it_is_added():
    data = np.full((3, 2, 2), 0.1)
    lifted = linear_image(data, replace(SRGB_CAMERA, baseline_exposure=0.5))
    found, expected = plain(lifted, exposure=0.25).data, plain(linear_image(data), exposure=0.75).data
    np.testing.assert_array_equal(found, expected)


def test_render_when_exposure_is_auto_then_a_dark_picture_gets_normal_brightness():
    data = np.random.default_rng(2).uniform(0.002, 0.03, (3, 64, 64))
    image = plain(linear_image(data), exposure="auto")
    assert 0.3 < np.median(image.data) / 65535.0 < 0.6
    assert 2 < image.settings["render"]["exposure_ev"] <= 4


@pytest.mark.parametrize(
    ("luminance", "expected"),
    [
        (np.zeros(10), 0.0),  # no light
        (np.full(10, np.nan), 0.0),
        (np.full(100, 0.14), 0.0),  # correct exposure
        (np.full(100, 1e-4), 4.0),  # the maximum, also for darker pictures
        (np.full(100, 0.9), -1.0),
        # Because of the highlights, only one stop is possible.
        (np.concatenate([np.full(90, 0.05), np.full(10, 0.75)]), 1.0),
    ],
)
def test_automatic_exposure_when_given_luminance_then_it_equals_the_correction_by_hand(luminance, expected):
    assert automatic_exposure(luminance) == pytest.approx(expected, abs=1e-6)


def test_render_when_the_colour_space_is_wide_then_it_contains_the_colour():
    red = np.array([0.8, 0.02, 0.02]).reshape(3, 1, 1)
    srgb = plain(linear_image(red)).data[0, 0].astype(int)
    p3 = plain(linear_image(red), color_space="display-p3")
    assert p3.data[0, 0, 0] < srgb[0] and p3.data[0, 0, 1] > srgb[1]
    assert p3.icc_profile != plain(linear_image(red)).icc_profile
    grey = np.full((3, 1, 1), 0.3)
    for name in ("display-p3", "rec2020", "prophoto"):
        assert np.ptp(plain(linear_image(grey), color_space=name).data[0, 0].astype(int)) <= 1


def test_render_when_pixels_are_nan_or_below_black_then_they_are_black():
    data = np.array([np.nan, -0.2]).reshape(1, 1, 2).repeat(3, axis=0)
    assert plain(linear_image(data)).data.max() == 0


def test_render_when_the_file_lacks_exif_then_known_tags_are_added():
    image = plain(
        linear_image(
            np.full((3, 2, 2), 0.1),
            make="Maker",
            model="One",
            lens="50mm",
            iso=6400.0,
            exposure_time=0.05,
            aperture=1.8,
            focal_length=4.25,
            time=datetime(2024, 5, 6, 7, 8, 9, 120000, tzinfo=UTC),
            exif=ExifTags(image={272: "Two", 274: 6}, exif={33437: Fraction(2)}),
        )
    )
    assert image.exif.image == {271: "Maker", 272: "Two", 274: 1}  # existing tags are kept
    assert image.exif.exif[33437] == 2
    assert image.exif.exif[33434] == Fraction(1, 20)
    assert (image.exif.exif[34855], image.exif.exif[42036]) == (6400, "50mm")
    assert image.exif.exif[36867] == "2024:05:06 07:08:09"
    assert (image.exif.exif[37521], image.exif.exif[36881]) == ("120000", "+00:00")


def test_render_when_done_then_the_settings_are_recorded():
    settings = render(linear_image(np.full((3, 2, 2), 0.1)), look="vivid", exposure=0.5).settings
    assert settings["model"] == "average"
    assert settings["render"]["look"] == "vivid"
    assert settings["render"]["exposure_ev"] == 0.5
    assert settings["render"]["color_space"] == "srgb"


@pytest.mark.parametrize(
    "wrong",
    [
        {"white_balance": "sunny"},
        {"white_balance": (1.0, 0.0, 1.0)},
        {"white_balance": (1.0, 2.0)},
        {"exposure": "bright"},
        {"exposure": float("nan")},
        {"exposure": 50.0},
        {"look": "hdr"},
        {"color_space": "cmyk"},
    ],
)
def test_render_when_a_setting_is_invalid_then_usage_error(wrong):
    with pytest.raises(UsageError):
        plain(linear_image(np.full((3, 2, 2), 0.1)), **wrong)


def test_render_when_the_picture_is_large_then_additional_memory_is_small():
    linear = linear_image(np.full((3, 1500, 2000), 0.3, np.float32))
    tracemalloc.start()
    began = time.perf_counter()
    image = render(linear, look="vivid")
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.data.nbytes + 60e6
    assert seconds < 10  # 0.3 s on an idle core
