"""Equalise the two greens of a mosaic, because a difference causes a maze pattern.

Crosstalk between neighbouring pixels makes the greens of red rows and of blue rows differ by a few percent,
depending on the colour of the light. In a single frame, noise hides this difference. In a merged mosaic,
demosaicking makes it visible as a maze. A smooth gain for each green brings both to their mean. Only the part
of the difference that is significant relative to noise and texture is corrected.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.cfa import CFA_PATTERNS
from burstfix.types import LinearImage, NoiseProfile

_RADIUS = 8  # packed pixels; the gain is a mean over 17x17
_SIGNIFICANT = 2.0  # standard errors of the mean; smaller differences are not corrected
_MAX_DIFFERENCE = 0.1  # relative difference; larger ones are edges, not crosstalk
_NEAR_WHITE = 0.95  # above this level the gain fades out, so that clipped pixels keep their value
_ROWS = 512  # packed rows processed at once


def balance_greens(linear: LinearImage, noise: NoiseProfile | None = None) -> LinearImage:
    """Bring the two greens of a Bayer mosaic to their local mean.

    Args:
        linear: Any linear image. Pictures without a Bayer mosaic are returned unchanged.
        noise: Noise of the mosaic, if known.

    Returns:
        A new mosaic with the red and blue pixels of `linear`.
    """
    cfa = linear.metadata.cfa
    if linear.data.shape[0] != 1 or cfa not in CFA_PATTERNS:
        return linear
    result = linear.data.copy()
    upper, lower = ((k // 2, k % 2) for k, color in enumerate(cfa) if color == "G")
    greens = [torch.from_numpy(result[0, y::2, x::2]) for y, x in (upper, lower)]
    height, width = (min(green.shape[k] for green in greens) for k in (0, 1))
    if min(height, width) < 2 * _RADIUS:
        return linear
    before = [green[:height, :width].clone() for green in greens]
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        start, end = max(0, top - 2 * _RADIUS), min(height, bottom + 2 * _RADIUS)
        difference = _difference(before[0][start:end], before[1][start:end], lower[1] - upper[1], noise)
        half = 0.5 * difference[top - start : bottom - start]
        for green, own, sign in zip(greens, before, (1.0, -1.0), strict=True):
            part = own[top:bottom]
            unclipped = ((1 - part) / (1 - _NEAR_WHITE)).clamp(0, 1)
            green[top:bottom, :width] = part * (1 + sign * half * unclipped)
    return replace(linear, data=result)


def _difference(a: Tensor, b: Tensor, step: int, noise: NoiseProfile | None) -> Tensor:
    """Return the significant part of (b - a) / mean, averaged locally.

    Args:
        a, b: (h, w) greens of the upper and the lower row of each quad.
        step: 1 if b is to the right of a in its quad, -1 if it is to the left.
        noise: Noise of both greens.
    """
    # b lies in the middle of four pixels of a, so their mean is compared with b.
    right = torch.roll(a, -step, 1)
    below, beyond = torch.roll(a, -1, 0), torch.roll(right, -1, 0)
    around = torch.stack([a, right, below, beyond])
    base = around.mean(0)
    delta = b - base
    # In texture, the four pixels differ, and their mean is a less reliable prediction of b.
    spread = around.var(0)
    level = base.clamp(min=0)
    variance = spread + (
        1.25 * (_mean(noise.shot_gain) * level + _mean(noise.read_variance)) if noise else 0.0
    )
    clipped = (around.amax(0) > _NEAR_WHITE) | (b > _NEAR_WHITE)
    weight = 1 / (variance + (0.01 * level) ** 2 + 1e-10)
    weight[clipped] = 0
    weight[-1], weight[:, -1 if step > 0 else 0] = 0, 0  # because `roll` wraps around at the border
    total, signal = _box(weight), _box(weight * level)
    difference = _box(weight * delta) / signal.clamp(min=1e-12)
    # The scatter of delta, which includes noise and texture, gives the variance of the weighted mean.
    residual = delta - difference * level
    error = _box(weight**2 * residual**2).sqrt() / signal.clamp(min=1e-12)
    kept = (1 - (_SIGNIFICANT * error / difference.abs().clamp(min=1e-12)) ** 2).clamp(min=0)
    kept[(difference.abs() > _MAX_DIFFERENCE) | (total <= 0)] = 0
    return _box(difference * kept) / (2 * _RADIUS + 1) ** 2


def _box(x: Tensor) -> Tensor:
    """Sum over a square around each pixel, mirrored at the borders."""
    r = _RADIUS
    padded = F.pad(x[None, None], (r, r, r, r), mode="reflect")
    rows = F.avg_pool2d(padded, (2 * r + 1, 1), 1)
    return F.avg_pool2d(rows, (1, 2 * r + 1), 1)[0, 0] * (2 * r + 1) ** 2


def _mean(values: tuple[float, ...]) -> float:
    return (values[1] + values[2]) / 2
