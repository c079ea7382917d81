"""Measure the sharpness of frames, to compare the frames of one burst."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sharpness(NamedTuple):
    """Energy of the gradient of a picture, per pixel.

    Attributes:
        energy: Energy without the contribution of noise, at least 0; comparable only between frames of one
            scene.
        noise: Contribution of noise to the energy. If the scene has little detail, `energy` is a small,
            random fraction of `noise`.
    """

    energy: float
    noise: float


def sharpness(gray: Tensor) -> Sharpness:
    """Measure the energy of the gradient of a picture, corrected for noise.

    Args:
        gray: (h, w) with white noise of uniform strength, from `align.blocks.gray_features`. The function
            first halves the size of the picture, to reduce the noise.
    """
    small = torch.nn.functional.avg_pool2d(gray[None, None].float(), 2)[0, 0]
    # The diagonal second difference contains almost only noise.
    noise = 4 * _noise_variance(small)
    across = (small[:, 1:] - small[:, :-1]).square().mean()
    down = (small[1:, :] - small[:-1, :]).square().mean()
    return Sharpness(max(float(across + down - noise), 0.0), float(noise))


def _noise_variance(x: Tensor) -> Tensor:
    """Estimate the noise variance.

    In flat areas, x11 - x01 - x10 + x00 has four times the variance of the noise.
    """
    cross = x[1:, 1:] - x[:-1, 1:] - x[1:, :-1] + x[:-1, :-1]
    # 0.4549 is the median of the square of a standard normal variable.
    return cross.square().flatten()[:: max(1, cross.numel() // 400_000)].median() / 0.4549 / 4
