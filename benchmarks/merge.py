"""Measure the speed and the memory of `burstfix merge` on a synthetic burst.

    python benchmarks/merge.py                      # 12 megapixels x 5, the default model, 2 threads
    python benchmarks/merge.py --model kpn --frames 8

The whole command is measured, in a separate process: start, decoding, alignment, merging, rendering and
writing. The figures apply only to the machine on which they were measured.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click
import numpy as np
import psutil
from numpy.typing import NDArray

from burstfix.io import write_cfa_dng
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile

SHOT_GAIN, READ_VARIANCE = 2e-3, 1e-5  # about ISO 3200 on a phone
BLACK, WHITE = 64.0, 1023.0
STEP = 6  # sensor pixels that the scene moves from frame to frame, in both directions
POLL_SECONDS = 0.05


@click.command()
@click.option("--model", default="auto", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--height", default=3000, show_default=True, help="Height in sensor pixels.")
@click.option("--width", default=4000, show_default=True)
@click.option("--frames", default=5, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--tile", default=0, show_default=True, help="Side of a tile; 0 = automatic.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--ensemble", default=1, show_default=True)
def main(
    model: str,
    device: str,
    height: int,
    width: int,
    frames: int,
    threads: int,
    tile: int,
    precision: str,
    ensemble: int,
) -> None:
    """Generate a burst, merge it, and print time and memory."""
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        folder = Path(name)
        paths = write_burst(folder, height, width, frames)
        command = [sys.executable, "-m", "burstfix", "merge", *map(str, paths), "-o", str(folder / "out.tif")]
        command += ["--json", "--model", model, "--device", device, "--tile", str(tile)]
        command += ["--precision", precision, "--ensemble", str(ensemble)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        started = time.perf_counter()
        with (folder / "result.json").open("w") as out:
            process = subprocess.Popen(command, stdout=out, env=environment)
            together = watch(process)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(process.returncode)
        result = json.loads((folder / "result.json").read_text())
    megapixels = height * width / 1e6
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    click.echo(
        f"{megapixels:.1f} megapixels x {frames}, model {result['model']}, {device}, {threads} threads"
    )
    click.echo(f"whole command     {seconds:6.1f} s   {megapixels / seconds:.2f} megapixels per second")
    for stage, spent in result["seconds"].items():
        click.echo(f"  {stage:<15} {spent:6.1f} s")
    share = result["seconds"]["write"] / result["seconds"]["merge"]
    click.echo(f"rendering in the look natural, and writing: {share:.0%} of the time of merging")
    click.echo(f"peak memory       {largest / 1e9:6.2f} GB  largest process (kernel's count)")
    click.echo(f"                  {together.total / 1e9:6.2f} GB  all processes together (sampled)")
    click.echo(f"                  {together.own / 1e9:6.2f} GB  the same without pages of mapped files")


def write_burst(folder: Path, height: int, width: int, frames: int, seed: int = 0) -> list[Path]:
    """Write noisy DNGs of a moving scene; each seed gives another scene, recorded a minute later."""
    rng = np.random.default_rng(seed)
    reach = STEP * frames
    scene = draw_mosaic(height + 2 * reach, width + 2 * reach, rng)
    levels = Levels(np.full((2, 2), BLACK, np.float32), WHITE)
    s, o = SHOT_GAIN, READ_VARIANCE
    noise = NoiseProfile((s, s, s, s), (o, o, o, o), "file")
    # XYZ to linear sRGB: a camera with the primaries of sRGB displays.
    color = ColorProfile(
        np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]),
        np.array([0.5, 1.0, 0.7]),
    )
    paths = []
    for k in range(frames):
        at = reach + STEP * k  # even, so that the colours of the mosaic stay in place
        clean = scene[at : at + height, at : at + width]
        deviation = np.sqrt(clean * SHOT_GAIN + READ_VARIANCE)
        noisy = clean + deviation * rng.standard_normal(clean.shape, np.float32)
        mosaic = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, WHITE).astype(np.uint16)
        metadata = FrameMetadata(
            folder / f"frame_{k:03}.dng",
            height,
            width,
            "RGGB",
            levels,
            color,
            noise=noise,
            make="burstfix",
            model="benchmark",
            iso=3200.0,
            exposure_time=1 / 15,
            time=datetime(2024, 1, 1) + timedelta(minutes=seed, seconds=k / 10),
        )
        paths.append(write_cfa_dng(metadata.path, mosaic, metadata))
    return paths


def draw_mosaic(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Generate a clean RGGB mosaic in 0..1: shading, stripes of many widths, and discs with sharp edges."""
    ys, xs = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    scene = 0.25 + 0.15 * np.sin(xs / 310) * np.cos(ys / 270)
    scene += 0.05 * np.sin(xs * (3 + xs / width) / 9) * (np.sin(ys / 41) > 0)
    scene += 0.05 * np.sin(ys * (3 + ys / height) / 11) * (np.sin(xs / 53) > 0)
    for _ in range(height * width // 20000):
        cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 40)
        top, left = max(0, int(cy - radius)), max(0, int(cx - radius))
        part = np.s_[top : int(cy + radius) + 2, left : int(cx + radius) + 2]
        inside = np.hypot(ys[part[0]] - cy, xs[part[1]] - cx) < radius
        scene[part][inside] = rng.uniform(0.02, 0.9)
    scene[::2, ::2] *= 0.5  # red
    scene[1::2, 1::2] *= 0.7  # blue
    return scene.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak memory of a process and its children in bytes.

    Attributes:
        total: All memory.
        own: Without pages of mapped files, such as frames in temporary files, which the system may drop (on
            Linux; elsewhere the same as `total`).
    """

    total: int
    own: int


def watch(process: subprocess.Popen[bytes]) -> Peak:
    """Wait for a process and return the peak memory of it and its children."""
    root = psutil.Process(process.pid)
    total = own = 0
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            infos = [each.memory_info() for each in tree]
            total = max(total, sum(info.rss for info in infos))
            own = max(own, sum(info.rss - getattr(info, "shared", 0) for info in infos))
        except psutil.Error:
            pass  # a child ended in the meantime
        time.sleep(POLL_SECONDS)
    return Peak(total, own)


if __name__ == "__main__":
    main()
