"""Which of several weights is better, told from the same bursts: finer than the mean of a few.

    python benchmarks/paired.py photos/val -m kpn -m runs/kpn/kpn.safetensors

Bursts are simulated from photographs as in training's validation, more of them and at three noise levels: the
protocol's two, and a phone's base ISO with pictures down to a tenth of the exposure. Printed are the first
model's mean PSNR on display RGB, and of each other model the mean gain over it with its standard error, the
median, and the share of bursts that gained.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.engine.device import find_device, pick_precision
from burstfix.evaluation.metrics import psnr
from burstfix.models.base import BurstModel
from burstfix.sim import SimSettings, SimulatedBurst, to_display
from burstfix.sim.recording import NOISE_LEVELS
from burstfix.training.aligned import align_frames
from burstfix.training.validation import MARGIN, load_validation_photos, validation_bursts

SETTINGS = SimSettings(darkening=(1.0, 1.0), clip_black_probability=1.0)
LEVELS = {
    level: replace(SETTINGS, shot_gain=(gain, gain), read_std=(read, read))
    for level, (gain, read) in NOISE_LEVELS.items()
} | {"base ISO": replace(SETTINGS, shot_gain=(2e-4, 2e-4), read_std=(1e-3, 1e-3), darkening=(0.1, 1.0))}


@torch.no_grad()
def measure(model: BurstModel, burst: SimulatedBurst) -> list[float]:
    """PSNR of each of the bursts in dB."""
    device = find_device(burst.noisy.device)
    frames = align_frames(model, burst, MARGIN)
    with device.autocast(pick_precision("auto", device)):
        rgb = model(frames, burst.shot_gain, burst.read_variance, burst.reference).rgb.float()
    inner = slice(2 * MARGIN, -2 * MARGIN)
    truth = to_display(burst.clean[:, burst.reference, :, inner, inner], burst.camera)
    return [psnr(a, b) for a, b in zip(to_display(rgb, burst.camera), truth, strict=True)]


def difference(gains: Tensor) -> str:
    """A line on what one model gained over another, burst by burst."""
    error = gains.std() / len(gains) ** 0.5
    return (
        f"{gains.mean():+.3f} ({error:.3f}) dB, median {gains.median():+.3f}, "
        f"{100 * (gains > 0).double().mean():.0f}% of bursts gain"
    )


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True))
@click.option("-m", "--model", "models", multiple=True, required=True, help="Name or weights; repeatable.")
@click.option("--batches", default=16, help="Of four bursts each, at each level.", show_default=True)
@click.option("--seed", default=777, show_default=True)
def main(photos: Path, models: tuple[str, ...], batches: int, seed: int) -> None:
    """Compare models, the first with each of the others, on bursts simulated from PHOTOS."""
    loaded = [load_model(name).eval() for name in models]
    store = load_validation_photos([photos], SETTINGS)
    for level, settings in LEVELS.items():
        found: list[list[float]] = [[] for _ in models]
        for batch in range(batches):  # one after another: all at once would fill the memory
            [burst] = validation_bursts(store, settings, 1, seed + batch)
            for model, values in zip(loaded, found, strict=True):
                values += measure(model, burst)
        first, *others = (torch.tensor(values) for values in found)
        click.echo(f"{level}, {len(first)} bursts: {models[0]} {first.mean():.3f} dB")
        for name, values in zip(models[1:], others, strict=True):
            click.echo(f"  {name}: {difference(values - first)}")


if __name__ == "__main__":
    main()
