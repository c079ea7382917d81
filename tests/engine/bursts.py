"""Small bursts and models for the tests of the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from burstfix.align.gather import BurstTile
from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.raw.cfa import unpack
from burstfix.types import Burst, ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

WHITE = 1023.0
BLACK = np.array([[64, 60], [66, 63]], np.float32)


def make_burst(
    height: int,
    width: int,
    frames: int = 3,
    cfa: str = "RGGB",
    *,
    reference: int | None = None,
    noise: tuple[float, float] = (0.004, 0.0002),
    shift: int = 2,
    hot_pixels: list[tuple[int, int]] | None = None,
    levels: Levels | None = None,
) -> Burst:
    """Return a burst of a synthetic scene that moves down and right by `shift` sensor pixels per frame."""
    reference = frames // 2 if reference is None else reference
    reach = shift * frames
    scene = draw_scene(height + 2 * reach, width + 2 * reach, seed=3)
    levels = levels or Levels(BLACK, WHITE)
    made, motions = [], []
    for k in range(frames):
        # The scene moves by +move in the frame, so the frame shows the scene from -move.
        move = shift * (k - reference)
        view = scene[:, reach - move : reach - move + height, reach - move : reach - move + width]
        noisy = add_noise(mosaic_of(view, cfa), *noise, seed=k).numpy()
        made.append(Frame(to_dn(noisy, levels), metadata(height, width, cfa, levels)))
        motions.append(GlobalMotion(float(move), float(move)))
    profile = NoiseProfile((noise[0],) * 4, (noise[1],) * 4)
    hot = np.array(hot_pixels or [], np.int32).reshape(-1, 2)
    return Burst(tuple(made), reference, profile, tuple(motions), (1.0,) * frames, hot)


def black_of(levels: Levels, height: int, width: int) -> np.ndarray:
    """Return the black level of every pixel."""
    rows, cols = np.arange(height), np.arange(width)
    black = levels.black[rows[:, None] % levels.black.shape[0], cols % levels.black.shape[1]]
    if levels.black_rows is not None:
        black = black + levels.black_rows[:, None]
    if levels.black_cols is not None:
        black = black + levels.black_cols
    return black


def to_dn(values: np.ndarray, levels: Levels) -> np.ndarray:
    black = black_of(levels, *values.shape)
    mosaic = np.clip(np.rint(black + values * (levels.white - black)), 0, 65535).astype(np.uint16)
    mosaic.setflags(write=False)
    return mosaic


def normalised(frame: Frame) -> np.ndarray:
    """Return the mosaic of a frame in normalised units, independently of the code under test."""
    black = black_of(frame.metadata.levels, *frame.mosaic.shape)
    return (frame.mosaic - black) / (frame.metadata.levels.white - black)


def metadata(height: int, width: int, cfa: str, levels: Levels) -> FrameMetadata:
    return FrameMetadata(Path("drawn.dng"), height, width, cfa, levels, ColorProfile(np.eye(3), np.ones(3)))


class Identity(BurstModel):
    """Model that returns the mosaic of the reference in all three channels."""

    def __init__(self, size_multiple: int = 8, halo: int = 8):
        super().__init__()
        self.info = ModelInfo("identity", size_multiple, halo, bytes_per_pixel=50, supports_bfloat16=False)

    def merge_tile(self, tile: BurstTile) -> Tensor:
        return unpack(tile.aligned()[tile.reference]).expand(3, -1, -1)


class Mean(Identity):
    """Model that returns the mean of the mosaics of the aligned frames in all three channels."""

    def merge_tile(self, tile: BurstTile) -> Tensor:
        return unpack(tile.aligned().mean(0)).expand(3, -1, -1)


class SmallNet(BurstModel):
    """Random convolutions, one of them with stride 4. The halo of a tile is 20 packed pixels."""

    def __init__(self, channels: int = 8):
        super().__init__()
        self.info = ModelInfo("small", size_multiple=16, halo=32, bytes_per_pixel=200)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.first = nn.Conv2d(4, channels, 3, padding=1)
            self.down = nn.Conv2d(channels, channels, 4, stride=4)
            self.deep = nn.Conv2d(channels, channels, 5, padding=2)
            self.last = nn.Conv2d(channels, 12, 3, padding=1)

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        each = [torch.tanh(self.first(frames[:, i] / (shot_gain[:, 0] + 1))) for i in range(frames.shape[1])]
        x = each[reference] + torch.stack(each).amax(0)
        deep = self.deep(torch.tanh(self.down(x)))
        x = x + torch.nn.functional.interpolate(deep, scale_factor=4, mode="nearest")
        return Merged(torch.nn.functional.pixel_shuffle(self.last(x), 2))
