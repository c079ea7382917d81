import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from burstfix.color.icc import icc_profile
from burstfix.color.spaces import SPACES, SRGB_CURVE, color_space
from burstfix.errors import UsageError


def test_srgb_curve_when_given_known_values_then_those_of_the_standard():
    # IEC 61966-2-1, worked by hand: 12.92 x below 0.0031308, else 1.055 x^(1/2.4) - 0.055.
    linear = np.array([0.0, 0.001, 0.0031308, 0.18, 0.2140411, 0.5, 1.0], np.float32)
    expected = [0.0, 0.01292, 0.04045, 0.4613561, 0.5, 0.7353570, 1.0]
    np.testing.assert_allclose(SRGB_CURVE.encode(linear), expected, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_curve_when_encoded_in_float32_then_within_one_16_bit_code(name):
    curve = SPACES[name].curve
    codes = np.arange(65536) / 65535
    linear = curve.decode(codes).astype(np.float32)
    encoded = np.rint(curve.encode(linear) * 65535)
    assert np.abs(encoded - np.arange(65536)).max() <= 1
    assert np.all(np.diff(curve.encode(np.linspace(0, 1, 100_001, dtype=np.float32))) >= 0)


def test_srgb_space_when_turned_to_xyz_then_the_standard_matrix():
    expected = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(color_space("srgb").to_xyz(), expected, atol=1e-4)


def test_prophoto_space_when_turned_to_xyz_then_the_published_matrix():
    expected = [[0.79767, 0.13519, 0.03135], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82521]]
    np.testing.assert_allclose(color_space("prophoto").to_xyz_d50(), expected, atol=4e-4)


def test_color_space_when_not_known_then_the_known_ones_are_listed():
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


def test_icc_profile_when_srgb_then_little_cms_sees_its_own_srgb():
    ours = ImageCms.getOpenProfile(io.BytesIO(icc_profile("srgb")))
    picture = _patches()
    for pair in ((ours, ImageCms.createProfile("sRGB")), (ImageCms.createProfile("sRGB"), ours)):
        assert np.abs(_through_little_cms(picture, *pair) - np.asarray(picture).astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["display-p3", "rec2020", "prophoto"])
def test_icc_profile_when_wide_then_little_cms_converts_as_our_matrices_do(name):
    space = SPACES[name]
    picture = _patches()
    found = _through_little_cms(
        picture, ImageCms.createProfile("sRGB"), ImageCms.getOpenProfile(io.BytesIO(icc_profile(name)))
    )
    linear = SRGB_CURVE.decode(np.asarray(picture) / 255.0)
    wide = linear @ (space.from_xyz_d50() @ SPACES["srgb"].to_xyz_d50()).T
    expected = space.curve.encode(np.clip(wide, 0, 1).astype(np.float32)) * 255
    assert np.abs(found - expected).max() <= 1.5  # its rounding, and 16-bit fixed point on the way


@pytest.mark.parametrize("name", SPACES)
def test_icc_profile_when_parsed_then_described_and_white_is_d50(name):
    data = icc_profile(name)
    profile = ImageCms.getOpenProfile(io.BytesIO(data)).profile
    assert len(data) == int.from_bytes(data[:4], "big") and len(data) % 4 == 0
    assert profile.profile_description == SPACES[name].title
    assert profile.version == pytest.approx(4.4)
    colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant]
    total = np.sum([c[0] for c in colorants], axis=0)
    np.testing.assert_allclose(total, [0.9642, 1.0, 0.8249], atol=2e-5)
