"""Measure the accuracy of the noise estimate for files without a noise profile.

    python benchmarks/noise.py photos/ --bursts stress --seed 7

Bursts are simulated from photographs. The estimate is compared with the true noise for signals between the
2nd and the 98th percentile of the scene without noise. There are three kinds of bursts:

- simulate: as simulated by `burstfix simulate --iso`, ISO 100 to 6400;
- random: shot gain and read noise are independent and log-uniform, as in the training of Guo et al. 2022;
  some combinations do not occur in real sensors;
- stress: six noise levels from a large sensor at base ISO to a phone at night.

Bursts of the kinds "random" and "stress" have 2 to 8 frames and one of three kinds of motion: steady, shaking
or rotating.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from burstfix.analysis.burst import prepare_burst
from burstfix.cfa import CFA_PATTERNS
from burstfix.errors import InputError
from burstfix.sim.files import frame_metadata, noise_at
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import Recording, RecordingSettings, record_photo
from burstfix.sim.sources import pictures_in, read_picture
from burstfix.types import Frame

LEVELS = (
    (2e-5, 1e-4, 14),
    (5e-5, 3e-4, 14),
    (1e-4, 5e-4, 12),
    (4e-4, 1e-3, 12),
    (2e-3, 5e-3, 12),
    (1e-2, 3e-2, 10),
)
"""Shot gain, standard deviation of the read noise, bits."""

MOTIONS = {
    "steady": MotionSettings(shift=3.0, jitter=0.5, rotation=0.05, zoom=5e-4, perspective=0.0, least=0.5),
    "shaking": MotionSettings(shift=24.0, jitter=1.0, rotation=0.3, zoom=2e-3, perspective=1e-3, least=0.5),
    "turning": MotionSettings(shift=60.0, jitter=1.0, rotation=1.0, zoom=2e-3, perspective=1e-3, least=0.5),
}
FRAMES = (5, 2, 3, 8, 4, 2)
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
WITHIN = 0.2


ISOS = (100, 200, 400, 800, 1600, 3200, 6400)
RANDOM_SHOT_GAIN, RANDOM_READ_STD, RANDOM_BITS = (1e-4, 1e-2), (1e-3, 10**-1.5), (14, 12, 12, 10, 14, 12)


def simulated(photo: int, seed: int) -> Iterator[tuple[str, RecordingSettings]]:
    """Yield the settings of `burstfix simulate --iso`."""
    for k, iso in enumerate(ISOS):
        shot_gain, read_variance = noise_at(iso)
        yield (
            f"ISO {iso}",
            RecordingSettings(
                shot_gain=shot_gain, read_variance=read_variance, seed=1000 * seed + 10 * photo + k
            ),
        )


def stressed(photo: int, seed: int) -> Iterator[tuple[str, RecordingSettings]]:
    """Yield settings for all `LEVELS`."""
    yield from _varied(photo, seed, LEVELS)


def randomised(photo: int, seed: int) -> Iterator[tuple[str, RecordingSettings]]:
    """Yield settings with random noise levels."""
    rng = np.random.default_rng((seed, photo))
    gains, reads = (np.exp(rng.uniform(*np.log(r), 6)) for r in (RANDOM_SHOT_GAIN, RANDOM_READ_STD))
    yield from _varied(photo, seed, zip(gains.tolist(), reads.tolist(), RANDOM_BITS, strict=True))


def _varied(
    photo: int, seed: int, levels: Iterable[tuple[float, float, int]]
) -> Iterator[tuple[str, RecordingSettings]]:
    for k, (shot_gain, read_std, bits) in enumerate(levels):
        motion = list(MOTIONS)[(photo + k + seed) % len(MOTIONS)]
        settings = RecordingSettings(
            frames=FRAMES[(photo + 2 * k) % len(FRAMES)],
            cfa=CFA_PATTERNS[(photo + k) % 4],
            bits=bits,
            shot_gain=shot_gain,
            read_variance=read_std**2,
            motion=MOTIONS[motion],
            seed=1000 * seed + 10 * photo + k,
        )
        yield f"{shot_gain:.1e} {read_std:.1e} {motion}", settings


KINDS = {"simulate": simulated, "random": randomised, "stress": stressed}


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--bursts", "kind", type=click.Choice(list(KINDS)), default="simulate", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--single", is_flag=True, help="Measure one frame instead of the burst.")
@click.option("--threads", default=2, show_default=True)
def main(photos: Path, kind: str, seed: int, single: bool, threads: int) -> None:
    """Print the lowest and highest ratio of estimated to true standard deviation for each burst."""
    torch.set_num_threads(threads)
    lows, highs = [], []
    for i, path in enumerate(pictures_in(photos)):
        picture = read_picture(path)
        for label, settings in KINDS[kind](i, seed):
            try:
                low, high = measure(record_photo(picture, settings), single)
            except InputError as error:
                raise SystemExit(f"{path}: {error}") from error
            lows.append(low)
            highs.append(high)
            good = low >= 1 - WITHIN and high <= 1 + WITHIN
            click.echo(
                f"{path.stem:>12} {label:>24} x{settings.frames}"
                f"  {low:.2f} to {high:.2f}{'' if good else '  *'}"
            )
    good = sum(low >= 1 - WITHIN and high <= 1 + WITHIN for low, high in zip(lows, highs, strict=True))
    click.echo(
        f"{good} of {len(lows)} within {WITHIN:.0%}; lowest {min(lows):.2f}, highest {max(highs):.2f}, "
        f"median of the highest {sorted(highs)[len(highs) // 2]:.2f}"
    )


def measure(recording: Recording, single: bool) -> tuple[float, float]:
    """Return the lowest and highest ratio of the estimated to the true standard deviation."""
    settings = recording.settings
    frames = [
        Frame(mosaic, replace(frame_metadata(recording, i, Path(f"{i}.dng")), noise=None))
        for i, mosaic in enumerate(recording.mosaics)
    ]
    middle = settings.reference_index
    burst = prepare_burst([frames[middle]] if single else frames, reference=None if single else middle)
    quantisation = 1 / (12 * (settings.white - settings.black) ** 2)
    colours = recording.truth[[0, 1, 1, 2]].flatten(1)[:, ::5]  # one for each packed plane
    ratios = []
    for colour, gain, read in zip(colours, burst.noise.shot_gain, burst.noise.read_variance, strict=True):
        signal = colour.quantile(torch.tensor(QUANTILES)).clamp(0, 0.95).double()
        truth = settings.shot_gain * signal + settings.read_variance + quantisation
        ratios += ((gain * signal + read) / truth).sqrt().tolist()
    return min(ratios), max(ratios)


if __name__ == "__main__":
    main()
