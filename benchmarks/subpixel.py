"""Measure how much noise remains after merging nine simulated frames, with and without motion.

    python benchmarks/subpixel.py photos/ -m kpn

The errors are mean squared errors at moderate noise, in units of the noise variance of one frame. There are
four of them: "one" for the reference alone, "own" for all frames at the samples that the reference has
measured, "all" for three colours at every pixel, and "mean" for a plain average of the aligned frames at the
samples of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch

from burstfix.checkpoints import load_model
from burstfix.models.base import BurstModel
from burstfix.sim import SimSettings, SimulatedBurst, mosaic_packed
from burstfix.sim.motion import MotionSettings
from burstfix.training.aligned import align_frames, inner
from burstfix.training.batches import Patches, draw_burst
from burstfix.training.photos import load_photos
from burstfix.training.recipe import ModelSettings, Recipe, TrainSettings

SHOT_GAIN, READ_STD, FRAMES = 5.9e-4, 1.55e-3, 9
MARGIN = 8  # packed pixels
STILL = MotionSettings(shift=0.0, jitter=0.0, rotation=0.0, zoom=0.0, perspective=0.0)


@dataclass(frozen=True)
class Remaining:
    """Mean squared errors in units of the noise variance; see the docstring of the module."""

    one: float
    own: float
    all: float
    mean: float


@torch.no_grad()
def measure(model: BurstModel, burst: SimulatedBurst) -> Remaining:
    """Merge bursts and measure the remaining noise."""
    reference = burst.reference
    with torch.autocast("cpu", torch.bfloat16):
        frames = align_frames(model, burst, MARGIN).float()
        one = frames[:, reference : reference + 1]
        single = model(one, burst.shot_gain, burst.read_variance, 0).rgb.float()
        merged = model(frames, burst.shot_gain, burst.read_variance, reference).rgb.float()
    truth = inner(burst.clean[:, reference], 2 * MARGIN)
    samples = mosaic_packed(truth)

    def error(found: torch.Tensor, expected: torch.Tensor) -> float:
        variance = expected.clamp(min=0) * SHOT_GAIN + READ_STD**2
        return ((found - expected) ** 2 / variance).mean().item()

    return Remaining(
        one=error(single, truth),
        own=error(mosaic_packed(merged), samples),
        all=error(merged, truth),
        mean=error(frames.mean(1), samples),
    )


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("kpn",),
    help="Name or weights file of a model; may be given several times.",
)
@click.option("--batches", default=3, show_default=True, help="Number of batches of eight bursts.")
def main(photos: tuple[Path, ...], models: tuple[str, ...], batches: int) -> None:
    """Compare models on bursts simulated from PHOTOS."""
    torch.set_num_threads(1)
    recipe = Recipe(
        model=ModelSettings(""),
        train=TrainSettings(patch=64, margin=MARGIN, batch=8, frames=(FRAMES, FRAMES), seed=99),
        simulate=SimSettings(
            shot_gain=(SHOT_GAIN, SHOT_GAIN), read_std=(READ_STD, READ_STD), darkening=(0.2, 0.4)
        ),
    )
    store = load_photos(list(photos), Patches.of(recipe).crop, torch.device("cpu"))
    still = replace(recipe, simulate=replace(recipe.simulate, motion=STILL, object_probability=0.0))
    for name in models:
        model = load_model(name)
        for label, drawn in (("moving", recipe), ("still", still)):
            found = [measure(model, draw_burst(store, drawn, step)) for step in range(batches)]
            parts = (
                f"{key} {sum(getattr(r, key) for r in found) / batches:.3f}"
                for key in ("one", "own", "all", "mean")
            )
            click.echo(f"{name}, frames {label}: {', '.join(parts)}")


if __name__ == "__main__":
    main()
