"""How sharp a frame is, so that frames of one burst can be compared."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sharpness(NamedTuple):
    """Energies of a picture's gradient, per pixel.

    Attributes:
        energy: Without the share that noise has in it, 0 or more; meaningful only against other frames of the
            same scene.
        noise: That share. Where a scene shows next to nothing, `energy` is a small part of it, by chance.
    """

    energy: float
    noise: float


def sharpness(gray: Tensor) -> Sharpness:
    """Energy of the gradient of a picture, with the share that noise has in it taken away.

    Args:
        gray: (h, w) with white noise of one strength everywhere (variance-stabilised), as
            `align.blocks.gray_features` gives; reduced by 2 the noise weighs less.
    """
    small = torch.nn.functional.avg_pool2d(gray[None, None].float(), 2)[0, 0]
    # White noise gives the differences over one and over two pixels the same energy; blur takes from the
    # first more than from the second. The diagonal second difference is almost pure noise and measures it.
    noise = 4 * _second_difference_energy(small)
    across = (small[:, 1:] - small[:, :-1]).square().mean()
    down = (small[1:, :] - small[:-1, :]).square().mean()
    return Sharpness(max(float(across + down - noise), 0.0), float(noise))


def _second_difference_energy(x: Tensor) -> Tensor:
    """Variance of the noise from the flattest half of the picture: x11 - x01 - x10 + x00 has 4 times it."""
    cross = x[1:, 1:] - x[:-1, 1:] - x[1:, :-1] + x[:-1, :-1]
    # Median of the squares of normal numbers of variance 1 is 0.4549.
    return cross.square().flatten()[:: max(1, cross.numel() // 400_000)].median() / 0.4549 / 4
