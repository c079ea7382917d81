"""Gathering of squares in compiled code, compared with torch."""

from __future__ import annotations

import pytest
import torch

from burstfix.align import gather as gather_module
from burstfix.align.gather import BurstTile, gather_cells
from burstfix.native.library import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no compiled loops for this processor")


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (20, 33)])
def test_gather_cells_when_compared_with_torch_then_equal(margin, size, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(4, *size, generator=generator)
    offsets = torch.randint(-60, 60, (2, 3, 5), generator=generator)
    found = gather_cells(source, offsets, 8, margin, origin=(-4, 7))
    monkeypatch.setattr(gather_module, "can_gather", lambda _: False)
    assert torch.equal(found, gather_cells(source, offsets, 8, margin, origin=(-4, 7)))


@pytest.mark.parametrize("far", [2**63 - 1, -(2**63)])
@pytest.mark.parametrize("axis", [0, 1])
def test_gather_cells_when_offset_is_extreme_then_first_pixel(far, axis):
    source = torch.rand(2, 8, 9, generator=torch.Generator().manual_seed(0))
    offsets = torch.zeros(2, 1, 1, dtype=torch.int64)
    offsets[axis] = far
    first, reflected = torch.zeros(4, dtype=torch.int64), torch.tensor([4, 3, 2, 1])
    rows, columns = (reflected, first) if axis else (first, reflected)
    found = gather_cells(source, offsets, 4, origin=(-4, -4))
    assert torch.equal(found, source[:, rows[:, None], columns])


def test_gather_cells_when_defaults_of_torch_differ_then_equal(other_defaults):
    source = torch.rand(2, 8, 9, generator=torch.Generator().manual_seed(0))
    offsets = torch.zeros(2, 1, 1, dtype=torch.int64)
    with other_defaults():
        found = gather_cells(source, offsets, 8)
    assert torch.equal(found, source[..., :8])


def test_each_window_when_a_frame_ends_inside_the_tile_then_equal(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    sources = tuple(torch.randn(4, 32, 40, generator=generator) for _ in range(3))
    fields = tuple(torch.randint(-30, 30, (2, 4, 5), generator=generator) for _ in range(3))
    noise = torch.ones(1, 1, 4, 1, 1)
    tile = BurstTile(sources, ((0, 0), (2, -1), (0, 3)), fields, 8, 1, 0, 1, noise, noise)
    found = [*tile.each_window(1, 0), *tile.each_aligned()]
    monkeypatch.setattr(gather_module, "can_gather", lambda _: False)
    for one, other in zip(found, [*tile.each_window(1, 0), *tile.each_aligned()], strict=True):
        assert torch.equal(one, other)
