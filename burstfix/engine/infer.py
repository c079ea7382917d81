"""Merges a burst of any size in tiles, whatever the model: the one place that moves work to a device."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.gather import BurstTile, source_region
from burstfix.engine.device import CpuDevice, Device, find_device, pick_precision
from burstfix.engine.fields import find_fields
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.engine.tiling import SCALE, Tile, round_up, split, whole
from burstfix.errors import OutOfMemoryError, UsageError, WeightsError, is_out_of_memory
from burstfix.models.base import BurstModel
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import CFA_PATTERNS, Burst, Progress

BORDER = 16
"""Packed pixels mirrored around the picture, where a halo has nothing to show."""
LEAST_READ_VARIANCE = 1e-10
"""Quantisation to 14 bits has three times as much. Without any, weights at black are nought by nought."""
_READ_MARGIN = CELL // 2  # around each cell, for `BurstTile.windows`

T = TypeVar("T")
log = logging.getLogger(__name__)


def merge_tiled(
    burst: Burst,
    model: BurstModel,
    *,
    device: Device | str = "cpu",
    tile: int = 0,
    precision: str = "auto",
    strength: float = 1.0,
    mosaic: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Merges a burst into the linear picture of its reference.

    Opcode lists 1 and 2 are applied on the way, unless the burst says otherwise; the noise that the model is
    told follows their gains.

    The result does not depend on the tiles (but for rounding). When memory runs out the tile is halved and
    the work goes on with what is left; then, from a GPU, on the CPU.

    Args:
        burst: Frames in host memory; only the parts that a tile needs are unpacked.
        model: Is moved to the device meanwhile.
        device: Where the model runs; see `select_device` for "auto".
        tile: Side of a tile in sensor pixels, rounded up to what the model can do; 0: by free memory.
        precision: "auto" (bfloat16 where the device computes in it, else float32), "float32", "bfloat16" or
            "float16".
        strength: How strong the model shall take the noise to be: 0 to 2, 1 = as measured.
        mosaic: Stop before demosaicking; frames without a Bayer mosaic are never demosaiced.
        progress: Told of the stages "align" (frames) and "merge" (tiles; the total grows when they shrink).

    Returns:
        float32 (3, H, W): camera RGB of the reference's visible area; 0 = black, 1 = white, unclipped. With
        `mosaic` (1, H, W), or (3, H, W) of frames that are demosaiced already.

    Raises:
        UsageError: An option makes no sense here.
        OutOfMemoryError: Memory ran out after every fallback.
        WeightsError: The model's result is not finite, even in float32.
    """
    device = device if isinstance(device, Device) else find_device(device)
    pick_precision(precision, device)  # raises where there is no such
    if not model.info.supports_bfloat16:
        precision = "float32"
    if not 0 <= strength <= 2:
        raise UsageError(f"strength {strength:g}: expected 0 (keep the noise) to 2")
    if tile < 0:
        raise UsageError(f"tile {tile}: give the side of a tile in pixels, or 0 for automatic")
    was_training = model.training
    home = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    model.eval()
    try:
        # Not inference_mode: what models cache on the way has to be usable in training later.
        with torch.no_grad():
            return _Merge(
                burst, model, device, precision, tile, strength, mosaic, progress or (lambda *_: None)
            ).run()
    finally:
        model.train(was_training)
        if home is not None:
            model.to(home)


