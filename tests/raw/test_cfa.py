from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.cfa import CFA_PATTERNS
from burstfix.errors import UnsupportedSensorError
from burstfix.raw.cfa import mosaic as sample
from burstfix.raw.cfa import pack, pad_to_rggb, reflect, rggb_padding, unpack
from tests.scenes import draw_scene, mosaic_of

sizes = st.integers(2, 19)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CFA_PATTERNS), sizes, sizes)
def test_pad_to_rggb_when_padded_then_samples_keep_their_colour_and_cropping_inverts_it(cfa, height, width):
    # Each colour has a different value, so that samples of a wrong colour are detected.
    colours = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, height, width)
    padded = pad_to_rggb(mosaic_of(colours, cfa), cfa)
    assert torch.equal(padded.mosaic, mosaic_of(torch.ones(3, *padded.mosaic.shape) * colours[:, :1, :1]))
    assert padded.mosaic.shape[0] % 2 == 0 and padded.mosaic.shape[1] % 2 == 0

    mosaic = torch.randn(2, height, width)
    padded = pad_to_rggb(mosaic, cfa)
    inside = padded.mosaic[:, padded.top : padded.top + height, padded.left : padded.left + width]
    assert torch.equal(inside, mosaic)
    geometry = rggb_padding(cfa, height, width)
    assert (geometry.top, geometry.left) == (padded.top, padded.left)
    assert padded.mosaic.shape[-2:] == (
        height + geometry.top + geometry.bottom,
        width + geometry.left + geometry.right,
    )


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CFA_PATTERNS), sizes, sizes)
def test_unpack_when_applied_after_pack_then_the_mosaic_is_unchanged(cfa, height, width):
    mosaic = pad_to_rggb(torch.randn(height, width), cfa).mosaic
    packed = pack(mosaic)
    assert packed.shape == (4, mosaic.shape[0] // 2, mosaic.shape[1] // 2)
    assert torch.equal(unpack(packed), mosaic)
    assert torch.equal(unpack(pack(mosaic[None, None])), mosaic[None, None])


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_pack_when_the_mosaic_was_padded_then_planes_are_red_green_green_blue(cfa):
    rgb = draw_scene(20, 26)
    padded = pad_to_rggb(mosaic_of(rgb, cfa), cfa)
    packed = pack(padded.mosaic)
    top, left = padded.top, padded.left
    # The packed pixel (2, 3) begins at row 4 - top, column 6 - left of the picture.
    y, x = 4 - top, 6 - left
    expected = [rgb[0, y, x], rgb[1, y, x + 1], rgb[1, y + 1, x], rgb[2, y + 1, x + 1]]
    assert packed[:, 2, 3].tolist() == [float(value) for value in expected]


def test_rggb_padding_when_the_pattern_is_unknown_then_the_error_names_it():
    with pytest.raises(UnsupportedSensorError, match="RGBW"):
        rggb_padding("RGBW", 4, 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.data())
def test_reflect_when_an_index_is_outside_then_the_phase_of_the_mosaic_is_kept(size, data):
    index = data.draw(st.integers(1 - size, 2 * size - 2))
    (reflected,) = reflect(torch.tensor([index]), size).tolist()
    assert 0 <= reflected < size
    # Reflection keeps the distance to the edge pixel and therefore the parity.
    edge = 0 if index < 0 else size - 1
    assert reflected == (index if 0 <= index < size else 2 * edge - index)
    assert (reflected - index) % 2 == 0


def test_reflect_when_an_index_is_beyond_a_whole_picture_then_it_stays_inside():
    assert all(0 <= value < 7 for value in reflect(torch.tensor([-100, 100]), 7).tolist())


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_mosaic_when_rgb_is_sampled_then_each_pixel_has_the_colour_of_its_filter(cfa):
    rgb = torch.rand(2, 3, 5, 6)
    sampled = sample(rgb, cfa)
    for y in range(5):
        for x in range(6):
            color = "RGB".index(cfa[2 * (y % 2) + x % 2])
            assert torch.equal(sampled[:, y, x], rgb[:, color, y, x])
