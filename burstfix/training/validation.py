"""Validate during a training run, always on the same simulated bursts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burstfix.models.base import BurstModel
from burstfix.raw.demosaic import bilinear
from burstfix.sim import SimSettings, SimulatedBurst, simulate_burst, to_display
from burstfix.sim.recording import NOISE_LEVELS
from burstfix.training.aligned import align_frames
from burstfix.training.photos import PhotoStore, load_photos

SEED = 20_000_001
PATCH, MARGIN = 64, 16
VALIDATION_SIZE = 2 * (PATCH + 2 * MARGIN)  # sensor pixels


@dataclass(frozen=True)
class Validation:
    """Result of a validation.

    Attributes:
        psnr: Mean PSNR in dB by noise level.
        each: PSNR in dB of each burst, by noise level.
        samples: uint8 (H, W, 3) picture with one row for each of some bursts: a frame, the result, the truth.
    """

    psnr: dict[str, float]
    each: dict[str, tuple[float, ...]]
    samples: np.ndarray


class Validator:
    """Validation of models on fixed bursts.

    Args:
        photos: Pictures from which the bursts are simulated.
        settings: Settings of the simulation; noise and exposure are replaced by fixed values.
        bursts: Number of bursts for each noise level, a multiple of 4.
    """

    def __init__(self, photos: PhotoStore, settings: SimSettings, bursts: int = 12) -> None:
        self.bursts: dict[str, list[SimulatedBurst]] = {}
        for level, (shot_gain, read_std) in NOISE_LEVELS.items():
            fixed = replace(
                settings,
                shot_gain=(shot_gain, shot_gain),
                read_std=(read_std, read_std),
                darkening=(1.0, 1.0),
                clip_black_probability=1.0,
            )
            self.bursts[level] = validation_bursts(photos, fixed, bursts // 4)

    @torch.no_grad()
    def run(self, model: BurstModel) -> Validation:
        """Validate a model, in evaluation mode and float32."""
        model.eval()
        each: dict[str, tuple[float, ...]] = {}
        rows: list[Tensor] = []
        for level, bursts in self.bursts.items():
            values: list[Tensor] = []
            for drawn in bursts:
                burst = drawn.to(next(model.parameters()).device)
                frames = align_frames(model, burst, MARGIN)
                rgb = model(frames, burst.shot_gain, burst.read_variance, burst.reference).rgb.float()
                inner = slice(2 * MARGIN, -2 * MARGIN)
                truth = to_display(burst.clean[:, burst.reference, :, inner, inner], burst.camera)
                result = to_display(rgb, burst.camera)
                values.append(-10 * torch.log10(((result - truth) ** 2).mean((1, 2, 3)).clamp(min=1e-10)))
                if level == "high" and len(rows) < 4:
                    single = to_display(bilinear(frames[:, burst.reference]), burst.camera)
                    rows.append(torch.cat([single[0], result[0], truth[0]], 2))
            each[level] = tuple(torch.cat(values).tolist())
        picture = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0)
        psnr = {level: sum(values) / len(values) for level, values in each.items()}
        return Validation(psnr, each, (picture * 255).round().byte().cpu().numpy())


def load_validation_photos(sources: list[Path], settings: SimSettings) -> PhotoStore:
    """Load the pictures that are large enough for `validation_bursts`.

    They stay on the CPU, so that the bursts are the same on every device.
    """
    return load_photos(sources, max(400, crop_size(VALIDATION_SIZE, settings)), torch.device("cpu"))


def validation_bursts(
    photos: PhotoStore, settings: SimSettings, batches: int, seed: int = SEED
) -> list[SimulatedBurst]:
    """Simulate `batches` of four bursts, each of five frames of `VALIDATION_SIZE` pixels."""
    generator = torch.Generator().manual_seed(seed)
    crop = crop_size(VALIDATION_SIZE, settings)
    return [
        simulate_burst(
            photos.crops(4, crop, generator),
            photos.crops(4, crop, generator),
            frames=5,
            reference=2,
            height=VALIDATION_SIZE,
            width=VALIDATION_SIZE,
            settings=settings,
            generator=generator,
        )
        for _ in range(batches)
    ]


def crop_size(size: int, settings: SimSettings) -> int:
    """Return the side of a crop in source pixels that moving frames of `size` sensor pixels rarely leave."""
    reach = size + settings.motion.shift + 2 * settings.motion.jitter
    return int(reach * settings.magnify[1]) // 2 * 2 + 2
