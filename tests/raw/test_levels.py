from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.raw.levels import normalise
from burstfix.types import Levels


@st.composite
def cases(draw):
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    repeat = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    rows = rng.normal(0, 3, height).astype(np.float32) if draw(st.booleans()) else None
    cols = rng.normal(0, 3, width).astype(np.float32) if draw(st.booleans()) else None
    black = rng.uniform(0, 500, repeat).astype(np.float32)
    levels = Levels(black, draw(st.sampled_from([1023.0, 4095.0, 65535.0])), rows, cols)
    mosaic = rng.integers(0, 1 << 16, (height, width)).astype(np.uint16)
    return mosaic, levels


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_normalise_when_given_a_tile_then_it_is_the_crop_of_the_whole(case, data):
    mosaic, levels = case
    height, width = mosaic.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    whole = normalise(torch.from_numpy(mosaic), levels)
    tile = normalise(torch.from_numpy(mosaic[top:bottom, left:right].copy()), levels, (top, left))
    assert whole.dtype == torch.float32
    assert torch.equal(tile, whole[top:bottom, left:right])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_normalise_when_values_are_random_then_they_follow_the_definition_unclipped(case):
    mosaic, levels = case
    y, x = mosaic.shape[0] - 1, mosaic.shape[1] // 2
    black = float(levels.black[y % levels.black.shape[0], x % levels.black.shape[1]])
    black += 0.0 if levels.black_rows is None else float(levels.black_rows[y])
    black += 0.0 if levels.black_cols is None else float(levels.black_cols[x])
    expected = (float(mosaic[y, x]) - black) / (levels.white - black)
    assert abs(float(normalise(torch.from_numpy(mosaic), levels)[y, x]) - expected) < 1e-4


def test_normalise_when_values_lie_outside_the_levels_then_they_stay_outside():
    levels = Levels(np.array([[64.0]], np.float32), 1023.0)
    values = normalise(torch.tensor([[0, 64, 1023, 2000]], dtype=torch.int32), levels)[0].tolist()
    assert values[0] < 0 and values[1] == 0 and values[2] == 1 and values[3] > 1
