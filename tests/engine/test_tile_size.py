from __future__ import annotations

import pytest
import torch

from burstfix.engine.device import CpuDevice
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.models.base import ModelInfo


class Free(CpuDevice):
    """A CPU with a given amount of free memory."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free

    def free_memory(self) -> int:
        return self.free


@pytest.mark.parametrize("free", [0, 10**7, 10**8, 10**9, 10**12])
@pytest.mark.parametrize("frames", [1, 5, 50])
def test_automatic_side_when_memory_is_free_then_the_tile_fits_or_is_the_smallest(free, frames):
    info = ModelInfo("x", size_multiple=12, halo=24, bytes_per_pixel=200, bytes_per_pixel_fixed=900)
    side = automatic_side(info, frames, Free(free))
    assert side % info.size_multiple == 0 and side >= FLOOR
    smallest = FLOOR + info.size_multiple
    assert side < smallest or (side + 2 * info.halo) ** 2 * (200 * frames + 900) <= min(free / 2, 1e9)


def test_automatic_side_when_computing_in_bfloat16_then_tiles_are_larger():
    info = ModelInfo("x", size_multiple=8, halo=16, bytes_per_pixel=200)
    device = Free(10**9)
    assert automatic_side(info, 5, device, torch.bfloat16) > automatic_side(info, 5, device)


def test_automatic_side_when_more_memory_is_free_then_tiles_are_larger():
    info = ModelInfo("x", size_multiple=8, halo=16, bytes_per_pixel=100)
    assert automatic_side(info, 5, Free(10**8)) < automatic_side(info, 5, Free(10**9))


def test_automatic_side_when_the_device_limits_tiles_then_the_limit_is_observed():
    class Small(Free):
        max_tile_side = 100

    info = ModelInfo("x", size_multiple=8, halo=16, bytes_per_pixel=100)
    assert automatic_side(info, 5, Small(10**12)) == 96
