"""Plot the effect of motion on the gain from several frames, or the times that deformable kernels sample.

    python benchmarks/motion.py gain photos/ -m kpn -m runs/a/deformable-3d.safetensors -o gain.png
    python benchmarks/motion.py times photos/ -m runs/a/deformable-3d.safetensors -o times.png

The plots correspond to figures 8 and 9 of Xu et al., "Learning deformable kernels for image and video
denoising" (2019). Bursts of five frames are simulated from photographs, as in `burstfix evaluate --photos`,
but the camera only moves sideways and there is no moving object. The plots need matplotlib (burstfix[train]).

`gain` prints the PSNR of each model with all frames, minus its PSNR with the reference alone, for each motion
of the camera: the largest distance of a frame from the reference in sensor pixels.

`times` prints the share of the samples that are nearest to each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.engine.infer import merge_tiled
from burstfix.evaluation.methods import Method, MethodName, around_reference, load_methods, row_labels
from burstfix.evaluation.metrics import psnr
from burstfix.evaluation.protocol import PHOTO_SETTINGS, Case, Limits, find_photos, photo_case
from burstfix.evaluation.statistics import Estimate, bootstrap
from burstfix.models.base import BurstModel
from burstfix.models.deformable_layers import DeformableKernel, Places
from burstfix.sim.motion import MotionSettings
from burstfix.types import Burst

MOTIONS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def moved_case(photo: Path, shift: float, level: str, crop: int) -> Case:
    """Simulate a burst in which the farthest frame is `shift` sensor pixels from the reference."""
    still = MotionSettings(shift=shift, jitter=0, rotation=0, zoom=0, perspective=0, least=1.0)
    settings = replace(PHOTO_SETTINGS, motion=still, moving_object=False)
    return photo_case(photo, level, Limits(crop=crop), base=settings)


def gain(method: Method, case: Case) -> float:
    """Return the PSNR with all frames minus that with the reference alone, in dB."""
    several, one = (
        psnr(case.shown(method.merge(burst)), case.truth)
        for burst in (case.burst, around_reference(case.burst, 1))
    )
    return several - one


def sampling_times(model: BurstModel, burst: Burst) -> Tensor:
    """Merge a burst, and return the time of every sample relative to the reference, in frames.

    Raises:
        click.UsageError: The model has no deformable kernel that samples in time.
    """
    found: list[Tensor] = []

    def recording(predict: Callable[[Tensor, int, int], Places]) -> Callable[[Tensor, int, int], Places]:
        def places(features: Tensor, frames: int, reference: int) -> Places:
            predicted = predict(features, frames, reference)
            if predicted.t is not None:
                found.append((predicted.t - reference).flatten())
            return predicted

        return places

    kernels = [part for part in model.modules() if isinstance(part, DeformableKernel)]
    for kernel in kernels:
        kernel.places = recording(kernel.places)  # type: ignore[method-assign]
    try:
        merge_tiled(burst, model, device="cpu")
    finally:
        for kernel in kernels:
            del kernel.places  # the method of the class appears again
    if not found:
        raise click.UsageError(f"{model.info.name} does not sample in time; choose deformable-3d")
    return torch.cat(found)


def time_shares(times: Tensor, earliest: int, latest: int) -> list[float]:
    """Return the share of the samples that are nearest to each frame, from `earliest` to `latest`.

    Args:
        times: Times relative to the reference, in frames.
        earliest, latest: First and last frame of the burst, relative to the reference.
    """
    nearest = times.round().long().clamp(earliest, latest) - earliest
    counts = torch.bincount(nearest, minlength=latest - earliest + 1)
    return (counts / counts.sum()).tolist()


def new_plot(output: Path) -> Any:
    """Create an empty plot, and return its axes.

    Raises:
        click.UsageError: matplotlib is missing, or the folder of the output does not exist.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise click.UsageError("--output needs matplotlib; run pip install 'burstfix[train]'") from error
    if not output.parent.is_dir():
        raise click.UsageError(f"{output}: its folder does not exist")
    return Figure(figsize=(7, 4.5), layout="constrained").subplots()


