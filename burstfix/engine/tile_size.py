"""Compute the size of tiles that fit in the free memory of a device."""

from __future__ import annotations

import math

import torch

from burstfix.engine.device import Device
from burstfix.engine.tiling import round_up
from burstfix.models.base import ModelInfo

FLOOR = 64
"""Smallest side in packed pixels. For smaller tiles, the halo takes more time than the tile itself."""

_SHARE = 0.5  # share of the free memory; estimates are rough, and other programs also need memory
_MIXED_NEED = 0.7  # measured memory in bfloat16 or float16 relative to float32; not all tensors are halved


def automatic_side(info: ModelInfo, frames: int, device: Device, dtype: torch.dtype = torch.float32) -> int:
    """Return the side of the tiles in packed pixels, without halo.

    Args:
        info: The model's tile sizes and memory needs.
        frames: Number of frames that are merged.
        device: Device on which the model runs.
        dtype: Data type in which the model computes.
    """
    budget = min(_SHARE * device.free_memory(), device.max_tile_bytes)
    each = info.bytes_per_pixel * frames + info.bytes_per_pixel_fixed
    if dtype != torch.float32:
        each *= _MIXED_NEED
    side = min(int(math.sqrt(budget / each)) - 2 * info.halo, device.max_tile_side)
    multiple = info.size_multiple
    return max(int(side) // multiple * multiple, round_up(FLOOR, multiple))
