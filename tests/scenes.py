"""Synthetic test scenes with texture, edges, discs and gradients, and noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burstfix.raw.cfa import mosaic as mosaic_of

__all__ = ["add_noise", "draw_scene", "mosaic_of"]


def draw_scene(height: int, width: int, seed: int = 0) -> Tensor:
    """Draw (3, height, width) linear RGB in 0..0.9: smooth colour, band-limited texture, discs."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(xs / (37 + 9 * c) + c) * np.cos(ys / (53 + 7 * c)) for c in range(3)]
    rgb = 0.25 + 0.15 * np.stack(waves)
    for period in (5.3, 9.7, 17.0):
        angle = rng.uniform(0, np.pi)
        wave = np.sin(2 * np.pi * (xs * np.cos(angle) + ys * np.sin(angle)) / period)
        mask = np.sin(xs / 61 + rng.uniform(0, 6)) * np.sin(ys / 47 + rng.uniform(0, 6)) > 0.2
        rgb += 0.06 * wave * mask
    for _ in range(max(6, height * width // 2500)):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(2, 14)
        disc = np.clip(r - np.hypot(ys - cy, xs - cx), 0, 1)
        colour = rng.uniform(0.02, 0.85, 3).astype(np.float32)
        rgb = rgb * (1 - disc) + colour[:, None, None] * disc
    return torch.from_numpy(np.clip(rgb, 0.0, 0.9).astype(np.float32))


def add_noise(x: Tensor, shot_gain: float, read_variance: float, seed: int) -> Tensor:
    """Add normal noise of variance shot_gain * x + read_variance, unclipped."""
    generator = torch.Generator().manual_seed(seed)
    std = torch.sqrt(torch.clamp(x, min=0) * shot_gain + read_variance)
    return x + std * torch.randn(x.shape, generator=generator)
