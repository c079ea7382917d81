"""Frames of a synthetic scene with known motion."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.global_motion import estimate_global_motion, reduce_picture
from burstfix.types import GlobalMotion
from tests.scenes import add_noise, mosaic_of

HIGH_SHOT_GAIN, HIGH_READ_VARIANCE = 6.4e-3, 4e-4
"""High noise level of the test protocol in papers on burst denoising, normalised units."""


def view(scene: Tensor, motion: GlobalMotion, height: int, width: int) -> Tensor:
    """Return (3, height, width): the scene after a motion of the camera about the centre."""
    ys = torch.arange(height) - (height - 1) / 2 - motion.dy
    xs = torch.arange(width) - (width - 1) / 2 - motion.dx
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    cos, sin = math.cos(motion.angle), math.sin(motion.angle)
    # The inverse of rotate(angle) as `GlobalMotion` defines it.
    source_y, source_x = cos * y - sin * x, sin * y + cos * x
    scene_height, scene_width = scene.shape[-2:]
    grid = torch.stack([source_x / ((scene_width - 1) / 2), source_y / ((scene_height - 1) / 2)], -1)
    return F.grid_sample(scene[None], grid[None], mode="bicubic", align_corners=True, padding_mode="border")[
        0
    ]


def packed_frame(rgb: Tensor, seed: int) -> Tensor:
    """Return a packed mosaic (1, 4, h, w) with high noise."""
    mosaic = add_noise(mosaic_of(rgb), HIGH_SHOT_GAIN, HIGH_READ_VARIANCE, seed)
    return F.pixel_unshuffle(mosaic[None, None], 2)


def motion_between(reference: Tensor, frame: Tensor) -> GlobalMotion:
    """Estimate the global motion of a grey packed picture (h, w)."""
    return estimate_global_motion(reduce_picture(reference), reduce_picture(frame))
