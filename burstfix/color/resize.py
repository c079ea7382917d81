"""Reduce pictures in linear light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from burstfix.color.spaces import TransferCurve, color_space
from burstfix.types import RenderedImage


def smaller(image: RenderedImage, *, scale: float = 1.0, max_size: int = 0) -> RenderedImage:
    """Reduce a picture with a Lanczos filter in linear light.

    Averaging encoded values would darken fine detail and shift its colours.

    Args:
        image: The picture. Its settings contain its colour space (sRGB if absent).
        scale: Scale factor for height and width, above 0 and at most 1.
        max_size: Largest height and width in pixels; 0 for no limit.

    Returns:
        The reduced picture, or `image` itself if it is small enough.
    """
    height, width = image.data.shape[:2]
    size = reduced_size(height, width, scale, max_size)
    if size == (height, width):
        return image
    render = image.settings.get("render") or {}
    curve = color_space(render.get("color_space", "srgb")).curve
    settings = {**image.settings, "render": {**render, "reduced_from": [height, width]}}
    return replace(image, data=_resample(image.data, size, curve), settings=settings)


def reduced_size(height: int, width: int, scale: float, max_size: int) -> tuple[int, int]:
    """Return height and width after scaling; proportions are kept to the nearest pixel.

    >>> reduced_size(3000, 4000, 0.5, 1600)
    (1200, 1600)
    """
    if max_size:
        scale = min(scale, max_size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resample(data: NDArray[np.uint16], size: tuple[int, int], curve: TransferCurve) -> NDArray[np.uint16]:
    """Reduce (H, W, 3) encoded values, one channel at a time."""
    linear = curve.decode(np.arange(65536) / 65535).astype(np.float32)
    result = np.empty((*size, data.shape[2]), np.uint16)
    for k in range(data.shape[2]):
        channel = Image.fromarray(linear[data[..., k]])
        reduced = np.asarray(channel.resize((size[1], size[0]), Image.Resampling.LANCZOS)).clip(0.0, 1.0)
        result[..., k] = np.rint(curve.encode(reduced) * np.float32(65535))
    return result
