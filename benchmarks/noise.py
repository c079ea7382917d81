"""How exact the noise is that burstfix measures in a burst whose file does not say it.

    python benchmarks/noise.py photos/ --seed 7

Bursts are simulated from photographs at six noise levels, from a large sensor at base ISO to a phone at
night, with a steady hand, a shaking one and one that also turns the camera, 2 to 8 frames each; the estimate
is held against the truth over the signals that are present (2nd to 98th percentile).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import torch

from burstfix.errors import InputError
from burstfix.prepare import prepare_burst
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.levels import normalise
from burstfix.sim.files import frame_metadata
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import Recording, RecordingSettings, record_photo
from burstfix.sim.sources import pictures_in, read_picture
from burstfix.types import CFA_PATTERNS, Frame

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


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seed", default=0, show_default=True)
@click.option("--single", is_flag=True, help="Measure one frame instead of the burst.")
@click.option("--threads", default=2, show_default=True)
def main(photos: Path, seed: int, single: bool, threads: int) -> None:
    """Prints the lowest and highest ratio of estimated to true standard deviation, a burst a line."""
    torch.set_num_threads(threads)
    lows, highs = [], []
    for i, path in enumerate(pictures_in(photos)):
        picture = read_picture(path)
        for k, (shot_gain, read_std, bits) in enumerate(LEVELS):
            motion = list(MOTIONS)[(i + k + seed) % len(MOTIONS)]
            settings = RecordingSettings(
                frames=FRAMES[(i + 2 * k) % len(FRAMES)],
                cfa=CFA_PATTERNS[(i + k) % 4],
                bits=bits,
                shot_gain=shot_gain,
                read_variance=read_std**2,
                motion=MOTIONS[motion],
                seed=1000 * seed + 10 * i + k,
            )
            try:
                low, high = measure(record_photo(picture, settings), single)
            except InputError as error:
                raise SystemExit(f"{path}: {error}") from error
            lows.append(low)
            highs.append(high)
            good = low >= 1 - WITHIN and high <= 1 + WITHIN
            click.echo(
                f"{path.stem:>12} {shot_gain:.0e} {read_std:.0e} {motion:>8} x{settings.frames}"
                f"  {low:.2f} to {high:.2f}{'' if good else '  *'}"
            )
    good = sum(low >= 1 - WITHIN and high <= 1 + WITHIN for low, high in zip(lows, highs, strict=True))
    click.echo(
        f"{good} of {len(lows)} within {WITHIN:.0%}; lowest {min(lows):.2f}, highest {max(highs):.2f}, "
        f"median of the highest {sorted(highs)[len(highs) // 2]:.2f}"
    )


def measure(recording: Recording, single: bool) -> tuple[float, float]:
    """Lowest and highest ratio of the estimated to the true standard deviation."""
    settings = recording.settings
    frames = [
        Frame(mosaic, replace(frame_metadata(recording, i, Path(f"{i}.dng")), noise=None))
        for i, mosaic in enumerate(recording.mosaics)
    ]
    middle = settings.reference_index
    burst = prepare_burst([frames[middle]] if single else frames, reference=None if single else middle)
    quantisation = 1 / (12 * (settings.white - settings.black) ** 2)
    reference = frames[middle]
    mosaic = normalise(torch.from_numpy(reference.mosaic), reference.metadata.levels)
    planes = pack(pad_to_rggb(mosaic, settings.cfa).mosaic)
    ratios = []
    for plane, gain, read in zip(planes, burst.noise.shot_gain, burst.noise.read_variance, strict=True):
        signal = plane.flatten()[::5].quantile(torch.tensor(QUANTILES)).clamp(0, 0.95).double()
        truth = settings.shot_gain * signal + settings.read_variance + quantisation
        ratios += ((gain * signal + read) / truth).sqrt().tolist()
    return min(ratios), max(ratios)


if __name__ == "__main__":
    main()
