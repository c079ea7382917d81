"""Loss terms for training. A model combines them to its own loss (`BurstModel.losses`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from burstfix.models.base import Merged

CHARBONNIER = 1e-6  # added under the root; value from the published settings of the two-stage paper
DISPLAY_FLOOR = 1e-3  # limits the slope of x^(1/2.2) near black to about 20
# Limits of mean and noise after brightening, relative to white.
RAISED_MEAN, RAISED_NOISE = 0.18, 0.05
RAISED_LIMIT = 32.0  # largest gain: five stops
BEST_PSNR = 60.0  # dB; above it, the PSNR loss is zero

Losses = dict[str, Tensor]
"""Weighted loss terms by name; their sum is minimised."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Weights of the loss terms.

    Attributes:
        linear, display: Charbonnier loss on linear camera RGB and on display RGB.
        psnr: Weight of each decibel by which the display PSNR of a patch is below 60 dB.
        raised: Display loss of dark patches after brightening.
        mosaic: Charbonnier loss on the denoised mosaic, and on the colours if kernels predict them.
        annealing: Initial weight of the loss of parts of the kernels alone: of each single frame, or of each
            group of samples (deformable kernels).
        annealing_steps: Number of steps in which this weight falls to a hundredth.
        interpolation: Interpolation loss (two-stage).
        matching: Losses of learned block matching (two-stage).
    """

    linear: float = 1.0
    display: float = 1.0
    psnr: float = 0.0
    raised: float = 0.0
    mosaic: float = 0.5
    annealing: float = 2.0
    annealing_steps: int = 500
    interpolation: float = 0.1
    matching: float = 0.1


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Data of one training step, the argument of `BurstModel.losses`.

    Patches have p x p packed pixels. A model with `learns_alignment` gets unaligned frames with `margin`
    additional pixels on each side. All other models get frames that are aligned by block matching.

    Attributes:
        frames: (B, N, 4, p, p) noisy packed frames, or (B, N, 4, p + 2 * margin, p + 2 * margin).
        clean_frames: Frames without noise for a model with `learns_alignment`; otherwise None.
        truth: (B, 3, 2p, 2p) linear camera RGB of the reference.
        truth_mosaic: (B, 4, p, p) packed mosaic of `truth`.
        shot_gain, read_variance: (B, 1, 4, 1, 1) noise profiles.
        reference: Index of the reference in N.
        display: Function that converts linear camera RGB (B, 3, H, W) to display RGB. Its second argument is
            the smallest value before the power function.
        white_balance: (B, 3) white balance gains.
        margin: Width of the margin in packed pixels.
        step: Number of the step, counted from 0.
        progress: Completed share of the training, 0 to 1.
        settings: Weights of the loss terms.
    """

    frames: Tensor
    clean_frames: Tensor | None
    truth: Tensor
    truth_mosaic: Tensor
    shot_gain: Tensor
    read_variance: Tensor
    reference: int
    display: Callable[[Tensor, float], Tensor]
    white_balance: Tensor
    margin: int
    step: int
    progress: float
    settings: LossSettings


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    """Compute the mean of sqrt((a - b)^2 + 1e-6)."""
    return torch.sqrt((a - b) ** 2 + CHARBONNIER).mean()


def picture_losses(rgb: Tensor, batch: TrainingBatch) -> Losses:
    """Compute the losses of the merged picture, in linear and in display RGB.

    Below `DISPLAY_FLOOR`, the display loss has no gradient. "raised" is the display loss after each dark
    patch has been brightened to a mean of 0.18, or as far as its noise permits. "psnr" is the difference
    between 60 dB and the display PSNR of each patch, so that all patches have the same weight even if their
    errors are small.

    Args:
        rgb: (B, 3, 2p, 2p) linear camera RGB.
        batch: The training data.
    """
    rgb, truth, settings = rgb.float(), batch.truth, batch.settings

    def displayed(gain: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        with torch.autocast(rgb.device.type, enabled=False):  # small errors would be lost in bfloat16
            return batch.display(gain * rgb, DISPLAY_FLOOR), batch.display(gain * truth, DISPLAY_FLOOR)

    found, expected = displayed()
    losses = {
        "linear": settings.linear * charbonnier(rgb, truth),
        "display": settings.display * charbonnier(found, expected),
    }
    if settings.psnr:
        errors = (found - expected).square().mean((-3, -2, -1))
        psnr = -10 * torch.log10(errors + 10 ** (-BEST_PSNR / 10))
        losses["psnr"] = settings.psnr * (BEST_PSNR - psnr).mean()
    if settings.raised:
        mean = (truth.mean((-2, -1)) * batch.white_balance).mean(1).clamp(min=1e-6)
        noise = torch.sqrt(mean * batch.shot_gain[:, 0, 0, 0, 0] + batch.read_variance[:, 0, 0, 0, 0])
        gain = torch.minimum(RAISED_MEAN / mean, RAISED_NOISE / noise).clamp(1, RAISED_LIMIT)
        losses["raised"] = settings.raised * charbonnier(*displayed(gain[:, None, None, None]))
    return losses


def mosaic_loss(mosaic: Tensor, batch: TrainingBatch) -> Losses:
    """Compute the Charbonnier loss of a denoised packed mosaic (B, 4, p, p) after gamma encoding."""
    return {"mosaic": batch.settings.mosaic * charbonnier(_gamma(mosaic.float()), _gamma(batch.truth_mosaic))}


def kernel_losses(merged: Merged, batch: TrainingBatch) -> Losses:
    """Compute the losses of predicted kernels: mosaic, all colours, and the annealed loss of their parts.

    The annealed loss makes each part useful alone, before all parts learn to work together (deformable
    kernels, equation 11). The parts are the frames, or groups of samples.
    """
    assert merged.mosaic is not None
    settings = batch.settings
    losses = mosaic_loss(merged.mosaic, batch)
    if "color" in merged.extra:
        color = _gamma(merged.extra["color"].float())
        losses["color"] = settings.mosaic * charbonnier(color, _gamma(batch.truth))
    annealing = settings.annealing * 0.01 ** (batch.step / max(settings.annealing_steps, 1))
    if "alone" in merged.extra and annealing > 1e-4:
        single = _gamma(merged.extra["alone"].float())
        losses["alone"] = annealing * charbonnier(single, _gamma(batch.truth_mosaic)[:, None])
    return losses


def interpolation_loss(rgb: Tensor, batch: TrainingBatch) -> Losses:
    """Compute the edge loss of a picture (B, 3, 2p, 2p) merged without the reference (two-stage paper)."""
    edges = _edges(batch.truth)
    loss = charbonnier(edges * rgb.float(), edges * batch.truth)
    return {"interpolation": batch.settings.interpolation * loss}


def _edges(truth: Tensor) -> Tensor:
    """Compute a mask (B, 1, H, W) in 0..1, 1 on edges."""
    green = truth[:, 1:2]
    across = (green[..., :, 1:] - green[..., :, :-1]).abs()[..., 1:, :]
    down = (green[..., 1:, :] - green[..., :-1, :]).abs()[..., :, 1:]
    change = F.pad(across + down, (1, 0, 1, 0))
    mean = change.mean((-2, -1), keepdim=True).clamp(min=1e-4)
    return (change / (2 * mean)).clamp(max=1)


def _gamma(x: Tensor) -> Tensor:
    return x.clamp(min=DISPLAY_FLOOR) ** (1 / 2.2)
