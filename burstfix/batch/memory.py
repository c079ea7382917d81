"""How much memory bursts need, so that reading ahead stays under a limit. Estimates, on the safe side."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys

import psutil

from burstfix.batch.plan import FoundBurst
from burstfix.engine.device import Device
from burstfix.engine.host_memory import free_memory
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.engine.tiling import SCALE, round_up
from burstfix.models.base import ModelInfo
from burstfix.types import LINEAR

# Bytes for each sensor pixel. A frame: its mosaic (2), and while it is analysed its grey picture and strips.
_FRAME = 4
# The merged picture in float32 (12), and what rendering and writing make of it.
_PICTURE = 60
_SHARE = 0.75  # of the free memory, where nothing is asked for
RESERVE = 100_000_000  # code loaded later, threads, and what the allocator keeps: measured 60 MB
_TILE_SHARE = 0.4  # of the limit that tiles may take


def burst_bytes(burst: FoundBurst) -> int:
    """What a burst takes from reading to writing, without the tiles."""
    channels = 3 if burst.cfa == LINEAR else 1
    return burst.height * burst.width * (channels * _FRAME * len(burst.paths) + _PICTURE)


def used_now() -> int:
    """What this process and its children (the decoder) hold."""
    own = psutil.Process(os.getpid())
    total = own.memory_info().rss
    for child in own.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue  # it ended in the meantime
    return total


class Budget:
    """Memory that bursts share; each takes its part before it is read and gives it back once written."""

    def __init__(self, limit: int) -> None:
        """Bytes in all, of which a part is in use and a part in reserve; 0: three quarters of the free."""
        self.limit = limit - used_now() - RESERVE if limit else int(_SHARE * free_memory())
        self.for_tiles = int(max(0, self.limit) * _TILE_SHARE)
        self.for_bursts = max(0, self.limit) - self.for_tiles
        self._limited = limit > 0
        self._taken = 0

    def fits(self, size: int) -> bool:
        """Whether a burst may be started now."""
        return self._taken + size <= self.for_bursts

    def can_ever_fit(self, size: int) -> bool:
        """Whether a burst fits when it is alone."""
        return size <= self.for_bursts

    def take(self, size: int) -> None:
        """Reserves."""
        self._taken += size

    def give_back(self, size: int) -> None:
        """Frees what `take` reserved."""
        self._taken -= size
        self.trim()

    def trim(self) -> None:
        """Returns freed blocks that glibc was told to keep (`cli.app`), where a limit was asked for.

        Pieces of them that fit nothing new add up: to half a gigabyte over the tiles of one burst.
        """
        if self._limited and sys.platform == "linux":
            with contextlib.suppress(AttributeError, OSError):  # another C library
                ctypes.CDLL(None).malloc_trim(0)

    def tile(self, info: ModelInfo, frames: int, device: Device) -> int:
        """Side of tiles in sensor pixels that stay within the budget; 0 on a GPU, with memory of its own."""
        if device.type != "cpu":
            return 0
        each = info.bytes_per_pixel * frames + info.bytes_per_pixel_fixed
        side = int(math.sqrt(self.for_tiles / each)) - 2 * info.halo
        side = max(side // info.size_multiple * info.size_multiple, round_up(FLOOR, info.size_multiple))
        return SCALE * min(side, automatic_side(info, frames, device))
