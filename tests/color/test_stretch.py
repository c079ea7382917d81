"""The visible part of a picture: default crop, user crop, square pixels."""

from __future__ import annotations

import numpy as np
import pytest

from burstfix.color import render
from burstfix.color.stretch import stretched
from burstfix.types import LinearImage
from tests.io.raw_files import make_metadata


def test_stretched_when_the_data_are_a_ramp_then_the_result_is_a_ramp():
    ramp = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    out = stretched(ramp, (2.0, 1.5))
    assert out.shape == (1, 8, 9) and out.dtype == np.float32
    assert out.mean() == pytest.approx(ramp.mean())
    inner = out[0, 1:-1, 1:-1]
    np.testing.assert_allclose(np.diff(inner, axis=0), 3, atol=1e-5)
    np.testing.assert_allclose(np.diff(inner, axis=1), 1 / 1.5, atol=1e-5)


@pytest.mark.parametrize("scale", [None, (1.0, 1.0)])
def test_stretched_when_pixels_are_square_then_the_data_are_not_copied(scale: tuple[float, float] | None):
    data = np.ones((3, 4, 6), np.float32)
    assert stretched(data, scale) is data


def test_stretched_when_there_is_one_pixel_then_it_is_repeated():
    assert stretched(np.full((3, 1, 1), 5, np.float32), (2.0, 3.0)).tolist() == [[[5] * 3] * 2] * 3


@pytest.mark.parametrize(
    ("crop", "user_crop", "shown"),
    [
        (None, None, (0, 0, 40, 60)),
        ((2, 4, 30, 50), None, (2, 4, 30, 50)),
        ((2, 4, 30, 51), (0.25, 0.5, 0.75, 1.0), (10, 30, 14, 25)),
        (None, (0.0, 0.25, 1.0, 0.75), (0, 15, 40, 30)),
        ((2, 4, 39, 50), None, (0, 0, 40, 60)),  # not inside the picture
        (None, (0.5, 0.5, 0.5, 0.5), (0, 0, 40, 60)),  # empty
    ],
)
def test_shown_area_when_two_crops_are_given_then_the_second_is_relative_to_the_first(
    crop: tuple[int, int, int, int] | None,
    user_crop: tuple[float, float, float, float] | None,
    shown: tuple[int, int, int, int],
):
    assert make_metadata(40, 60, default_crop=crop, default_user_crop=user_crop).shown_area == shown


def test_render_when_pixels_are_not_square_then_it_crops_before_it_stretches():
    metadata = make_metadata(40, 60, default_crop=(2, 4, 30, 50), default_scale=(1.0, 2.0), orientation=6)
    linear = LinearImage(np.full((3, 40, 60), 0.2, np.float32), metadata)
    assert render(linear).data.shape == (100, 30, 3)
