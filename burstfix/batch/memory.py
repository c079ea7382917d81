"""Estimates of the memory that bursts need, so that reading ahead stays below a limit.

The estimates are deliberately high.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys

import psutil

from burstfix.batch.plan import FoundBurst
from burstfix.cfa import LINEAR
from burstfix.engine.device import Device
from burstfix.engine.host_memory import free_memory
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.engine.tiling import SCALE, round_up
from burstfix.models.base import ModelInfo

_FRAME = 4  # bytes per sensor pixel for a frame: its mosaic (2), its grey picture and temporary strips (2)
_PICTURE = 60  # bytes per sensor pixel for the merged picture (12), its rendering and its encoder
_REPORT = 60  # bytes per sensor pixel for a report: the reference merged alone (12), two pictures, maps
_SHARE = 0.75  # default limit as a share of the free memory
RESERVE = 100_000_000  # bytes for code loaded later, threads and the allocator; 60 MB were measured
_TILE_SHARE = 0.4  # share of the limit for tiles


def burst_bytes(burst: FoundBurst, *, report: bool = False) -> int:
    """Estimate the bytes that a burst needs from reading to writing, without the tiles.

    Args:
        burst: The burst.
        report: True if a report of the burst is written too.
    """
    channels = 3 if burst.cfa == LINEAR else 1
    picture = _PICTURE + (_REPORT if report else 0)
    return burst.height * burst.width * (channels * _FRAME * len(burst.paths) + picture)


def used_now() -> int:
    """Return the bytes that this process and its children (the decoder) hold."""
    own = psutil.Process(os.getpid())
    total = own.memory_info().rss
    for child in own.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue  # the process has ended in the meantime
    return total


class Budget:
    """Memory shared by bursts. Each burst reserves its part before it is read and frees it when written."""

    def __init__(self, limit: int) -> None:
        """Divide a limit between bursts and tiles.

        Args:
            limit: Bytes for the whole process, including those already used; 0 = three quarters of the
                free memory.
        """
        self.limit = limit - used_now() - RESERVE if limit else int(_SHARE * free_memory())
        self.for_tiles = int(max(0, self.limit) * _TILE_SHARE)
        self.for_bursts = max(0, self.limit) - self.for_tiles
        self._limited = limit > 0
        self._taken = 0

    def fits(self, size: int) -> bool:
        """Return True if a burst of this many bytes can be started now."""
        return self._taken + size <= self.for_bursts

    def can_ever_fit(self, size: int) -> bool:
        """Return True if a burst of this many bytes fits while no other burst is in memory."""
        return size <= self.for_bursts

    def take(self, size: int) -> None:
        """Reserve bytes."""
        self._taken += size

    def give_back(self, size: int) -> None:
        """Free bytes that `take` reserved."""
        self._taken -= size
        self.trim()

    def trim(self) -> None:
        """Return freed blocks to the system if there is an explicit limit.

        `cli.app` makes glibc keep freed blocks, for speed. Blocks that are too small to be used again would
        add up to half a gigabyte over the tiles of one burst.
        """
        if self._limited and sys.platform == "linux":
            with contextlib.suppress(AttributeError, OSError):  # not glibc
                ctypes.CDLL(None).malloc_trim(0)

    def tile(self, info: ModelInfo, frames: int, device: Device, attempts: int = 0) -> int:
        """Return the side of tiles in sensor pixels that stay within the budget.

        Args:
            info: Sizes of the model.
            frames: Number of frames in the burst.
            device: Device of the merge; the result is 0 (automatic) for a GPU, which has its own memory.
            attempts: Number of earlier attempts that ran out of memory; each halves the side.
        """
        if device.type != "cpu":
            return 0
        each = info.bytes_per_pixel * frames + info.bytes_per_pixel_fixed
        side = int(math.sqrt(self.for_tiles / each)) - 2 * info.halo
        side = min(side, automatic_side(info, frames, device)) // 2**attempts
        side = side // info.size_multiple * info.size_multiple
        return SCALE * max(side, round_up(FLOOR, info.size_multiple))
