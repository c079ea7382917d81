"""Measure how much better the result would be if all frames were perfectly aligned.

    python benchmarks/alignment.py photos/ -m kpn --bursts 64

The same scenes are simulated with less and less motion, with the same crops, cameras and noise. A burst
without motion is perfectly aligned, so its PSNR is an upper limit of what better alignment can bring to a
model. Moving objects are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.models.base import BurstModel
from burstfix.sim import SimSettings, SimulatedBurst, simulate_burst, to_display
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import NOISE_LEVELS
from burstfix.training.aligned import align_frames
from burstfix.training.photos import PhotoStore
from burstfix.training.validation import MARGIN, SEED, VALIDATION_SIZE, crop_size, load_validation_photos

FULL = SimSettings(object_probability=0.0, darkening=(1.0, 1.0), clip_black_probability=1.0)
MOTIONS = {
    "shift, rotation, zoom, perspective": FULL.motion,
    "shift": MotionSettings(rotation=0.0, zoom=0.0, perspective=0.0),
    "none": MotionSettings(shift=0.0, jitter=0.0, rotation=0.0, zoom=0.0, perspective=0.0),
}


def draw(
    photos: PhotoStore, motion: MotionSettings, level: str, generator: torch.Generator
) -> SimulatedBurst:
    """Simulate four bursts of five frames. The scenes depend on the generator, but not on the motion."""
    gain, read = NOISE_LEVELS[level]
    crop = crop_size(VALIDATION_SIZE, FULL)
    return simulate_burst(
        photos.crops(4, crop, generator),
        photos.crops(4, crop, generator),
        frames=5,
        reference=2,
        height=VALIDATION_SIZE,
        width=VALIDATION_SIZE,
        settings=replace(FULL, motion=motion, shot_gain=(gain, gain), read_std=(read, read)),
        generator=generator,
    )


def psnr_of(model: BurstModel, burst: SimulatedBurst) -> Tensor:
    """Return the PSNR of each burst in dB, on display RGB."""
    frames = align_frames(model, burst, MARGIN)
    rgb = model(frames, burst.shot_gain, burst.read_variance, burst.reference).rgb.float()
    inner = slice(2 * MARGIN, -2 * MARGIN)
    truth = to_display(burst.clean[:, burst.reference, :, inner, inner], burst.camera)
    return -10 * torch.log10((to_display(rgb, burst.camera) - truth).square().mean((1, 2, 3)))


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-m", "--model", "name", default="kpn", show_default=True, help="Name or weights file.")
@click.option("--bursts", default=64, show_default=True, help="Bursts for each noise level, a multiple of 4.")
@torch.no_grad()
def main(photos: tuple[Path, ...], name: str, bursts: int) -> None:
    """Print the PSNR for each motion, and the paired difference from the first one."""
    model = load_model(name, "cpu").eval()
    store = load_validation_photos(list(photos), FULL)
    for level in NOISE_LEVELS:
        first = None
        for title, motion in MOTIONS.items():
            generator = torch.Generator().manual_seed(SEED)
            drawn = (draw(store, motion, level, generator) for _ in range(bursts // 4))
            found = torch.cat([psnr_of(model, burst) for burst in drawn])
            first = found if first is None else first
            change = found - first
            error = float(change.std()) / len(change) ** 0.5
            click.echo(f"{level}, {title}: {found.mean():.2f} dB, {change.mean():+.3f} ±{error:.3f} (1 SE)")


if __name__ == "__main__":
    main()
