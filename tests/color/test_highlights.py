"""Reconstruction of clipped channels: no magenta, and no loss of detail that a channel contains."""

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
    """Return a gradient (3, 1, 400) of white-balanced light with one colour."""
    return colour[:, None, None] * np.linspace(low, high, 400, dtype=np.float32)


def clipped(balanced: np.ndarray) -> np.ndarray:
    return np.minimum(balanced * NEUTRAL[:, None, None], 1.0).astype(np.float32)


def test_reconstruct_when_a_neutral_gradient_clips_then_it_is_restored_until_two_channels_clip():
    light = gradient(np.ones(3), 0.3, 1.6)  # green clips at 1, red at 1.77
    found = reconstruct(clipped(light), NEUTRAL)
    assert np.abs(found - light).max() < 0.03


def test_reconstruct_when_all_channels_are_clipped_then_the_result_is_white():
    found = reconstruct(np.ones((3, 2, 2), np.float32), NEUTRAL)
    np.testing.assert_allclose(found, white_level(NEUTRAL), rtol=1e-5)


@pytest.mark.parametrize("colour", [(1.0, 0.8, 0.9), (0.8, 1.0, 0.9), (0.9, 0.95, 1.0), (1.0, 0.9, 0.8)])
def test_render_when_a_pale_gradient_clips_then_it_is_not_magenta(colour):
    light = gradient(np.array(colour), 0.3, 3.0)
    picture = plain(linear_image(clipped(light), ACTION_CAMERA), exposure=-1.0).data[0] / 65535
    magenta = (picture[:, 0] + picture[:, 2]) / 2 - picture[:, 1]
    # The result is no pinker than the unclipped light at the same brightness.
    unclipped = plain(linear_image(light * NEUTRAL[:, None, None] / 8, ACTION_CAMERA)).data[0] / 65535
    own = ((unclipped[:, 0] + unclipped[:, 2]) / 2 / unclipped[:, 1] - 1).max()
    assert (magenta / picture[:, 1]).max() < max(own, 0) + 0.02


@pytest.mark.parametrize("look", SHIPPED)
@pytest.mark.parametrize(
    "colour", [(1, 0.7, 0.4), (1, 0.5, 0.25), (1, 0.3, 0.1), (0.9, 0.9, 0.2), (0.8, 1, 0.2), (0.3, 0.8, 1)]
)
def test_render_when_coloured_light_gets_brighter_then_it_becomes_pale_but_not_pink(colour, look):
    light = np.array(colour)[:, None, None] * np.geomspace(0.1, 12, 500, dtype=np.float32)
    picture = render(linear_image(clipped(light), ACTION_CAMERA), look=look, exposure=0.0).data[0] / 65535
    assert (np.minimum(picture[:, 0], picture[:, 2]) - picture[:, 1]).max() < 0.003
    assert picture[-1].min() > 0.85


@pytest.mark.parametrize("lamp", [0, 2])
def test_reconstruct_when_a_saturated_lamp_clips_then_its_colour_is_kept(lamp: int):
    light = np.full((3, 1, 1), 0.1, np.float32)
    light[lamp] = 5
    found = reconstruct(clipped(light), NEUTRAL)
    np.testing.assert_allclose(found[lamp], 1 / NEUTRAL[lamp], rtol=1e-5)
    np.testing.assert_allclose(np.delete(found, lamp), 0.1, rtol=1e-5)


def test_reconstruct_when_yellow_light_clips_in_two_channels_then_it_does_not_become_green():
    light = np.array([3.0, 3.0, 0.45], np.float32).reshape(3, 1, 1)
    found = reconstruct(clipped(light), NEUTRAL).ravel()
    # Blue is at most half of the other channels, so green is not raised above its measured value.
    np.testing.assert_allclose(found, [1 / NEUTRAL[0], 1.0, 0.45], rtol=1e-5)


def test_reconstruct_when_corrections_raise_values_above_white_then_the_result_is_white():
    found = reconstruct(np.array([0.2, 2.5, 9.0], np.float32).reshape(3, 1, 1), NEUTRAL).ravel()
    assert found.max() <= np.float32(white_level(NEUTRAL))
