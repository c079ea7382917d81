"""Costs of block matching in compiled code, compared with torch."""

from __future__ import annotations

import pytest
import torch

import burstfix.native.matching as native_matching
from burstfix.align import blocks
from burstfix.native.library import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no compiled loops for this processor")


@pytest.mark.parametrize("version", [width for width in (8, 16) if width <= lanes()])
@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("size", [(16, 16), (61, 77)])
def test_window_costs_when_compared_with_torch_then_equal(version, radius, size, monkeypatch):
    monkeypatch.setattr(native_matching, "lanes", lambda: version)
    generator = torch.Generator().manual_seed(0)
    reference, frame = (4 * torch.randn(2, *size, generator=generator) for _ in range(2))
    grid = [-(-side // blocks.CELL) for side in size]
    offsets = torch.randint(-90, 90, (2, 3, 2, *grid), generator=generator)  # some are far outside
    found = blocks._window_costs(reference, frame, offsets, radius, blocks.CELL)
    monkeypatch.setattr(blocks, "can_match", lambda *_: False)
    expected = blocks._window_costs(reference, frame, offsets, radius, blocks.CELL)
    assert torch.allclose(found, expected, rtol=1e-5)


def test_window_costs_when_defaults_of_torch_differ_then_equal(other_defaults):
    generator = torch.Generator().manual_seed(0)
    reference, frame = torch.randn(2, 1, 33, 40, generator=generator)
    offsets = torch.randint(-9, 9, (1, 3, 2, 5, 5), generator=generator)
    expected = blocks._window_costs(reference, frame, offsets, 1, blocks.CELL)
    with other_defaults():
        found = blocks._window_costs(reference, frame, offsets, 1, blocks.CELL)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("version", [width for width in (8, 16) if width <= lanes()])
@pytest.mark.parametrize("grid", [(1, 1), (1, 40), (23, 37)])
def test_choose_when_compared_with_torch_then_equal(version, grid, monkeypatch):
    monkeypatch.setattr(native_matching, "lanes", lambda: version)
    generator = torch.Generator().manual_seed(2)
    candidates = torch.randint(-9, 9, (2, 6, 2, *grid), generator=generator)
    costs = 200 * torch.rand(2, 6, *grid, generator=generator)
    guess = 3 * torch.randn(2, 2, *grid, generator=generator)
    found = blocks._choose_candidates(candidates, costs, candidates[:, 0], guess, blocks.CELL)
    monkeypatch.setattr(blocks, "can_match", lambda *_: False)
    expected = blocks._choose_candidates(candidates, costs, candidates[:, 0], guess, blocks.CELL)
    assert torch.equal(found, expected)


def test_window_costs_when_cell_is_too_small_then_torch_computes():
    plane = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not native_matching.can_match(plane, 4)
    zero = torch.zeros(1, 1, 2, 8, 8, dtype=torch.int64)
    assert float(blocks._window_costs(plane, plane, zero, 0, 4).max()) == 0
