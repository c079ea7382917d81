"""Reduced pictures."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from burstfix.color import resize
from burstfix.color.resize import reduced_size, smaller
from burstfix.color.spaces import SPACES
from burstfix.types import RenderedImage


def picture(data: np.ndarray, space: str = "srgb") -> RenderedImage:
    return RenderedImage(data.astype(np.uint16), b"", settings={"render": {"color_space": space}})


@pytest.mark.parametrize("space", sorted(SPACES))
def test_smaller_when_the_picture_is_a_fine_pattern_then_its_linear_mean_is_kept(space: str):
    data = np.zeros((64, 96, 3))
    data[::2, ::2] = data[1::2, 1::2] = 65535
    reduced = smaller(picture(data, space), scale=0.25)
    assert reduced.data.shape == (16, 24, 3)
    curve = SPACES[space].curve
    assert curve.decode(reduced.data[4:-4, 4:-4] / 65535) == pytest.approx(0.5, abs=0.01)
    assert reduced.settings["render"]["reduced_from"] == [64, 96]


def test_smaller_when_the_picture_is_flat_then_values_are_unchanged():
    data = np.broadcast_to(np.array([0, 1234, 65535]), (50, 70, 3))
    reduced = smaller(picture(data), max_size=35)
    assert reduced.data.shape == (25, 35, 3)
    assert np.abs(reduced.data.astype(int) - [0, 1234, 65535]).max() <= 1


def test_smaller_when_the_picture_is_small_enough_then_it_is_returned_unchanged():
    image = picture(np.zeros((30, 40, 3)))
    assert smaller(image, max_size=40) is image
    assert smaller(image) is image


@pytest.mark.parametrize(
    ("scale", "limit", "size"),
    [
        (1.0, 0, (300, 400)),
        (0.5, 0, (150, 200)),
        (1.0, 100, (75, 100)),
        (0.1, 100, (30, 40)),
        (0.001, 0, (1, 1)),
    ],
)
def test_reduced_size_when_scale_and_limit_are_given_then_the_smaller_size_applies(scale, limit, size):
    assert reduced_size(300, 400, scale, limit) == size


def test_resize_when_doctests_are_run_then_they_pass():
    assert doctest.testmod(resize).failed == 0
