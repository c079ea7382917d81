"""Measure the noise that remains in a merged picture."""

from __future__ import annotations

import numpy as np
import torch

from burstfix.analysis.noise_estimate import estimate_from_frame
from burstfix.raw.cfa import mosaic, pack, pad_to_rggb
from burstfix.types import LinearImage, NoiseProfile

_NOISE_SIDE = 1024  # side of the central patch in which noise is measured, sensor pixels


def noise_left(linear: LinearImage) -> NoiseProfile | None:
    """Measure the noise of a merged picture in its flat parts.

    Args:
        linear: A merged picture or mosaic; its settings contain the noise of the frames.

    Returns:
        The profile, at most as large as that of the frames. If there are no flat, unclipped parts, the
        profile that a mean of all frames would have. None if the picture is too small or the noise of the
        frames is unknown.
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
    pixels = torch.from_numpy(np.ascontiguousarray(part))
    if len(pixels) == 3:
        pixels, cfa = mosaic(pixels)[None], "RGGB"
    packed = pack(pad_to_rggb(pixels[0], cfa).mosaic)
    try:
        measured = estimate_from_frame(packed).profile
    except ValueError:  # too few flat, unclipped parts: assume that the frames were averaged
        share = 1 / max(1, len(linear.settings.get("frames", ())))
        gains, reads = ([share * x for x in before[name]] for name in ("shot_gain", "read_variance"))
        return NoiseProfile(_four(gains), _four(reads), "frame")

    def limited(now: tuple[float, ...], most: list[float]) -> tuple[float, float, float, float]:
        # Merging does not reduce noise a thousandfold; smaller values come from synthetic pictures.
        kept = [float(np.clip(n, m / 1000, m)) for n, m in zip(now, most, strict=True)]
        return _four(kept)

    return NoiseProfile(
        limited(measured.shot_gain, before["shot_gain"]),
        limited(measured.read_variance, before["read_variance"]),
        "frame",
    )


def _four(values: list[float]) -> tuple[float, float, float, float]:
    return (values[0], values[1], values[2], values[3])
