"""Oklab and gamut compression: comparison with colour-science, and properties."""

from __future__ import annotations

import colour
import numpy as np
import pytest

from burstfix.color import SPACES, render
from burstfix.color.gamut import _largest_chroma, gamut_compressor
from burstfix.color.oklab import Oklab
from tests.color.pictures import linear_image

D65 = np.array([0.3127, 0.3290])


def oklab_of(rgb: np.ndarray) -> np.ndarray:
    """Convert (..., 3) linear sRGB to Oklab with colour-science."""
    return colour.XYZ_to_Oklab(colour.RGB_to_XYZ(rgb, "sRGB", D65))


@pytest.mark.parametrize("name", ["srgb", "display-p3", "rec2020"])
def test_from_rgb_when_compared_with_colour_science_then_it_is_equal(name):
    titles = {"srgb": "sRGB", "display-p3": "Display P3", "rec2020": "ITU-R BT.2020"}
    rgb = np.random.default_rng(1).uniform(0, 1, (500, 3))
    expected = colour.XYZ_to_Oklab(colour.RGB_to_XYZ(rgb, titles[name], D65))
    found = Oklab(SPACES[name]).from_rgb(rgb.T.astype(np.float32)).T
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", list(SPACES))
def test_to_rgb_when_applied_after_from_rgb_then_the_input_is_restored(name):
    oklab = Oklab(SPACES[name])
    rgb = np.random.default_rng(2).uniform(-0.2, 1.2, (3, 500)).astype(np.float32)
    np.testing.assert_allclose(oklab.to_rgb(oklab.from_rgb(rgb)), rgb, atol=2e-5)


def test_largest_chroma_when_converted_to_rgb_by_colour_science_then_it_is_on_the_gamut_surface():
    table = _largest_chroma("srgb")
    for row in (20, 64, 100):
        for column in range(0, 361, 15):
            lightness, hue = row / 128, -np.pi + column * 2 * np.pi / 360
            lab = [lightness, table[row, column] * np.cos(hue), table[row, column] * np.sin(hue)]
            rgb = colour.XYZ_to_RGB(colour.Oklab_to_XYZ(lab), "sRGB", D65)
            assert min(rgb.min(), 1 - rgb.max()) == pytest.approx(0, abs=2e-3)


def test_compress_when_colours_are_inside_then_they_are_unchanged():
    rgb = np.random.default_rng(3).uniform(0.3, 0.7, (3, 400)).astype(np.float32)
    np.testing.assert_array_equal(gamut_compressor("srgb").compress(rgb.copy()), rgb)


@pytest.mark.parametrize("hue", range(0, 360, 20))
@pytest.mark.parametrize("lightness", [0.3, 0.6, 0.85])
def test_compress_when_chroma_grows_then_the_result_grows_and_keeps_hue_and_lightness(hue, lightness):
    # Chroma ranges from grey to far outside the gamut of a display.
    angle = np.radians(hue)
    chroma = np.linspace(0.0, 0.3, 120)
    lab = np.stack([np.full(120, lightness), chroma * np.cos(angle), chroma * np.sin(angle)]).astype(
        np.float32
    )
    rgb = Oklab(SPACES["srgb"]).to_rgb(lab)
    found = oklab_of(np.asarray(gamut_compressor("srgb").compress(rgb).T, np.float64))
    found_chroma = np.hypot(found[:, 1], found[:, 2])
    assert (np.diff(found_chroma) > -3e-5).all()
    assert found_chroma[-1] > found_chroma[60] + 2e-4
    assert np.abs(found[:, 0] - lightness).max() < 0.01
    coloured = found_chroma > 0.02
    assert coloured.sum() > 100
    turned = np.degrees(np.arctan2(found[coloured, 2], found[coloured, 1])) - hue
    assert np.abs((turned + 180) % 360 - 180).max() < 2.5


def test_compress_when_saturation_is_raised_then_chroma_grows_by_that_factor():
    rgb = np.random.default_rng(3).uniform(0.35, 0.6, (3, 400)).astype(np.float32)
    before = oklab_of(np.asarray(rgb.T, np.float64))
    after = oklab_of(np.asarray(gamut_compressor("srgb").compress(rgb.copy(), 1.2).T, np.float64))
    np.testing.assert_allclose(after[:, 1:], 1.2 * before[:, 1:], atol=2e-3)
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=2e-3)


def test_render_when_saturated_blue_has_texture_then_natural_keeps_it_and_plain_clips_it():
    # The blue cloth is outside sRGB. Red and green are below 0, so clipping makes them flat.
    threads = 1 + 0.3 * np.sin(np.arange(64) * 1.3)
    cloth = np.array([-0.06, -0.02, 0.9])[:, None, None] * threads * np.ones((64, 1))
    cloth[2] = 0.9  # blue is constant, so only saturation has texture
    natural, plain = (
        render(linear_image(cloth), look=look, exposure=0.0).data / 65535.0 for look in ("natural", "plain")
    )
    assert plain.std(axis=(0, 1)).max() < 1e-3
    assert natural.std(axis=(0, 1)).max() > 5e-3


@pytest.mark.parametrize("start_hue", range(0, 360, 30))
def test_render_when_a_coloured_light_gets_brighter_then_natural_keeps_its_hue(start_hue):
    angle = np.radians(start_hue)
    colour_of_light = Oklab(SPACES["srgb"]).to_rgb(
        np.array([[0.6], [0.09 * np.cos(angle)], [0.09 * np.sin(angle)]], np.float32)
    )
    light = colour_of_light[:, :, None] * np.geomspace(
        0.05, 0.85 / colour_of_light.max(), 60, dtype=np.float32
    )
    rgb = render(linear_image(light), look="natural", exposure=1.5).data[0] / 65535.0
    lab = oklab_of(colour.models.eotf_sRGB(rgb))
    coloured = np.hypot(lab[:, 1], lab[:, 2]) > 0.02
    turned = np.degrees(np.arctan2(lab[coloured, 2], lab[coloured, 1])) - start_hue
    assert coloured.sum() > 30
    assert np.abs((turned + 180) % 360 - 180).max() < 4
