"""Automatic white balance on simulated scenes under known lights."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from burstfix.color.chromatic import D65_XY, adaptation, white_of, xy_to_xyz
from burstfix.color.dng import as_shot_neutral, xy_to_neutral, xyz_to_camera
from burstfix.color.spaces import SPACES, SRGB_CURVE
from burstfix.color.white_balance import estimate_neutral, log_histogram, neutral_for
from burstfix.errors import UsageError
from tests.color.pictures import ACTION_CAMERA, SRGB_CAMERA

LIGHTS = [(2400, 0.0), (3000, 0.004), (4000, -0.004), (5200, 0.002), (6500, 0.005), (8500, 0.0)]


def scene(seed: int) -> np.ndarray:
    """Draw (3, 72, 96) linear sRGB: mostly grey walls and stones, some wood, leaves, sky, skin and paint."""
    rng = np.random.default_rng(seed)
    picture = np.empty((3, 72, 96))
    kinds = np.array(
        [[1, 1, 1], [1, 0.97, 0.93], [1, 0.55, 0.3], [0.5, 0.75, 0.3], [0.5, 0.75, 1], [1, 0.7, 0.55]]
    )
    for y in range(0, 72, 12):
        for x in range(0, 96, 12):
            kind = rng.choice(6, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
            colour = kinds[kind] * rng.normal(1, 0.03, 3) * rng.uniform(0.05, 0.8)
            picture[:, y : y + 12, x : x + 12] = colour[:, None, None]
    return picture * rng.normal(1, 0.05, (1, 72, 96))


def angle(profile, picture: np.ndarray, kelvin: float, duv: float) -> float:
    """Return the angle in degrees between the true and the estimated neutral of a scene under a light."""
    light = white_of(kelvin, duv)
    to_camera = xyz_to_camera(profile, light) @ adaptation(xy_to_xyz(D65_XY), xy_to_xyz(light))
    to_camera = to_camera @ SPACES["srgb"].to_xyz()
    camera = np.einsum("ij,jyx->iyx", to_camera / to_camera.sum(axis=1).max(), picture)
    guess = estimate_neutral(profile, np.clip(camera, 0, 1).astype(np.float32))
    true = xy_to_neutral(profile, light)
    return float(np.degrees(np.arccos(min(1.0, true @ guess / np.linalg.norm(true) / np.linalg.norm(guess)))))


def test_estimate_neutral_when_scenes_have_known_lights_then_the_median_error_is_small():
    found = [
        angle(profile, scene(seed), kelvin, duv)
        for profile in (ACTION_CAMERA, SRGB_CAMERA)
        for seed, (kelvin, duv) in enumerate(LIGHTS)
    ]
    print(f"synthetic: median error {np.median(found):.2f} degrees, worst {max(found):.2f}")  # noqa: T201
    assert np.median(found) < 3
    assert max(found) < 10


@pytest.mark.shared
def test_estimate_neutral_when_photographs_have_known_lights_then_the_median_error_is_small(
    shared_data,
):
    found = []
    for k, path in enumerate(sorted((shared_data / "photos" / "val").glob("*.png"))):
        small = Image.open(path).convert("RGB").resize((96, 72), Image.Resampling.BOX)
        picture = SRGB_CURVE.decode(np.asarray(small) / 255).transpose(2, 0, 1)
        found += [angle(ACTION_CAMERA, picture, *LIGHTS[(k + shift) % 6]) for shift in (0, 3)]
    print(f"photographs: median error {np.median(found):.2f} degrees")  # noqa: T201
    assert np.median(found) < 4


def test_estimate_neutral_when_a_picture_is_black_or_clipped_then_it_is_as_shot():
    for level in (0.0, 1.0):
        found = estimate_neutral(ACTION_CAMERA, np.full((3, 8, 8), level, np.float32))
        np.testing.assert_allclose(found, as_shot_neutral(ACTION_CAMERA))


def test_estimate_neutral_when_pixels_are_nan_then_they_are_ignored():
    picture = np.asarray(scene(1), np.float32)
    broken = picture.copy()
    broken[:, :2] = np.nan
    found, expected = (estimate_neutral(SRGB_CAMERA, each) for each in (broken, picture))
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_log_histogram_when_fitted_then_grey_is_the_most_likely_and_shares_sum_to_one():
    pixels, edges = log_histogram([np.asarray(scene(seed), np.float32) for seed in range(8)])
    for table in (pixels, edges):
        assert np.abs(np.array(np.unravel_index(np.argmax(table), table.shape)) - 11.5).max() <= 1.5
        assert (np.exp(table) - 1e-4).sum() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "multipliers", [(2.0, 1.0, np.inf), (2.0, 1.0, np.nan), (2.0, 0.0, 1.0), (-1.0, 1.0, 1.0)]
)
def test_neutral_for_when_a_multiplier_is_not_positive_and_finite_then_it_raises_usage_error(multipliers):
    with pytest.raises(UsageError, match="three positive multipliers"):
        neutral_for(multipliers, SRGB_CAMERA, np.ones((3, 2, 2), np.float32))
