"""The loss of each network: what a step of training asks of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.models.base import BurstModel, Merged
from burstfix.models.two_stage import TwoStage
from burstfix.sim import SimulatedBurst, mosaic_packed, to_display
from burstfix.training.aligned import align_frames, draw_border, inner, with_border
from burstfix.training.recipe import LossSettings, Recipe

CHARBONNIER = 1e-6  # under the root, as in the two-stage paper's published settings
DISPLAY_FLOOR = 1e-3  # bounds the slope of x^(1/2.2) at black to about 20
RAISED_MEAN, RAISED_NOISE = 0.18, 0.05  # of white: how bright, and how noisy, a raised patch becomes at most
RAISED_LIMIT = 32.0  # five stops
BEST_PSNR = 60.0  # dB; where the loss of decibels ends

Losses = dict[str, Tensor]
Objective = Callable[[BurstModel, SimulatedBurst, Recipe, int], Losses]


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    """Mean of sqrt((a - b)^2 + 1e-6)."""
    return torch.sqrt((a - b) ** 2 + CHARBONNIER).mean()


def picture_loss(rgb: Tensor, burst: SimulatedBurst, margin: int, settings: LossSettings) -> Losses:
    """Charbonnier on linear and on display RGB; `rgb` (B, 3, 2p, 2p) is the patch without margin.

    Below the floor the display loss is blind. "raised" is the same loss of patches as bright as somebody who
    raises the shadows would make them, who stops where noise would show. "psnr" is what each patch's display
    PSNR lacks of 60 dB: all patches count alike, the clean ones too, and in each of them large errors most.
    """
    truth = inner(burst.clean[:, burst.reference], 2 * margin)

    def displayed(gain: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        with torch.autocast(rgb.device.type, enabled=False):  # bfloat16 would round small errors away
            found, expected = (to_display(gain * x, burst.camera, DISPLAY_FLOOR) for x in (rgb, truth))
        return found, expected

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
        mean = (truth.mean((-2, -1)) * burst.camera.gains).mean(1).clamp(min=1e-6)
        noise = torch.sqrt(mean * burst.shot_gain[:, 0, 0, 0, 0] + burst.read_variance[:, 0, 0, 0, 0])
        gain = torch.minimum(RAISED_MEAN / mean, RAISED_NOISE / noise).clamp(1, RAISED_LIMIT)
        losses["raised"] = settings.raised * charbonnier(*displayed(gain[:, None, None, None]))
    return losses


def kpn_losses(model: BurstModel, burst: SimulatedBurst, recipe: Recipe, step: int) -> Losses:
    """Picture loss and those of the predicted kernels."""
    frames, burst = _aligned(model, burst, recipe, step)
    merged = model(frames, burst.shot_gain, burst.read_variance, burst.reference)
    picture = picture_loss(merged.rgb.float(), burst, recipe.train.margin, recipe.loss)
    return picture | kernel_losses(merged, burst, recipe, step)


def kernel_losses(merged: Merged, burst: SimulatedBurst, recipe: Recipe, step: int) -> Losses:
    """Charbonnier on what kernels give, mosaic and all colours; the annealed one on each frame's own."""
    margin, settings = recipe.train.margin, recipe.loss
    truth = _gamma(inner(mosaic_packed(burst.clean[:, burst.reference]), margin))
    assert merged.mosaic is not None
    losses = {"mosaic": settings.mosaic * charbonnier(_gamma(merged.mosaic.float()), truth)}
    if "color" in merged.extra:
        every = _gamma(inner(burst.clean[:, burst.reference], 2 * margin))
        losses["color"] = settings.mosaic * charbonnier(_gamma(merged.extra["color"].float()), every)
    annealing = settings.annealing * 0.01 ** (step / max(settings.annealing_steps, 1))
    if "frames" in merged.extra and annealing > 1e-4:
        losses["alone"] = annealing * charbonnier(_gamma(merged.extra["frames"].float()), truth[:, None])
    return losses


def two_stage_losses(model: BurstModel, burst: SimulatedBurst, recipe: Recipe, step: int) -> Losses:
    """Picture loss, interpolation loss, and those of kernels or of block matching where these are learned.

    Block matching is supervised by the clean frames for the first third of the training, with a softmax of
    temperature 1e-2; afterwards it is 1e-3 (the paper's schedule).
    """
    assert isinstance(model, TwoStage)
    margin, settings = recipe.train.margin, recipe.loss
    early = step < recipe.train.steps / 3
    if model.coarse is None:
        frames, burst = _aligned(model, burst, recipe, step)
        merged = model(frames, burst.shot_gain, burst.read_variance, burst.reference)
    else:
        merged = model.train_forward(
            burst.noisy,
            burst.shot_gain,
            burst.read_variance,
            burst.reference,
            margin=margin,
            temperature=1e-2 if early else 1e-3,
            clean=mosaic_packed(burst.clean) if early else None,
        )
    losses = picture_loss(merged.rgb.float(), burst, margin, settings)
    if "interpolation" in merged.extra:
        truth = inner(burst.clean[:, burst.reference], 2 * margin)
        between = merged.extra["interpolation"].float()
        losses["interpolation"] = settings.interpolation * charbonnier(
            _edges(truth) * between, _edges(truth) * truth
        )
    if merged.mosaic is not None and merged.mosaic.requires_grad:
        losses |= kernel_losses(merged, burst, recipe, step)
    if model.coarse is not None:
        matching = merged.extra["one_hot"] + merged.extra["supervision"]
        losses["matching"] = settings.matching * matching
    return losses


def _aligned(
    model: BurstModel, burst: SimulatedBurst, recipe: Recipe, step: int
) -> tuple[Tensor, SimulatedBurst]:
    """The block-matched frames, and the burst with the truth that belongs to them; see `draw_border`."""
    border = draw_border(recipe.train, step)
    frames = align_frames(model, burst, recipe.train.margin, border)
    return frames, burst if border is None else with_border(burst, border)


def _edges(truth: Tensor) -> Tensor:
    """(B, 1, H, W) in 0..1: 1 on edges. The mask of the interpolation loss: only detail has to be carried."""
    green = truth[:, 1:2]
    across = (green[..., :, 1:] - green[..., :, :-1]).abs()[..., 1:, :]
    down = (green[..., 1:, :] - green[..., :-1, :]).abs()[..., :, 1:]
    change = F.pad(across + down, (1, 0, 1, 0))
    mean = change.mean((-2, -1), keepdim=True).clamp(min=1e-4)
    return (change / (2 * mean)).clamp(max=1)


def _gamma(x: Tensor) -> Tensor:
    return x.clamp(min=DISPLAY_FLOOR) ** (1 / 2.2)


OBJECTIVES: dict[str, Objective] = {
    "kpn": kpn_losses,
    "two-stage": two_stage_losses,
    "two-stage-lite": two_stage_losses,
}
