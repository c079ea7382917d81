"""Measure the quality of deep shadows in underexposed bursts, as exposed and after brightening.

    python benchmarks/shadows.py photos/ -m kpn -m average

Bursts are simulated from photographs as in training, with the noise of a phone at dusk, and clipped at black.
Half of them are underexposed by a factor of 20. The benchmark prints PSNR on display RGB, as exposed and with
each patch brightened to a mean of 0.18 of white. It also prints the relative error of the mean of blocks of
16x16 pixels that are darker than 0.002 of white: the average of this error, and of its magnitude. The error
is relative to the ground truth plus 2e-4 of white.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.models.base import BurstModel
from burstfix.sim import SimSettings, SimulatedBurst, to_display
from burstfix.training.aligned import align_frames
from burstfix.training.validation import MARGIN, SEED, load_validation_photos, validation_bursts

SETTINGS = SimSettings(
    shot_gain=(5.9e-4, 5.9e-4), read_std=(1.1e-3, 1.1e-3), darkening=(0.05, 0.05), clip_black_probability=1.0
)
"""Noise of a phone at about ISO 800; half of the bursts are darkened."""

DARK, FLOOR, BLOCK = 2e-3, 2e-4, 16
BRIGHT, MOST = 0.18, 64.0


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Return the PSNR of each picture in dB, (B,)."""
    return -10 * torch.log10(((a - b) ** 2).mean((1, 2, 3)).clamp(min=1e-10))


@dataclass(frozen=True)
class Measured:
    """PSNR of each burst as exposed and brightened, and the relative error of each dark block."""

    plain: Tensor
    raised: Tensor
    errors: Tensor


@torch.no_grad()
def measure(model: BurstModel, bursts: list[SimulatedBurst]) -> Measured:
    """Run a model on bursts."""
    plain, raised, errors = [], [], []
    inner = slice(2 * MARGIN, -2 * MARGIN)
    for burst in bursts:
        frames = align_frames(model, burst, MARGIN)
        rgb = model(frames, burst.shot_gain, burst.read_variance, burst.reference).rgb.float()
        truth = burst.clean[:, burst.reference, :, inner, inner]
        mean = (truth.mean((-2, -1)) * burst.camera.gains).mean(1)
        gain = (BRIGHT / mean).clamp(1, MOST)[:, None, None, None]
        plain.append(psnr(to_display(rgb, burst.camera), to_display(truth, burst.camera)))
        raised.append(psnr(to_display(gain * rgb, burst.camera), to_display(gain * truth, burst.camera)))
        found, expected = (F.avg_pool2d(x, BLOCK) for x in (rgb, truth))
        errors.append(((found - expected) / (expected + FLOOR))[expected < DARK])
    return Measured(torch.cat(plain), torch.cat(raised), torch.cat(errors))


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("kpn",),
    help="Name or weights file of a model; may be given several times.",
)
@click.option("--batches", default=6, help="Number of batches of four bursts.")
@click.option("--seed", default=SEED)
def main(photos: Path, models: tuple[str, ...], batches: int, seed: int) -> None:
    """Compare models in deep shadows of bursts simulated from PHOTOS (a folder or tar archive)."""
    store = load_validation_photos([photos], SETTINGS)
    bursts = validation_bursts(store, SETTINGS, batches, seed)
    for name in models:
        found = measure(load_model(name).eval(), bursts)
        errors = found.errors
        print(  # noqa: T201
            f"{name}: PSNR {found.plain.mean():.2f} dB, raised {found.raised.mean():.2f} dB; "
            f"{len(errors)} dark blocks: "
            f"relative error {100 * errors.mean():+.1f}%, magnitude {100 * errors.abs().mean():.1f}%"
        )


if __name__ == "__main__":
    main()
