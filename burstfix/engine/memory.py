"""How much memory is free, and how large a tile may be so that a merge stays inside it."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import torch

from burstfix.engine.tiling import round_up
from burstfix.models.base import ModelInfo

FLOOR = 64
"""Packed pixels: below this the halo costs more than the tile, so out-of-memory is final."""

_SHARE = 0.5  # of the free memory: the estimate of a model's need is rough, and others want some too
_CPU_LIMIT = 1.0e9  # bytes; more gains little on CPUs and would crowd out other programs
_MIXED_NEED = 0.7  # of a network's need in bfloat16 or float16, measured: not all of it is halved
_CUDA_SIDE = 1024  # packed pixels; larger tiles gain nothing there either
_CGROUP = Path("/sys/fs/cgroup")


def free_memory(place: torch.device) -> int:
    """Bytes that a merge could still take on a device; on CPUs within the limit of a container, if any."""
    if place.type == "cuda":
        free, _ = torch.cuda.mem_get_info(place)
        # Torch keeps memory that it no longer uses; the driver counts it as taken.
        return free + torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    free = psutil.virtual_memory().available
    left = container_memory(_CGROUP)
    return free if left is None else min(free, left)


def container_memory(root: Path) -> int | None:
    """Bytes left under a Linux control group's limit (version 2, then 1), or None where there is no limit.

    Args:
        root: Where the kernel shows the control groups.
    """
    for limit_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit = int((root / limit_file).read_text())  # version 2 says "max" for none: a ValueError
            used = int((root / used_file).read_text())
        except (OSError, ValueError):
            continue
        # The count includes cached files, which the kernel gives back when memory is wanted.
        return max(0, limit - used + _cached(root / limit_file))
    return None


def _cached(limit_file: Path) -> int:
    try:
        lines = (limit_file.parent / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def automatic_side(
    info: ModelInfo, frames: int, place: torch.device, dtype: torch.dtype = torch.float32
) -> int:
    """Side of the tiles in packed pixels, without halo: what fits into free memory, within sensible bounds.

    Args:
        info: Of the model: its tile sizes and memory needs.
        frames: How many are merged.
        place: Where the model runs.
        dtype: What it computes in.
    """
    budget = _SHARE * free_memory(place)
    if place.type == "cpu":
        budget = min(budget, _CPU_LIMIT)
    each = info.bytes_per_pixel * frames + info.bytes_per_pixel_fixed
    if dtype != torch.float32:
        each *= _MIXED_NEED
    side = int(math.sqrt(budget / each)) - 2 * info.halo
    if place.type == "cuda":
        side = min(side, _CUDA_SIDE)
    return max(side // info.size_multiple * info.size_multiple, round_up(FLOOR, info.size_multiple))
