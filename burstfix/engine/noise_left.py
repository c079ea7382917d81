"""Measure the remaining noise of a merged picture from the response of the model to added noise.

Networks leave noise of low frequencies. In a single picture, it cannot be distinguished from the scene.
Therefore a few small tiles are merged two more times, each time with different added noise that follows the
noise profile of the frames. The model receives the total noise level. The difference of the results shows how
much noise passes through the model for this scene and every brightness.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.align.gather import BurstTile
from burstfix.engine.tile_reader import TileGrid
from burstfix.engine.tiling import Tile, whole
from burstfix.types import NoiseProfile

_ADDED = 0.6
"""Standard deviation of the added noise, relative to the noise of the frames.

With much less added noise, the result is too high for models that switch between alternatives, such as the
directions of demosaicking. With much more, networks denoise with another strength. On a synthetic burst, the
error at 0.6 is below 30% in both cases."""
# Number and side (packed pixels) of tiles; a few percent of 12 megapixels.
_TILES, _SIDE = 5, 48
_BINS = 16
_LEAST_IN_BIN = 50
_WHITE = 0.95  # brighter pixels clip in some frames
_TINY = 1e-14


def sample_tiles(grid: TileGrid) -> list[Tile]:
    """Choose small tiles that are spread over the picture."""
    tiles = grid.split(whole(grid.height, grid.width), grid.side(_SIDE))
    count = min(_TILES, len(tiles))
    return [tiles[round((k + 0.5) * len(tiles) / count - 0.5)] for k in range(count)]


def with_added_noise(tile: BurstTile, generator: torch.Generator) -> BurstTile:
    """Add noise to every frame of a tile, and raise the noise that the model assumes accordingly."""
    gain, read = (noise.mean((-2, -1)).reshape(-1, 1, 1) for noise in (tile.shot_gain, tile.read_variance))
    sources = []
    for source in tile.sources:
        sigma = (source.clamp(min=0) * gain + read).sqrt()
        noise = torch.randn(source.shape, generator=generator).to(source.device)
        sources.append(source + _ADDED * sigma * noise)
    factor = 1 + _ADDED**2
    return replace(
        tile,
        sources=tuple(sources),
        shot_gain=tile.shot_gain * factor,
        read_variance=tile.read_variance * factor,
    )


def noise_of_difference(
    first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]
) -> NoiseProfile | None:
    """Fit a noise profile to the difference caused by added noise.

    Args:
        first: Tiles merged `with_added_noise`, (3, H, W) RGB or (1, H, W) RGGB mosaic, H and W even.
        second: The same tiles with other added noise.

    Returns:
        The profile, source "burst"; None if too little of the tiles is unclipped.
    """
    lines = []
    for plane in range(4):
        pairs = [(_plane(a, plane), _plane(b, plane)) for a, b in zip(first, second, strict=True)]
        level = np.concatenate([a.ravel() for a, _ in pairs]).astype(np.float64)
        variance = np.concatenate([(b - a).ravel() for a, b in pairs]).astype(np.float64) ** 2 / (
            2 * _ADDED**2
        )
        line = _fit(level, variance)
        if line is None:
            return None
        lines.append(line)
    gains, reads = zip(*lines, strict=True)
    return NoiseProfile(gains, reads, "burst")


def _plane(picture: NDArray[np.float32], plane: int) -> NDArray[np.float32]:
    """Return one packed plane (R, Gr, Gb or B) of a picture."""
    if len(picture) == 3:
        return picture[(0, 1, 1, 2)[plane]]
    return picture[0, plane // 2 :: 2, plane % 2 :: 2]


def _fit(level: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float] | None:
    """Fit variance = gain * level + read, both at least 0, to the mean variances of bins of equal size.

    A least-squares fit of relative errors determines the ratio of gain and read. The mean over all pixels
    determines the scale, because more noise remains at edges, which only few bins contain.
    """
    keep = level < _WHITE
    order = np.argsort(level[keep])
    if order.size < _BINS * _LEAST_IN_BIN:
        return None
    x, v = (
        np.array([part.mean() for part in np.array_split(values[keep][order], _BINS)])
        for values in (level, variance)
    )
    x, v = np.maximum(x, 0), np.maximum(v, _TINY)
    (gain, read), *_ = np.linalg.lstsq(np.stack([x / v, 1 / v], 1), np.ones_like(v), rcond=None)
    if gain < 0:
        gain, read = 0.0, (1 / v).sum() / (1 / v**2).sum()
    elif read < 0:
        gain, read = (x / v).sum() / (x**2 / v**2).sum(), 0.0
    scale = v.sum() / (gain * x + read).sum()
    return float(scale * gain), float(scale * read)
