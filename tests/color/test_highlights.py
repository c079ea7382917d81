"""Clipped channels are raised to what the others say: no magenta, no detail lost that one still has."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from burstfix.color import SHIPPED, render
from burstfix.color.highlights import reconstruct, white_level
from tests.color.pictures import ACTION_CAMERA, linear_image

plain = partial(render, look="plain")
NEUTRAL = np.array([0.565121, 1.0, 0.527835])


def gradient(colour: np.ndarray, low: float, high: float) -> np.ndarray:
    """(3, 1, 400) white-balanced light of one colour, ever brighter."""
    return colour[:, None, None] * np.linspace(low, high, 400, dtype=np.float32)


def clipped(balanced: np.ndarray) -> np.ndarray:
    return np.minimum(balanced * NEUTRAL[:, None, None], 1.0).astype(np.float32)


def test_reconstruct_of_a_neutral_gradient_then_its_light_is_found_until_two_channels_are_gone():
    light = gradient(np.ones(3), 0.3, 1.6)  # green clips at 1, red at 1.77
    found = reconstruct(clipped(light), NEUTRAL)
    assert np.abs(found - light).max() < 0.03


def test_reconstruct_when_all_channels_are_clipped_then_white():
    found = reconstruct(np.ones((3, 2, 2), np.float32), NEUTRAL)
    np.testing.assert_allclose(found, white_level(NEUTRAL), rtol=1e-5)


@pytest.mark.parametrize("colour", [(1.0, 0.8, 0.9), (0.8, 1.0, 0.9), (0.9, 0.95, 1.0), (1.0, 0.9, 0.8)])
def test_render_of_a_pale_clipped_gradient_then_never_magenta(colour):
    light = gradient(np.array(colour), 0.3, 3.0)
    picture = plain(linear_image(clipped(light), ACTION_CAMERA), exposure=-1.0).data[0] / 65535
    magenta = (picture[:, 0] + picture[:, 2]) / 2 - picture[:, 1]
    # No pinker than the light itself is where nothing clips (at the same brightness).
    honest = plain(linear_image(light * NEUTRAL[:, None, None] / 8, ACTION_CAMERA)).data[0] / 65535
    own = ((honest[:, 0] + honest[:, 2]) / 2 / honest[:, 1] - 1).max()
    assert (magenta / picture[:, 1]).max() < max(own, 0) + 0.02


@pytest.mark.parametrize("look", SHIPPED)
@pytest.mark.parametrize(
    "colour", [(1, 0.7, 0.4), (1, 0.5, 0.25), (1, 0.3, 0.1), (0.9, 0.9, 0.2), (0.8, 1, 0.2), (0.3, 0.8, 1)]
)
def test_render_of_coloured_light_that_grows_then_it_pales_without_turning_pink(colour, look):
    light = np.array(colour)[:, None, None] * np.geomspace(0.1, 12, 500, dtype=np.float32)
    picture = render(linear_image(clipped(light), ACTION_CAMERA), look=look, exposure=0.0).data[0] / 65535
    assert (np.minimum(picture[:, 0], picture[:, 2]) - picture[:, 1]).max() < 0.003
    assert picture[-1].min() > 0.85


@pytest.mark.parametrize("lamp", [0, 2])
def test_reconstruct_of_a_saturated_lamp_then_its_colour_stays(lamp: int):
    light = np.full((3, 1, 1), 0.1, np.float32)
    light[lamp] = 5
    found = reconstruct(clipped(light), NEUTRAL)
    np.testing.assert_allclose(found[lamp], 1 / NEUTRAL[lamp], rtol=1e-5)
    np.testing.assert_allclose(np.delete(found, lamp), 0.1, rtol=1e-5)


def test_reconstruct_of_yellow_light_that_clips_twice_then_it_does_not_turn_green():
    light = np.array([3.0, 3.0, 0.45], np.float32).reshape(3, 1, 1)
    found = reconstruct(clipped(light), NEUTRAL).ravel()
    # Blue is half of the others at best: nothing says that green is brighter than what it reads.
    np.testing.assert_allclose(found, [1 / NEUTRAL[0], 1.0, 0.45], rtol=1e-5)


def test_reconstruct_when_corrections_lift_values_above_white_then_white():
    found = reconstruct(np.array([0.2, 2.5, 9.0], np.float32).reshape(3, 1, 1), NEUTRAL).ravel()
    assert found.max() <= np.float32(white_level(NEUTRAL))