class _Merge:
    """One merge: what its steps share, and how far the fallbacks have gone."""

    def __init__(
        self,
        burst: Burst,
        model: BurstModel,
        device: Device,
        precision: str,
        tile: int,
        strength: float,
        mosaic: bool,
        progress: Progress,
    ):
        # Nought would divide by nought; so little noise keeps all of the reference's grain.
        self.strength = max(strength, 0.01)
        self.mosaic = mosaic or burst.frames[burst.reference].metadata.cfa not in CFA_PATTERNS
        self.burst, self.model, self.precision, self.progress = burst, model, precision, progress
        self.sources = [FrameSource(frame, burst.hot_pixels, corrected=True) for frame in burst.frames]
        self.height, self.width = self.sources[0].height, self.sources[0].width
        # Tiles are made of whole cells, whatever sizes the model accepts.
        self.multiple = int(np.lcm(model.info.size_multiple, CELL))
        self.halo = round_up(model.info.halo, self.multiple)
        self.border = min(self.halo, round_up(BORDER, self.multiple))
        self._move_to(device)
        if tile:
            self.side = round_up(-(-tile // SCALE), self.multiple)
        else:
            self.side = self._automatic_side()
        # No larger than the picture, so that halving always changes something.
        self.side = min(self.side, round_up(max(self.height, self.width), self.multiple))
        self.floor = min(self.side, round_up(FLOOR, self.multiple))
        log.debug("merging on %s in %s, tiles of %d sensor pixels", device, self.dtype, SCALE * self.side)

    def run(self) -> NDArray[np.float32]:
        rows, cols = self.burst.frames[0].mosaic.shape[:2]
        channels = self.sources[0].layout.channels if self.mosaic else 3
        out = np.zeros((channels, rows, cols), np.float32)
        self.fields = self._align()
        pending = deque(self._split(whole(self.height, self.width)))
        done, total = 0, len(pending)
        self.progress("merge", done, total)
        while pending:
            tile = pending.popleft()
            if max(tile.height, tile.width) > self.side:
                parts = self._split(tile)
                pending.extendleft(reversed(parts))
                total += len(parts) - 1
                continue
            rgb = self._unless_out_of_memory(lambda tile=tile: self._merge_tile(tile))
            if rgb is None:
                self._fall_back()
                pending.appendleft(tile)
                continue
            self._add(out, tile, rgb)
            done += 1
            self.progress("merge", done, total)
        return out

    def _align(self) -> list[Tensor]:
        total = len(self.sources)

        def find() -> list[Tensor]:
            return find_fields(
                self.sources,
                self.burst.motions,
                self.burst.reference,
                self.model,
                self.shot_gain,
                self.read_variance,
                lambda done: self.progress("align", done, total),
            )

        fields = self._unless_out_of_memory(find)
        if fields is None and self.device.type != "cpu":
            log.warning("out of memory on %s while aligning: aligning on the CPU", self.device)
            device = self.device
            self._move_to(CpuDevice())
            fields = self._unless_out_of_memory(find)
            self._move_to(device)
        if fields is None:
            raise self._out_of_memory("aligning the frames")
        return fields

    def _merge_tile(self, tile: Tile) -> Tensor:
        """(3, 2 * height, 2 * width) float32 on the CPU; one colour of a mosaic."""
        rgb = self._compute(tile, self.dtype)
        if self.dtype != torch.float32 and not torch.isfinite(rgb).all():
            log.warning("a tile is not finite in %s: computing it in float32", self.dtype)
            rgb = self._compute(tile, torch.float32)
        if not torch.isfinite(rgb).all():
            raise WeightsError(
                f"model {self.model.info.name!r} gives values that are no numbers: its weights are damaged "
                "or their training failed; use other weights or --model average"
            )
        return rgb.float().cpu()

    def _compute(self, tile: Tile, dtype: torch.dtype) -> Tensor:
        top, bottom = self._with_halo(tile.top, tile.height, self.height)
        left, right = self._with_halo(tile.left, tile.width, self.width)
        cells_y = torch.arange(top // CELL, bottom // CELL)
        cells_x = torch.arange(left // CELL, right // CELL)
        picture = (self.height, self.width)
        sources, origins, offsets = [], [], []
        for source, field in zip(self.sources, self.fields, strict=True):
            # Cells beyond the picture move like the nearest one inside.
            rows, cols = cells_y.clamp(0, field.shape[1] - 1), cells_x.clamp(0, field.shape[2] - 1)
            part = field[:, rows[:, None], cols]
            region = source_region(part, CELL, _READ_MARGIN, top, left, picture)
            sources.append(source.read(region, self.place))
            origins.append((region.top, region.left))
            offsets.append(part.to(self.place))
        shot_gain, read_variance = self._noise_at(cells_y, cells_x)
        burst_tile = BurstTile(
            tuple(sources),
            tuple(origins),
            tuple(offsets),
            CELL,
            top,
            left,
            self.burst.reference,
            shot_gain,
            read_variance,
            self.strength,
        )
        with self.device.autocast(dtype):
            if self.mosaic:
                rgb = F.pixel_shuffle(self.model.merge_mosaic(burst_tile), 2)
            else:
                rgb = self.model.merge_tile(burst_tile)
        y, x = SCALE * (tile.top - top), SCALE * (tile.left - left)
        return rgb[:, y : y + SCALE * tile.height, x : x + SCALE * tile.width]

    def _with_halo(self, start: int, length: int, size: int) -> tuple[int, int]:
        """From where to where a tile is computed, along an axis on which the picture has `size`."""
        end = start + round_up(length, self.multiple) + self.halo
        return max(start - self.halo, -self.border), min(end, round_up(size, self.multiple) + self.border)

    def _noise_at(self, cells_y: Tensor, cells_x: Tensor) -> tuple[Tensor, Tensor]:
        """What the model is told of the noise in these cells: shot gain and read variance."""
        gain, read = self.shot_gain, self.read_variance
        planes = list(self.sources[0].layout.noise_planes)
        gain, read = gain[:, :, planes], read[:, :, planes]
        stretch = torch.full((), self.strength, device=self.place)
        reference = self.sources[self.burst.reference]
        if reference.changes_noise:
            rows, cols = (
                (cells[:, None] * CELL + torch.arange(CELL)).flatten().clamp(0, size - 1)
                for cells, size in ((cells_y, self.height), (cells_x, self.width))
            )
            region = Region(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
            slopes = reference.noise_slopes(region, self.place)
            rows, cols = (rows - region.top).to(self.place), (cols - region.left).to(self.place)
            # A gain of nought would leave no noise to divide by.
            stretch = stretch * slopes[:, rows[:, None], cols].clamp(min=1e-3)
        # Multiplied by g a signal has g times the shot gain, and g^2 times the read variance.
        return gain * stretch * self.strength, read * stretch.square()

    def _add(self, out: NDArray[np.float32], tile: Tile, rgb: Tensor) -> None:
        """Adds a tile's share to the picture, without what was padded to reach RGGB phase and even size."""
        padding = self.sources[0].padding
        top, left = SCALE * tile.top - padding.top, SCALE * tile.left - padding.left
        # The first row and column inside the visible area, seen from the tile.
        y, x = max(0, -top), max(0, -left)
        target = out[:, top + y : top + SCALE * tile.height, left + x : left + SCALE * tile.width]
        height, width = target.shape[1:]
        share = rgb.numpy()[:, y : y + height, x : x + width]
        weight = tile.weight_rows[y : y + height, None] * tile.weight_cols[x : x + width]
        target += share * weight

    def _split(self, tile: Tile) -> list[Tile]:
        return split(tile, self.side, self.multiple, self.multiple)

    def _automatic_side(self) -> int:
        frames = len(self.sources) * self.sources[0].layout.channels
        side = automatic_side(self.model.info, frames, self.device, self.dtype)
        return round_up(side, self.multiple)

    def _move_to(self, device: Device) -> None:
        self.device, self.dtype = device, pick_precision(self.precision, device)
        self.place = place = device.torch_device
        self.model.to(place)
        noise = self.burst.noise
        self.shot_gain = torch.tensor(noise.shot_gain, device=place).reshape(1, 1, 4, 1, 1)
        read_variance = torch.tensor(noise.read_variance, device=place).reshape(1, 1, 4, 1, 1)
        self.read_variance = read_variance.clamp(min=LEAST_READ_VARIANCE)

    def _unless_out_of_memory(self, work: Callable[[], T]) -> T | None:
        """The result, or None when memory ran out."""
        try:
            return work()
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            log.debug("out of memory: %s", error)
        # Only here, where the exception no longer keeps the failed attempt's tensors alive.
        self.device.empty_cache()
        return None

    def _fall_back(self) -> None:
        """Halves the tile; at the floor leaves the GPU; on the CPU gives up."""
        if self.side > self.floor:
            self.side = max(self.floor, round_up(self.side // 2, self.multiple))
            log.warning(
                "out of memory on %s: going on with tiles of %d sensor pixels", self.device, SCALE * self.side
            )
        elif self.device.type != "cpu":
            log.warning("out of memory on %s with the smallest tiles: going on on the CPU", self.device)
            self._move_to(CpuDevice())
            self.side = self._automatic_side()
        else:
            raise self._out_of_memory(f"merging tiles of {SCALE * self.side} pixels")

    def _out_of_memory(self, while_doing: str) -> OutOfMemoryError:
        free = CpuDevice().free_memory() / 1e6
        return OutOfMemoryError(
            f"out of memory while {while_doing} of {len(self.sources)} frames ({free:.0f} MB are free); "
            "close other programs, merge fewer frames, or use --model average"
        )
