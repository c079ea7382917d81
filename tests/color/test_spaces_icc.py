import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from burstfix.color import render
from burstfix.color.icc import icc_profile
from burstfix.color.spaces import SPACES, SRGB_CURVE, color_space
from burstfix.errors import UsageError
from tests.color.pictures import linear_image


def test_srgb_curve_when_given_known_values_then_it_matches_the_standard():
    # IEC 61966-2-1, computed by hand: 12.92 x below 0.0031308, otherwise 1.055 x^(1/2.4) - 0.055.
    linear = np.array([0.0, 0.001, 0.0031308, 0.18, 0.2140411, 0.5, 1.0], np.float32)
    expected = [0.0, 0.01292, 0.04045, 0.4613561, 0.5, 0.7353570, 1.0]
    np.testing.assert_allclose(SRGB_CURVE.encode(linear), expected, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_curve_when_encoded_in_float32_then_the_error_is_below_one_16_bit_code(name):
    curve = SPACES[name].curve
    codes = np.arange(65536) / 65535
    linear = curve.decode(codes).astype(np.float32)
    encoded = np.rint(curve.encode(linear) * 65535)
    assert np.abs(encoded - np.arange(65536)).max() <= 1
    assert np.all(np.diff(curve.encode(np.linspace(0, 1, 100_001, dtype=np.float32))) >= 0)


def test_srgb_space_when_converted_to_xyz_then_it_is_the_standard_matrix():
    expected = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(color_space("srgb").to_xyz(), expected, atol=1e-4)


def test_prophoto_space_when_converted_to_xyz_then_it_is_the_published_matrix():
    expected = [[0.79767, 0.13519, 0.03135], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82521]]
    np.testing.assert_allclose(color_space("prophoto").to_xyz_d50(), expected, atol=4e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # SMPTE EG 432-1 with D65 white; ITU-R BT.2020
        ("display-p3", [[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]]),
        ("rec2020", [[0.63696, 0.14462, 0.16888], [0.2627, 0.6780, 0.0593], [0.0, 0.02807, 1.06099]]),
    ],
)
def test_wide_space_when_converted_to_xyz_then_it_is_the_published_matrix(name, expected):
    np.testing.assert_allclose(color_space(name).to_xyz(), expected, atol=2e-4)


def test_color_space_when_unknown_then_the_error_lists_the_known_ones():
    with pytest.raises(UsageError, match="srgb, display-p3, rec2020, prophoto"):
        color_space("cmyk")


def _patches() -> Image.Image:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    values[0] = np.arange(0, 256, 16, dtype=np.uint8)[:, None]  # a grey ramp
    return Image.fromarray(values)


def _through_little_cms(picture: Image.Image, source: ImageCms.core.CmsProfile, target) -> np.ndarray:
    turned = ImageCms.profileToProfile(
        picture, source, target, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert turned is not None
    return np.asarray(turned).astype(int)


def test_icc_profile_when_srgb_then_it_equals_the_srgb_of_little_cms():
    ours = ImageCms.getOpenProfile(io.BytesIO(icc_profile("srgb")))
    picture = _patches()
    for pair in ((ours, ImageCms.createProfile("sRGB")), (ImageCms.createProfile("sRGB"), ours)):
        assert np.abs(_through_little_cms(picture, *pair) - np.asarray(picture).astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["display-p3", "rec2020", "prophoto"])
def test_icc_profile_when_wide_then_little_cms_agrees_with_our_matrices(name):
    space = SPACES[name]
    picture = _patches()
    found = _through_little_cms(
        picture, ImageCms.createProfile("sRGB"), ImageCms.getOpenProfile(io.BytesIO(icc_profile(name)))
    )
    linear = SRGB_CURVE.decode(np.asarray(picture) / 255.0)
    wide = linear @ (space.from_xyz_d50() @ SPACES["srgb"].to_xyz_d50()).T
    expected = space.curve.encode(np.clip(wide, 0, 1).astype(np.float32)) * 255
    assert np.abs(found - expected).max() <= 1.5  # rounding, and 16-bit fixed point in between


@pytest.mark.parametrize("name", ["display-p3", "rec2020", "prophoto"])
def test_render_when_little_cms_converts_a_wide_space_to_srgb_then_it_equals_our_srgb(name):
    camera = np.random.default_rng(6).uniform(0.05, 0.8, (3, 24, 24))
    wide, srgb = (render(linear_image(camera), look="plain", color_space=space) for space in (name, "srgb"))
    assert wide.icc_profile is not None
    picture = Image.fromarray(np.rint(wide.data / 257).astype(np.uint8))
    back = _through_little_cms(
        picture, ImageCms.getOpenProfile(io.BytesIO(wide.icc_profile)), ImageCms.createProfile("sRGB")
    )
    difference = np.abs(back - srgb.data / 257.0)
    assert difference.mean() < 1  # rounding to 8 bits in both conversions
    assert difference.max() < 12  # dark saturated colours have few codes


@pytest.mark.parametrize("name", SPACES)
def test_icc_profile_when_parsed_then_it_has_a_description_and_d50_white(name):
    data = icc_profile(name)
    profile = ImageCms.getOpenProfile(io.BytesIO(data)).profile
    assert len(data) == int.from_bytes(data[:4], "big") and len(data) % 4 == 0
    assert profile.profile_description == SPACES[name].title
    assert profile.version == pytest.approx(4.4)
    colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant]
    total = np.sum([c[0] for c in colorants], axis=0)
    np.testing.assert_allclose(total, [0.9642, 1.0, 0.8249], atol=2e-5)
