"""Merge a burst of any size in tiles, with any model."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.gather import BurstTile
from burstfix.cfa import CFA_PATTERNS
from burstfix.engine.device import CpuDevice, Device, find_device, pick_precision
from burstfix.engine.fields import find_fields, scene_motion
from burstfix.engine.noise_left import noise_of_difference, sample_tiles, with_added_noise
from burstfix.engine.tile_reader import TileGrid, TileReader, noise_tensors
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.engine.tiling import SCALE, Tile, whole
from burstfix.errors import OutOfMemoryError, UsageError, WeightsError, is_out_of_memory
from burstfix.models.base import BurstModel
from burstfix.raw.cfa import interleave
from burstfix.raw.frame_source import FrameSource
from burstfix.types import Burst, MergeMaps, NoiseProfile, Progress

_LEAST_STRENGTH = 0.01
"""Replacement for strength 0, which would cause division by zero. It keeps all noise of the reference."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TiledMerge:
    """Result of `merge_tiled`.

    Attributes:
        data: float32 (3, H, W): camera RGB; 0 = black, 1 = white, unclipped. With `mosaic`, (1, H, W), or
            (3, H, W) if the frames are already demosaicked.
        maps: Motion and number of frames used.
        noise: Remaining noise in `data`; None if its measurement was not requested or not possible.
    """

    data: NDArray[np.float32]
    maps: MergeMaps
    noise: NoiseProfile | None = None


def merge_tiled(
    burst: Burst,
    model: BurstModel,
    *,
    device: Device | str = "cpu",
    tile: int = 0,
    precision: str = "auto",
    strength: float = 1.0,
    mosaic: bool = False,
    measure_noise: bool = False,
    progress: Progress | None = None,
) -> TiledMerge:
    """Merge a burst into the linear picture of its reference.

    Opcode lists 1 and 2 are applied according to the plans of the frames, and the noise passed to the model
    includes their gains. The result does not depend on the tiles, except for rounding. If memory runs out,
    the remaining tiles are halved; if the smallest ones do not fit on a GPU, the CPU continues.

    Args:
        burst: Burst in host memory; frames are packed tile by tile.
        model: Model to run. It is moved to the device.
        device: Device on which the model runs; see `select_device` for "auto".
        tile: Side of a tile in sensor pixels, rounded up to a size that the model accepts; 0 = chosen from
            the free memory.
        precision: "auto" (bfloat16 if device and model support it, otherwise float32), "float32", "bfloat16"
            or "float16".
        strength: Multiplier of the noise level that the model assumes, 0 to 2; 1 = as measured.
        mosaic: Stop before demosaicking; frames without a Bayer mosaic are never demosaicked.
        measure_noise: Measure the remaining noise by merging a few small tiles two more times.
        progress: Called with the stages "align" (frames) and "merge" (tiles; the total grows if tiles are
            halved).

    Returns:
        The picture of the reference's visible area, with maps.

    Raises:
        UsageError: An argument is invalid.
        OutOfMemoryError: Memory ran out after every fallback.
        WeightsError: The model's result is not finite, even in float32.
    """
    device = device if isinstance(device, Device) else find_device(device)
    pick_precision(precision, device)  # raises an error for an unknown name
    if not model.info.supports_bfloat16:
        precision = "float32"
    if not 0 <= strength <= 2:
        raise UsageError(f"strength {strength:g}: expected 0 (keep the noise) to 2")
    if tile < 0:
        raise UsageError(f"tile {tile}: expected the side of a tile in pixels, or 0 for automatic")
    was_training = model.training
    home = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    model.eval()
    try:
        # Not inference_mode, because tensors that models cache must remain usable for training.
        with torch.no_grad():
            merge = _Merge(burst, model, precision, strength, mosaic, progress or (lambda *_: None))
            return merge.run(device, tile, measure_noise)
    finally:
        model.train(was_training)
        if home is not None:
            model.to(home)


@dataclass(frozen=True, slots=True)
class _Setup:
    """Device, data type and size of tiles. Each fallback makes a new setup.

    Attributes:
        device: Device of the model.
        dtype: Data type in which the model computes.
        side: Largest side of a tile in packed pixels.
    """

    device: Device
    dtype: torch.dtype
    side: int


@dataclass(frozen=True, slots=True, eq=False)
class _TilePicture:
    """A merged tile without halo, on the CPU.

    Attributes:
        data: float32 (C, 2 * height, 2 * width).
        frames_used: float32, effective number of frames in each cell; None if the model does not count them.
    """

    data: NDArray[np.float32]
    frames_used: NDArray[np.float32] | None