def plot_gains(axes: Any, gains: dict[str, list[Estimate]], motions: Sequence[float]) -> None:
    """Plot gains with their confidence intervals against motion."""
    for name, found in gains.items():
        mean = [value.mean for value in found]
        errors = [[v.mean - v.low for v in found], [v.high - v.mean for v in found]]
        axes.errorbar(range(len(motions)), mean, errors, marker="o", capsize=3, label=name)
    axes.set_xticks(range(len(motions)), [f"{motion:g}" for motion in motions])
    axes.set_xlabel("motion of the camera (sensor pixels)")
    axes.set_ylabel("gain over one frame (dB)")
    axes.grid(alpha=0.3)
    axes.legend()


def plot_times(axes: Any, shares: dict[str, list[float]], earliest: int) -> None:
    """Plot the shares of samples for each frame as bars."""
    width = 0.8 / len(shares)
    for k, (name, found) in enumerate(shares.items()):
        left = (k - (len(shares) - 1) / 2) * width
        axes.bar(
            [earliest + frame + left for frame in range(len(found))],
            [100 * share for share in found],
            width,
            label=name,
        )
    axes.set_xlabel("frame, relative to the reference")
    axes.set_ylabel("samples (%)")
    axes.legend()


@click.group()
def main() -> None:
    """Measure models on bursts with different motion."""


photos_argument = click.argument(
    "photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
level_option = click.option(
    "--level", default="high", show_default=True, help="Noise level: high, low or base."
)
crop_option = click.option("--crop", default=192, show_default=True, help="Height and width of the frames.")
output_option = click.option("-o", "--output", type=click.Path(path_type=Path), help="Plot to write (PNG).")


@main.command("gain")
@photos_argument
@click.option("-m", "--model", "models", multiple=True, default=("kpn",), help="Name or weights file.")
@click.option("--motion", "motions", multiple=True, type=float, default=MOTIONS, help="In sensor pixels.")
@level_option
@crop_option
@output_option
def gain_command(
    photos: tuple[Path, ...],
    models: tuple[str, ...],
    motions: tuple[float, ...],
    level: str,
    crop: int,
    output: Path | None,
) -> None:
    """Print the gain of several frames over one, for each motion."""
    axes = new_plot(output) if output else None
    methods = load_methods(models, device="cpu")
    gains: dict[str, list[Estimate]] = {method.label: [] for method in methods}
    for motion in motions:
        cases = [moved_case(photo, motion, level, crop) for photo in find_photos(photos)]
        for method in methods:
            found = bootstrap([[gain(method, case)] for case in cases])
            gains[method.label].append(found)
            click.echo(
                f"{method.label}, {motion:g} px: {found.mean:+.2f} dB ({found.low:+.2f} to {found.high:+.2f})"
            )
    if axes is not None and output is not None:
        plot_gains(axes, gains, motions)
        axes.figure.savefig(output, dpi=120)


@main.command("times")
@photos_argument
@click.option("-m", "--model", "models", multiple=True, required=True, help="Name or weights file.")
@click.option("--motion", default=8.0, show_default=True, help="In sensor pixels.")
@level_option
@crop_option
@output_option
def times_command(
    photos: tuple[Path, ...],
    models: tuple[str, ...],
    motion: float,
    level: str,
    crop: int,
    output: Path | None,
) -> None:
    """Print the share of the samples near each frame."""
    axes = new_plot(output) if output else None
    cases = [moved_case(photo, motion, level, crop) for photo in find_photos(photos)]
    burst = cases[0].burst
    earliest, latest = -burst.reference, len(burst.frames) - 1 - burst.reference
    shares: dict[str, list[float]] = {}
    labels = row_labels([MethodName.parse(name) for name in models])
    for label, name in zip(labels, models, strict=True):
        model = load_model(name)
        times = torch.cat([sampling_times(model, case.burst) for case in cases])
        shares[label] = time_shares(times, earliest, latest)
        cells = (f"{earliest + k:+d}: {share:.1%}" for k, share in enumerate(shares[label]))
        click.echo(f"{label}: {', '.join(cells)}")
    if axes is not None and output is not None:
        plot_times(axes, shares, earliest)
        axes.figure.savefig(output, dpi=120)


if __name__ == "__main__":
    main()
