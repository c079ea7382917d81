"""Prepare the data of a training step: bursts simulated from photographs and aligned as in the engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from burstfix.models.base import BurstModel
from burstfix.models.losses import TrainingBatch
from burstfix.sim import SimulatedBurst, mosaic_packed, simulate_burst, to_display
from burstfix.training.aligned import align_frames, draw_border, inner, with_border
from burstfix.training.photos import PhotoStore
from burstfix.training.recipe import Recipe
from burstfix.training.validation import crop_size


@dataclass(frozen=True, slots=True)
class Patches:
    """Sizes of the simulated patches, in sensor pixels.

    Attributes:
        size: Side of a frame, including the margin.
        crop: Side of the crop of a photograph from which frames are rendered.
    """

    size: int
    crop: int

    @classmethod
    def of(cls, recipe: Recipe) -> Patches:
        """Return the sizes for a recipe."""
        size = 2 * (recipe.train.patch + 2 * recipe.train.margin)
        return cls(size, crop_size(size, recipe.simulate))


def draw_burst(
    store: PhotoStore, recipe: Recipe, step: int, rank: int = 0, processes: int = 1
) -> SimulatedBurst:
    """Simulate the bursts of one step.

    The result depends only on the seed of the recipe, the step and the process. Therefore a resumed run gets
    the same data as an uninterrupted run. All processes get the same number of frames, so that they take the
    same time.

    Args:
        store: Photographs.
        recipe: Settings.
        step: Number of the step, counted from 0.
        rank: Number of this process.
        processes: Number of processes.
    """
    settings, patches = recipe.train, Patches.of(recipe)
    device = store.pictures[0].device
    shape = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    low, high = settings.frames
    frames = int(torch.randint(low, high + 1, (), generator=shape))
    reference = int(torch.randint(0, frames, (), generator=shape))
    seed = settings.seed * 1_000_003 + step * processes + rank
    generator = torch.Generator(device=device).manual_seed(seed)
    # Crops are chosen on the CPU, because reading random numbers from a GPU would stall it.
    places = generator if device.type == "cpu" else torch.Generator().manual_seed(seed)
    return simulate_burst(
        store.crops(settings.batch, patches.crop, places),
        store.crops(settings.batch, patches.crop, places),
        frames=frames,
        reference=reference,
        height=patches.size,
        width=patches.size,
        settings=recipe.simulate,
        generator=generator,
    )


def training_batch(
    model: BurstModel, burst: SimulatedBurst, recipe: Recipe, step: int, progress: float = 0.0
) -> TrainingBatch:
    """Prepare simulated bursts for `model.losses`.

    Args:
        model: Model. It aligns the frames by block matching, unless it has `learns_alignment`.
        burst: Bursts with a margin around the patches.
        recipe: Settings.
        step: Number of the step. Some steps have patches at the border of the picture; see `draw_border`.
        progress: Completed share of the training.
    """
    margin = recipe.train.margin
    if model.learns_alignment:
        frames, clean_frames = burst.noisy, mosaic_packed(burst.clean)
    else:
        border = draw_border(recipe.train, step)
        frames, clean_frames = align_frames(model, burst, margin, border), None
        if border is not None:
            burst = with_border(burst, border)
    truth = burst.clean[:, burst.reference]
    return TrainingBatch(
        frames=frames,
        clean_frames=clean_frames,
        truth=inner(truth, 2 * margin),
        truth_mosaic=inner(mosaic_packed(truth), margin),
        shot_gain=burst.shot_gain,
        read_variance=burst.read_variance,
        reference=burst.reference,
        display=lambda linear, floor: to_display(linear, burst.camera, floor),
        white_balance=burst.camera.gains,
        margin=margin,
        step=step,
        progress=progress,
        settings=recipe.loss,
    )