class _Merge:
    """One merge. Its attributes are constant. Values that change during the merge are in `_Setup`."""

    def __init__(
        self,
        burst: Burst,
        model: BurstModel,
        precision: str,
        strength: float,
        mosaic: bool,
        progress: Progress,
    ) -> None:
        self.burst, self.model, self.precision, self.progress = burst, model, precision, progress
        self.strength = max(strength, _LEAST_STRENGTH)
        self.mosaic = mosaic or burst.frames[burst.reference].metadata.cfa not in CFA_PATTERNS
        self.sources = [FrameSource(frame, burst.hot_pixels, corrected=True) for frame in burst.frames]
        self.layout = self.sources[0].layout
        self.grid = TileGrid(self.sources[0].height, self.sources[0].width, model.info)

    def run(self, device: Device, tile: int, measure_noise: bool) -> TiledMerge:
        """Align, then merge tile by tile; see `merge_tiled`."""
        rows, cols = self.burst.frames[0].mosaic.shape[:2]
        out = np.zeros((self.layout.channels if self.mosaic else 3, rows, cols), np.float32)
        setup = self._setup_on(device)
        if tile:
            setup = replace(setup, side=self.grid.side(-(-tile // SCALE)))
        log.debug("merging on %s in %s, tiles of %d sensor pixels", device, setup.dtype, SCALE * setup.side)
        fields = self._align(device)
        frames_used = np.full((-(-self.grid.height // CELL), -(-self.grid.width // CELL)), np.nan, np.float32)
        reader = TileReader(self.sources, fields, self.burst.reference, self.burst.noise, self.strength)
        pending = deque(self.grid.split(whole(self.grid.height, self.grid.width), setup.side))
        done, total = 0, len(pending)
        self.progress("merge", done, total)
        while pending:
            part = pending.popleft()
            if max(part.height, part.width) > setup.side:
                smaller = self.grid.split(part, setup.side)
                pending.extendleft(reversed(smaller))
                total += len(smaller) - 1
                continue
            picture = _unless_out_of_memory(
                setup.device, lambda part=part, setup=setup: self._merge_tile(reader, part, setup)
            )
            if picture is None:
                setup = self._fall_back(setup)
                pending.appendleft(part)
                continue
            self._blend(out, part, picture.data)
            if picture.frames_used is not None:
                top, left = part.top // CELL, part.left // CELL
                rows, cols = frames_used[top:, left:].shape
                used = picture.frames_used[:rows, :cols]
                frames_used[top : top + used.shape[0], left : left + used.shape[1]] = used
            done += 1
            self.progress("merge", done, total)
        motion = scene_motion(fields, self.burst.motions, self.grid.height, self.grid.width)
        counted = bool(np.isfinite(frames_used).any())
        noise = self._noise_left(reader, setup) if measure_noise else None
        return TiledMerge(out, MergeMaps(motion, frames_used if counted else None), noise)

    def _noise_left(self, reader: TileReader, setup: _Setup) -> NoiseProfile | None:
        """Measure the remaining noise (see `noise_left`) in float32, because changes are small."""
        generator = torch.Generator().manual_seed(0)
        exact = replace(setup, dtype=torch.float32)
        first, second = [], []
        for tile in sample_tiles(self.grid):
            burst_tile = reader.read(self.grid.window(tile), setup.device.torch_device)
            for pictures in (first, second):
                noisy = with_added_noise(burst_tile, generator)
                pictures.append(self._computed(noisy, tile, exact).data)
        return noise_of_difference(first, second)

    def _setup_on(self, device: Device) -> _Setup:
        """Move the model to a device and choose the tiles for it."""
        dtype = pick_precision(self.precision, device)
        self.model.to(device.torch_device)
        frames = len(self.sources) * self.layout.channels
        return _Setup(device, dtype, self.grid.side(automatic_side(self.model.info, frames, device, dtype)))

    def _align(self, device: Device) -> list[Tensor]:
        """Find the block fields, on the CPU if the device has too little memory."""
        fields = _unless_out_of_memory(device, lambda: self._fields_on(device))
        if fields is None and device.type != "cpu":
            log.warning("out of memory on %s while aligning: aligning on the CPU", device)
            self.model.to("cpu")
            fields = _unless_out_of_memory(CpuDevice(), lambda: self._fields_on(CpuDevice()))
            self.model.to(device.torch_device)
        if fields is None:
            raise self._out_of_memory("aligning the frames")
        return fields

    def _fields_on(self, device: Device) -> list[Tensor]:
        total = len(self.sources)
        return find_fields(
            self.sources,
            self.burst.motions,
            self.burst.reference,
            self.model,
            *noise_tensors(self.burst.noise, device.torch_device),
            lambda done: self.progress("align", done, total),
        )

    def _merge_tile(self, reader: TileReader, tile: Tile, setup: _Setup) -> _TilePicture:
        """Merge one tile; repeat it in float32 if the result in a smaller data type is not finite."""
        picture = self._compute(reader, tile, setup)
        if setup.dtype != torch.float32 and not np.isfinite(picture.data).all():
            log.warning("a tile is not finite in %s: computing it in float32", setup.dtype)
            picture = self._compute(reader, tile, replace(setup, dtype=torch.float32))
        if not np.isfinite(picture.data).all():
            raise WeightsError(
                f"model {self.model.info.name!r} gives values that are not finite: its weights are damaged "
                "or training failed; use other weights or --model average"
            )
        return picture

    def _compute(self, reader: TileReader, tile: Tile, setup: _Setup) -> _TilePicture:
        burst_tile = reader.read(self.grid.window(tile), setup.device.torch_device)
        return self._computed(burst_tile, tile, setup)

    def _computed(self, burst_tile: BurstTile, tile: Tile, setup: _Setup) -> _TilePicture:
        window = self.grid.window(tile)
        with setup.device.autocast(setup.dtype):
            if self.mosaic:
                picture, used = interleave(self.model.merge_mosaic(burst_tile)), None
            else:
                picture, used = self.model.merge_tile_with_usage(burst_tile)
        y, x = SCALE * (tile.top - window.top), SCALE * (tile.left - window.left)
        inner = picture[:, y : y + SCALE * tile.height, x : x + SCALE * tile.width].float().cpu().numpy()
        if used is None:
            return _TilePicture(inner, None)
        rows, cols = (-(-size // CELL) for size in (tile.height, tile.width))
        row, col = (tile.top - window.top) // CELL, (tile.left - window.left) // CELL
        return _TilePicture(inner, used[row : row + rows, col : col + cols].float().cpu().numpy())

    def _blend(self, out: NDArray[np.float32], tile: Tile, picture: NDArray[np.float32]) -> None:
        """Add a weighted tile, without padding, to the picture."""
        padding = self.sources[0].padding
        top, left = SCALE * tile.top - padding.top, SCALE * tile.left - padding.left
        # First row and column of the tile that lie inside the visible area.
        y, x = max(0, -top), max(0, -left)
        target = out[:, top + y : top + SCALE * tile.height, left + x : left + SCALE * tile.width]
        height, width = target.shape[1:]
        share = picture[:, y : y + height, x : x + width]
        weight = tile.weight_rows[y : y + height, None] * tile.weight_cols[x : x + width]
        torch.from_numpy(target).addcmul_(
            torch.from_numpy(share), torch.from_numpy(weight)
        )  # uses all threads

    def _fall_back(self, setup: _Setup) -> _Setup:
        """Halve the tiles; at the smallest size switch from a GPU to the CPU, or fail on the CPU."""
        floor = self.grid.side(FLOOR)
        if setup.side > floor:
            side = max(floor, self.grid.side(setup.side // 2))
            log.warning(
                "out of memory on %s: continuing with tiles of %d sensor pixels", setup.device, SCALE * side
            )
            return replace(setup, side=side)
        if setup.device.type != "cpu":
            log.warning("out of memory on %s with the smallest tiles: continuing on the CPU", setup.device)
            return self._setup_on(CpuDevice())
        raise self._out_of_memory(f"merging tiles of {SCALE * setup.side} pixels")

    def _out_of_memory(self, while_doing: str) -> OutOfMemoryError:
        free = CpuDevice().free_memory() / 1e6
        return OutOfMemoryError(
            f"out of memory while {while_doing} ({len(self.sources)} frames, {free:.0f} MB free); "
            "close other programs, merge fewer frames, or use --model average"
        )


def _unless_out_of_memory(device: Device, work: Callable[[], T]) -> T | None:
    """Return the result of `work`, or None if memory ran out."""
    try:
        return work()
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        log.debug("out of memory: %s", error)
    # This is outside the handler, because the exception keeps the tensors of the failed attempt alive.
    device.empty_cache()
    return None
