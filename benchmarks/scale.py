"""Measure how time and memory of a merge grow with the number of frames and with the size of the picture.

    python benchmarks/scale.py                                     # 12 megapixels: 5, 20 and 60 frames
    python benchmarks/scale.py --frames 10 --height 6700 --width 8960 -o scale.png
    python benchmarks/scale.py --model average --frames 5 --frames 20 -o scale.png

The figures apply only to the machine on which they were measured.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from bench import measure
from merge import write_burst

ROOT = Path(__file__).resolve().parents[1]


@click.command()
@click.option("--height", default=3000, show_default=True, help="Height in sensor pixels.")
@click.option("--width", default=4000, show_default=True)
@click.option("--frames", multiple=True, type=int, default=(5, 20, 60), show_default=True)
@click.option("--model", "models", multiple=True, default=("average", "kpn"), show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Plot; needs matplotlib.")
def main(
    height: int,
    width: int,
    frames: tuple[int, ...],
    models: tuple[str, ...],
    threads: int,
    output: Path | None,
) -> None:
    """Print seconds and peak memory of merges of bursts of different lengths."""
    found: dict[str, list[tuple[int, float, float]]] = {model: [] for model in models}
    click.echo(f"{height * width / 1e6:.1f} megapixels, {threads} threads")
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        paths = write_burst(Path(name), height, width, max(frames))
        for count in sorted(frames):
            for model in models:
                arguments = ["merge", "-m", model, *map(str, paths[:count])]
                seconds, peak = measure(arguments, {}, ROOT, threads)
                found[model].append((count, seconds, peak.own / 1e9))
                memory = f"{peak.own / 1e9:6.2f} GB, with mapped files {peak.total / 1e9:.2f} GB"
                click.echo(f"  {model:<8} {count:4} frames {seconds:7.1f} s {memory}")
    if output is not None:
        plot(found, output)


def plot(found: dict[str, list[tuple[int, float, float]]], output: Path) -> None:
    """Plot seconds and gigabytes against the number of frames."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for column, label in enumerate(("time (s)", "peak memory without mapped files (GB)"), start=1):
        for model, rows in found.items():
            axes[column - 1].plot([row[0] for row in rows], [row[column] for row in rows], "o-", label=model)
        axes[column - 1].set(xlabel="frames", ylabel=label, xlim=(0, None), ylim=(0, None))
        axes[column - 1].grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main()
