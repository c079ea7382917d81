"""From a merged burst to a DNG: the preview inside it, and the noise that is left, worked out here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.color import render
from burstfix.color.orientation import as_stored
from burstfix.io.merged_dng_writer import write_merged_dng
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.noise import estimate_from_frame
from burstfix.types import MONOCHROME, LinearImage, NoiseProfile, RenderedImage

_PREVIEW_SIDE = 1280
_NOISE_SIDE = 1024  # sensor pixels on a side of each patch in which noise is measured


def write_dng(
    linear: LinearImage, path: Path | str, *, preview: RenderedImage | None = None, overwrite: bool = False
) -> Path:
    """Writes a merged burst as a DNG: linear, or a Bayer mosaic where `linear.data` has one channel.

    Args:
        linear: From `merge_burst`.
        path: Where to; ".dng" by custom.
        preview: From `preview_of`, by default made here.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path written.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    data, metadata = linear.data, linear.metadata
    preview = preview or preview_of(linear)
    # The file's Orientation holds for the preview as well.
    stored = np.ascontiguousarray(as_stored(preview.data, metadata.orientation))
    preview = replace(preview, data=stored)
    if metadata.cfa == MONOCHROME:
        data = data[:1]
    return write_merged_dng(path, data, metadata, preview, noise=noise_left(linear), overwrite=overwrite)


def preview_of(linear: LinearImage) -> RenderedImage:
    """A small picture of a merged burst, as a camera would show it; its settings say how it was merged."""
    small = _small_rgb(linear.shown(step=2), linear.metadata.cfa)
    return replace(render(LinearImage(small, linear.metadata)), settings=linear.settings)


def noise_left(linear: LinearImage) -> NoiseProfile | None:
    """The noise of a merged picture, measured in its flat parts; never more than the frames had.

    None where the settings do not say what the frames had.
    """
    before = linear.settings.get("noise")
    if not before:
        return None
    data, cfa = linear.data, linear.metadata.cfa
    _, height, width = data.shape
    top, left = max(0, (height - _NOISE_SIDE) // 2) // 2 * 2, max(0, (width - _NOISE_SIDE) // 2) // 2 * 2
    part = data[:, top : top + _NOISE_SIDE, left : left + _NOISE_SIDE]
    if min(part.shape[1:]) < 32:
        return None
    packed = pack(pad_to_rggb(torch.from_numpy(_as_mosaic(part, cfa)), "RGGB").mosaic)
    try:
        measured = estimate_from_frame(packed)
    except ValueError:  # hardly a flat, unclipped part: at best the frames' noise has averaged out
        share = 1 / max(1, len(linear.settings.get("frames", ())))
        gains, reads = ([share * x for x in before[name]] for name in ("shot_gain", "read_variance"))
        return NoiseProfile(_four(gains), _four(reads), "frame")

    def limited(now: tuple[float, ...], most: list[float]) -> tuple[float, float, float, float]:
        # Merging never takes out a thousandfold: so little is an empty, clipped or painted picture.
        kept = [float(np.clip(n, m / 1000, m)) for n, m in zip(now, most, strict=True)]
        return _four(kept)

    return NoiseProfile(
        limited(measured.shot_gain, before["shot_gain"]),
        limited(measured.read_variance, before["read_variance"]),
        "frame",
    )


def _as_mosaic(part: NDArray[np.float32], cfa: str) -> NDArray[np.float32]:
    """(H, W) in RGGB order, of a picture or a mosaic of any pattern."""
    if part.shape[0] == 3:
        mosaic = part[1].copy()
        mosaic[0::2, 0::2], mosaic[1::2, 1::2] = part[0, 0::2, 0::2], part[2, 1::2, 1::2]
        return mosaic
    top, left = divmod(cfa.index("R"), 2) if cfa != MONOCHROME else (0, 0)
    return np.ascontiguousarray(part[0, top:, left:])


def _small_rgb(data: NDArray[np.float32], cfa: str) -> NDArray[np.float32]:
    """(3, h, w) averaged down in even blocks to about the preview's size."""
    channels, height, width = data.shape
    block = max(2, max(height, width) // _PREVIEW_SIDE // 2 * 2)
    rows, cols = max(1, height // block), max(1, width // block)
    block_y, block_x = min(block, height), min(block, width)
    blocks = data[:, : rows * block_y, : cols * block_x].reshape(channels, rows, block_y, cols, block_x)
    if channels == 3:
        return blocks.mean((2, 4), dtype=np.float32)
    if cfa == MONOCHROME:
        return np.repeat(blocks.mean((2, 4), dtype=np.float32), 3, axis=0)
    means = []
    for colour in "RGB":
        phases = [divmod(k, 2) for k, letter in enumerate(cfa) if letter == colour]
        means.append(np.mean([blocks[0, :, y::2, :, x::2].mean((1, 3)) for y, x in phases], axis=0))
    return np.stack(means).astype(np.float32)


def _four(values: list[float]) -> tuple[float, float, float, float]:
    return (values[0], values[1], values[2], values[3])
