"""Sharpening without amplification of noise, and grain of the requested strength."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from burstfix.color import SRGB_CURVE, render
from burstfix.color.detail import brightness_of, detail, grain_of, measure_noise, sharpen
from burstfix.types import NoiseProfile
from tests.color.pictures import ACTION_CAMERA, linear_image


def flat(noise: float, tone: float = 0.5) -> np.ndarray:
    """Return (3, 128, 256) encoded grey with noise."""
    rng = np.random.default_rng(3)
    return np.repeat(tone + noise * rng.standard_normal((1, 128, 256), np.float32), 3, axis=0).astype(
        np.float32
    )


@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_measure_noise_when_a_picture_is_flat_then_it_is_the_deviation_of_its_detail(noise):
    brightness = brightness_of(flat(noise))
    found = measure_noise([brightness])
    assert found.deviations == pytest.approx(float(detail(brightness).std()), rel=0.15)


def test_measure_noise_when_noise_depends_on_tone_then_it_is_measured_for_each_tone():
    strips = [brightness_of(flat(noise, tone)) for noise, tone in ((0.002, 0.2), (0.02, 0.8))]
    found = measure_noise(strips)
    assert found.at(np.array([0.8]))[0] > 5 * found.at(np.array([0.2]))[0]


@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_sharpen_when_a_picture_is_flat_then_its_noise_hardly_increases(noise):
    picture = flat(noise)
    found = sharpen(picture.copy(), 1.0, measure_noise([brightness_of(picture)]))
    assert found.std() < 1.2 * picture.std()


def test_sharpen_when_texture_is_stronger_than_the_noise_then_it_grows():
    stripes = (0.03 * np.sin(np.arange(256) * 1.6)).astype(np.float32)
    picture = flat(0.0005) + stripes
    found = sharpen(picture.copy(), 1.0, measure_noise([brightness_of(flat(0.0005))]))
    assert found.std() > 1.2 * picture.std()


def test_sharpen_when_an_edge_is_soft_then_it_gets_steeper_without_overshoot():
    ramp = 0.2 + 0.6 / (1 + np.exp(-np.arange(-128, 128) / 1.2))
    picture = np.broadcast_to(ramp, (3, 128, 256)).astype(np.float32)
    found = sharpen(picture.copy(), 1.0, measure_noise([brightness_of(flat(0.001))]))[1, 64]
    assert np.diff(found).max() > 1.1 * np.diff(ramp).max()
    assert found.max() - ramp.max() < 0.01 * 0.6
    assert ramp.min() - found.min() < 0.01 * 0.6


@pytest.mark.parametrize("angle", [0, 30, 45])
@pytest.mark.parametrize("blur", [0.2, 0.8, 2.0])
@pytest.mark.parametrize("step", [0.005, 0.02, 0.05, 0.3])
@pytest.mark.parametrize("low", [0.0, 0.2, 0.7, 0.94])
def test_sharpen_when_an_edge_is_faint_or_near_white_then_it_has_no_overshoot(low, step, blur, angle):
    y, x = np.mgrid[-32:32, -32:32] + 0.3
    across = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    edge = low + min(step, 1 - low) / (1 + np.exp(np.clip(-across / blur, -60, 60)))
    picture = np.repeat(edge[None], 3, axis=0).astype(np.float32)
    found = sharpen(picture.copy(), 1.0, measure_noise([brightness_of(flat(0.0))]))
    assert max(found.max() - picture.max(), picture.min() - found.min()) < 0.02 * step


def test_sharpen_when_colours_differ_then_differences_are_kept():
    picture = np.random.default_rng(2).uniform(0.3, 0.7, (3, 40, 64)).astype(np.float32)
    found = sharpen(picture.copy(), 0.5, measure_noise([brightness_of(picture)]))
    np.testing.assert_allclose(found[0] - found[1], picture[0] - picture[1], atol=1e-6)


@pytest.mark.parametrize("share", [0.25, 1.0])
@pytest.mark.parametrize("level", [0.02, 0.3])
def test_render_when_grain_is_given_then_it_has_that_share_of_the_frame_noise(share, level):
    neutral = np.asarray(ACTION_CAMERA.as_shot_neutral)
    gain, read = 1e-3, 2e-5
    camera = np.broadcast_to((level * neutral)[:, None, None], (3, 200, 300))
    linear = replace(
        linear_image(camera, ACTION_CAMERA),
        settings={"noise": {"shot_gain": [gain] * 4, "read_variance": [read] * 4}},
    )
    shown = SRGB_CURVE.decode(render(linear, look="plain", grain=share).data / 65535.0)
    # Variance of luminance from the noise of a mosaic: weights of R, G, B after the matrix; two samples of
    # green.
    profile = NoiseProfile.uniform(gain, read)
    grain = grain_of(profile, 1.0, neutral, _luminance_weights())
    expected = share * np.sqrt(grain.shot.sum() * level + grain.read)
    assert shown.std(axis=(0, 1)) == pytest.approx([expected] * 3, rel=0.05)
    assert shown.mean() == pytest.approx(level, rel=0.02)


def test_render_when_grain_is_rendered_twice_then_the_pictures_are_equal():
    linear = replace(
        linear_image(np.full((3, 20, 30), 0.3)),
        settings={"noise": {"shot_gain": [1e-3] * 4, "read_variance": [1e-5] * 4}},
    )
    first, second = (render(linear, grain=0.5).data for _ in range(2))
    np.testing.assert_array_equal(first, second)


def _luminance_weights() -> np.ndarray:
    from burstfix.color.dng import camera_to_rgb
    from burstfix.color.spaces import SPACES

    return SPACES["srgb"].to_xyz()[1] @ camera_to_rgb(ACTION_CAMERA, None, SPACES["srgb"])


def test_grain_of_when_both_greens_differ_then_green_has_the_variance_of_their_mean():
    noise = NoiseProfile((1e-3, 2e-3, 6e-3, 4e-3), (1e-6, 1e-6, 3e-6, 2e-6))
    grain = grain_of(noise, 1.0, np.ones(3), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(grain.shot, [0, (2e-3 + 6e-3) / 4, 0])
    assert grain.read == pytest.approx((1e-6 + 3e-6) / 4)
