from __future__ import annotations

import math

import pytest

from burstfix.cfa import CFA_PATTERNS, LINEAR, MONOCHROME, CfaLayout
from burstfix.errors import UnsupportedSensorError
from burstfix.types import GlobalMotion, camera_name


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_layout_when_bayer_then_the_four_planes_are_red_green_green_blue(pattern: str):
    layout = CfaLayout.of(pattern)
    assert (layout.planes, layout.channels, layout.pitch, layout.is_bayer) == (4, 1, 2, True)
    assert [("RGB"[color]) for color in layout.colors] == ["R", "G", "G", "B"]
    row, col = layout.red
    assert pattern[2 * row + col] == "R"


def test_layout_when_linear_then_each_colour_has_four_planes_and_the_noise_of_that_colour():
    layout = CfaLayout.of(LINEAR)
    assert (layout.planes, layout.channels, layout.pitch, layout.is_bayer) == (12, 3, 1, False)
    assert layout.noise_planes == (0, 0, 0, 0, 1, 1, 1, 1, 3, 3, 3, 3)
    bayer = CfaLayout.of("RGGB")
    assert tuple(layout.colors[plane] for plane in layout.matching_planes) == bayer.colors


def test_layout_when_monochrome_then_four_planes_of_one_colour():
    layout = CfaLayout.of(MONOCHROME)
    assert (layout.colors, layout.pitch, layout.red, layout.is_bayer) == ((0, 0, 0, 0), 1, (0, 0), False)


def test_layout_when_the_pattern_is_unknown_then_the_error_names_it():
    with pytest.raises(UnsupportedSensorError, match="RGBW"):
        CfaLayout.of("RGBW")


def test_motion_when_a_point_is_rotated_then_it_moves_by_the_angle_around_the_centre():
    # By the formula of the class, a rotation by 90 degrees is (y, x) -> (x, -y).
    y, x = GlobalMotion(dy=1.0, dx=2.0, angle=math.pi / 2).apply(3.0, 5.0)
    assert (y, x) == pytest.approx((5.0 + 1.0, -3.0 + 2.0))


def test_motion_when_scaled_then_the_shift_is_scaled_and_the_rotation_is_kept():
    assert GlobalMotion(4.0, -6.0, 0.1, 0.5).scaled(0.5) == GlobalMotion(2.0, -3.0, 0.1, 0.5)


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [("Acme", "One", "Acme One"), ("Acme", "ACME One", "ACME One"), ("", "", "unknown camera")],
)
def test_camera_name_when_the_model_begins_with_the_make_then_it_is_named_once(
    make: str, model: str, name: str
):
    assert camera_name(make, model) == name
