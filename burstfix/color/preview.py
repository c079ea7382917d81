"""A small rendered picture of a merged burst, for the preview inside a DNG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import MONOCHROME
from burstfix.color.orientation import as_stored
from burstfix.color.planes import block_mean
from burstfix.color.rendering import render
from burstfix.types import LinearImage, RenderedImage

_PREVIEW_SIDE = 1280


def preview_of(linear: LinearImage) -> RenderedImage:
    """Render a small picture of a merged burst. Its settings describe the merge.

    The look is `plain`, because RawTherapee adapts its tone curve to the preview: with any other look, the
    brightness of the DNG would differ from that of the raws.
    """
    small = small_rgb(linear.shown(step=2), linear.metadata.cfa)
    return replace(render(LinearImage(small, linear.metadata), look="plain"), settings=linear.settings)


def preview_as_stored(preview: RenderedImage, orientation: int) -> RenderedImage:
    """Return an upright preview in the order of the sensor.

    In a DNG, Orientation applies to the preview too.
    """
    return replace(preview, data=np.ascontiguousarray(as_stored(preview.data, orientation)))


def small_rgb(data: NDArray[np.float32], cfa: str, side: int = _PREVIEW_SIDE) -> NDArray[np.float32]:
    """Reduce a picture or a mosaic by averaging blocks of even size.

    Args:
        data: Camera RGB (3, H, W) or a mosaic (1, H, W).
        cfa: Pattern of the mosaic, or MONOCHROME.
        side: Requested length of the longer side in pixels; the result is up to twice as long.

    Returns:
        (3, h, w) camera RGB.
    """
    channels, height, width = data.shape
    block = max(2, max(height, width) // side // 2 * 2)
    block_y, block_x = min(block, height), min(block, width)
    data = data[:, : height // block_y * block_y, : width // block_x * block_x]  # all phases get equal sizes
    if channels == 3:
        return block_mean(data, block_y, block_x)
    if cfa == MONOCHROME:
        return np.repeat(block_mean(data, block_y, block_x), 3, axis=0)
    data = data[:, : height // 2 * 2, : width // 2 * 2]  # so that all planes have the same size
    means = []
    for colour in "RGB":
        phases = [divmod(k, 2) for k, letter in enumerate(cfa) if letter == colour]
        planes = [block_mean(data[:, y::2, x::2], block_y // 2, block_x // 2)[0] for y, x in phases]
        means.append(np.mean(planes, axis=0))
    return np.stack(means).astype(np.float32)
