from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.engine.tiling import SCALE, Tile, split, whole


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Draw random height, width, side, multiple and overlap."""
    multiple = draw(st.sampled_from([1, 2, 3, 4, 8, 12, 16]))
    side = multiple * draw(st.integers(1, 12))
    overlap = multiple * draw(st.integers(0, 4))
    return draw(st.integers(1, 150)), draw(st.integers(1, 150)), side, multiple, overlap


def blend(tiles: list[Tile], picture: np.ndarray) -> np.ndarray:
    """Blend the tiles of a picture, as after a merge with an identity model."""
    out = np.zeros_like(picture)
    for tile in tiles:
        rows = slice(SCALE * tile.top, SCALE * (tile.top + tile.height))
        cols = slice(SCALE * tile.left, SCALE * (tile.left + tile.width))
        out[rows, cols] += tile.weight_rows[:, None] * tile.weight_cols * picture[rows, cols]
    return out


@settings(deadline=None, max_examples=120)
@given(cuts())
def test_split_when_sizes_are_random_then_weights_sum_to_exactly_one(cut):
    height, width, side, multiple, overlap = cut
    total = blend(
        split(whole(height, width), side, multiple, overlap),
        np.ones((SCALE * height, SCALE * width), np.float32),
    )
    assert np.array_equal(total, np.ones_like(total))


@settings(deadline=None, max_examples=120)
@given(cuts())
def test_split_when_sizes_are_random_then_tiles_are_aligned_and_not_too_large(cut):
    height, width, side, multiple, overlap = cut
    for tile in split(whole(height, width), side, multiple, overlap):
        assert tile.top % multiple == 0 and tile.left % multiple == 0
        assert 0 < tile.height <= side and 0 < tile.width <= side
        assert tile.top + tile.height <= height and tile.left + tile.width <= width
        assert tile.weight_rows.shape == (SCALE * tile.height,)
        assert tile.weight_cols.shape == (SCALE * tile.width,)
        assert tile.weight_rows.min() >= 0 and tile.weight_cols.min() >= 0
        assert tile.weight_rows.max() > 0 and tile.weight_cols.max() > 0  # no tile is superfluous


@settings(deadline=None, max_examples=60)
@given(cuts(), st.integers(0, 2**32 - 1))
def test_split_when_the_model_is_the_identity_then_the_picture_is_unchanged(cut, seed):
    height, width, side, multiple, overlap = cut
    picture = np.random.default_rng(seed).normal(size=(SCALE * height, SCALE * width)).astype(np.float32)
    tiles = split(whole(height, width), side, multiple, overlap)
    np.testing.assert_allclose(blend(tiles, picture), picture, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(cuts(), st.data())
def test_split_when_some_tiles_are_split_again_then_weights_still_sum_to_one(cut, data):
    height, width, side, multiple, overlap = cut
    tiles: list[Tile] = []
    for tile in split(whole(height, width), side, multiple, overlap):
        smaller = multiple * data.draw(st.integers(1, max(1, side // multiple)))
        tiles += split(tile, smaller, multiple, overlap) if data.draw(st.booleans()) else [tile]
    total = blend(tiles, np.ones((SCALE * height, SCALE * width), np.float32))
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_split_when_neighbours_overlap_then_the_blend_is_gradual():
    left, right = split(whole(16, 56), side=32, multiple=8, overlap=8)
    assert (left.left, left.width, right.left, right.width) == (0, 32, 24, 32)
    ramp = (2 * np.arange(16) + 1) / 32
    np.testing.assert_array_equal(right.weight_cols[:16], ramp)
    np.testing.assert_array_equal(left.weight_cols[-16:], 1 - ramp)
    assert left.weight_rows.min() == 1


@pytest.mark.parametrize(("side", "overlap"), [(20, 8), (32, 4), (0, 0)])
def test_split_when_numbers_are_not_multiples_then_it_raises_value_error(side, overlap):
    with pytest.raises(ValueError, match="must be multiples of 8"):
        split(whole(64, 64), side, 8, overlap)
