"""Gamut compression: smooth reduction of the chroma of out-of-gamut colours at constant lightness and hue.

Clipping maps every colour outside the gamut to its surface, so texture in saturated cloth or flowers becomes
a flat patch. Here the new chroma is a strictly increasing function of the old one, which preserves texture.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from burstfix.color.oklab import Oklab
from burstfix.color.spaces import color_space

START = 0.85
"""Colours up to this share of the largest chroma are unchanged."""

_LIGHTNESSES, _HUES = 129, 361
_BISECTIONS = 18
_MAX_CHROMA = 0.6  # exceeds the chroma of all display colours
_DEEP = np.float32(0.2)  # colours may be near the surface if min(RGB) is below this share of max(RGB)
_BRIGHT = np.float32(0.88)  # or if max(RGB) is above this


class GamutCompressor:
    """Compressor of chroma for one display colour space.

    Args:
        name: Name of the colour space.
    """

    def __init__(self, name: str) -> None:
        self._oklab = Oklab(color_space(name))
        self._limits = _largest_chroma(name)

    def compress(self, rgb: NDArray[np.float32], saturation: float = 1.0) -> NDArray[np.float32]:
        """Compress colours into the gamut.

        Args:
            rgb: (3, n) linear RGB with luminance in 0..1; components may lie outside 0..1. Changed in place.
            saturation: Multiplier of the chroma of every colour, applied before compression.

        Returns:
            The array `rgb`, each component in 0..1.
        """
        if saturation != 1.0:
            lab = self._oklab.from_rgb(rgb)
            lab[1:] *= np.float32(saturation)
            rgb[:] = self._oklab.to_rgb(lab)
        high = rgb.max(axis=0)
        edge = np.flatnonzero((rgb.min(axis=0) < _DEEP * high) | (high > _BRIGHT))
        if edge.size:
            part = np.take(rgb, edge, axis=1)
            lab = self._oklab.from_rgb(part)
            lightness = np.clip(lab[0], 0.0, 1.0)
            lab[0] = lightness
            chroma = np.hypot(lab[1], lab[2])
            limit = self._limit(lightness, lab[1], lab[2])
            lab[1:] *= _compressed(chroma, limit) / np.maximum(chroma, np.float32(1e-9))
            rgb[:, edge] = self._oklab.to_rgb(lab)
        return np.clip(rgb, 0.0, 1.0, out=rgb)

    def _limit(
        self, lightness: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Look up the largest chroma (n,) inside the gamut for each lightness and hue."""
        y = lightness * np.float32(_LIGHTNESSES - 1)
        x = (np.arctan2(b, a) + np.float32(np.pi)) * np.float32((_HUES - 1) / (2 * np.pi))
        row = np.minimum(y.astype(np.int32), _LIGHTNESSES - 2)
        col = np.clip(x.astype(np.int32), 0, _HUES - 2)
        y -= row
        x -= col
        corner = row * _HUES + col
        flat = self._limits.ravel()
        upper = flat[corner] * (1 - x) + flat[corner + 1] * x
        lower = flat[corner + _HUES] * (1 - x) + flat[corner + _HUES + 1] * x
        return np.maximum(upper * (1 - y) + lower * y, np.float32(1e-6))


def _compressed(chroma: NDArray[np.float32], limit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep chroma up to START * limit; compress larger values below `limit`, strictly increasing."""
    start = START * limit
    over = np.maximum(chroma - start, 0)
    room = limit - start
    bent = over / (1 + over / room)  # slope 1 at the start; approaches the limit at infinity
    return np.where(over > 0, start + bent, chroma)


@functools.cache
def _largest_chroma(name: str) -> NDArray[np.float32]:
    """Compute the largest Oklab chroma inside the gamut, (lightnesses, hues), for hues from -pi to pi."""
    oklab = Oklab(color_space(name))
    lightness, hue = np.meshgrid(
        np.linspace(0, 1, _LIGHTNESSES, dtype=np.float32),
        np.linspace(-np.pi, np.pi, _HUES, dtype=np.float32),
        indexing="ij",
    )
    low, high = np.zeros_like(lightness), np.full_like(lightness, _MAX_CHROMA)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        lab = (
            np.stack([lightness, middle * np.cos(hue), middle * np.sin(hue)])
            .astype(np.float32)
            .reshape(3, -1)
        )
        rgb = oklab.to_rgb(lab)
        inside = ((rgb.min(axis=0) >= -1e-4) & (rgb.max(axis=0) <= 1 + 1e-4)).reshape(lightness.shape)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


@functools.cache
def gamut_compressor(name: str) -> GamutCompressor:
    """Return the compressor of a colour space by its name; raise UsageError if the name is unknown."""
    return GamutCompressor(name)
