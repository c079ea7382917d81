"""Measure how much the lens corrections of a raw reduce its colour fringes, and how long they take.

    python benchmarks/lens.py gopro_fusion.dng

Fringes are the outward shifts of red and blue relative to green, in per mille of the distance from the
centre. They are measured by correlation in windows of 256 pixels with enough contrast, with and without the
raw's opcodes; the median is printed. The time is that of a warp of three colours of 12 megapixels with 2
threads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.opcodes.records import Header, WarpRectilinear
from burstfix.pipeline import merge_burst, read_burst
from burstfix.raw.picture_opcodes import warp

WINDOW, STEP = 256, 128
NEAR, FAR = 800, 1400  # pixels from the centre
CONTRAST = 0.3  # standard deviation of the logarithm


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def main(path: Path) -> None:
    """Measure fringes and time."""
    torch.set_num_threads(2)
    for mode in ("skip", "apply"):
        data = merge_burst(read_burst([path], opcodes=mode), model="average").data
        found = fringes(np.log(np.maximum(data, 1e-3)))
        click.echo(
            f"opcodes {mode:>5}: red {found.red:+.2f}, blue {found.blue:+.2f} per mille outward, "
            f"{found.windows} windows"
        )
    coefficients = np.array([[1.0, growth, 0, 0, 0, 0] for growth in (4e-4, 0, 2e-4)])
    picture = torch.rand(3, 3000, 4000)
    started = time.perf_counter()
    warp(picture, WarpRectilinear(Header("WarpRectilinear", False), coefficients, (0.5, 0.5)))
    click.echo(f"warp of 3 x 12 megapixels: {time.perf_counter() - started:.2f} s")


@dataclass(frozen=True)
class Fringes:
    """Median outward shifts of red and blue in per mille of the radius, and the number of windows."""

    red: float
    blue: float
    windows: int


def fringes(data: NDArray[np.float32]) -> Fringes:
    """Measure the fringes in the logarithm of a picture, (3, H, W)."""
    height, width = data.shape[1:]
    found: tuple[list[float], list[float]] = ([], [])
    for y in range(0, height - WINDOW, STEP):
        for x in range(0, width - WINDOW, STEP):
            away = np.array([y + WINDOW / 2 - height / 2, x + WINDOW / 2 - width / 2])
            distance = float(np.hypot(*away))
            part = data[:, y : y + WINDOW, x : x + WINDOW]
            if not NEAR < distance < FAR or part[1].std() < CONTRAST:
                continue
            for shifts, colour in zip(found, (0, 2), strict=True):
                shift = displacement(part[colour], part[1])
                if np.hypot(*shift) < 3:
                    shifts.append(float(shift @ away) / distance**2 * 1000)
    return Fringes(float(np.median(found[0])), float(np.median(found[1])), len(found[0]))


def displacement(moved: NDArray[np.float32], still: NDArray[np.float32]) -> NDArray[np.float64]:
    """Find the shift (dy, dx) between two windows: peak of their correlation, refined by parabolas."""
    window = np.hanning(WINDOW)[:, None] * np.hanning(WINDOW)
    spectra = [np.fft.fft2((x - x.mean()) * window) for x in (moved, still)]
    peak = np.fft.ifft2(spectra[0] * np.conj(spectra[1])).real
    y, x = np.unravel_index(int(peak.argmax()), peak.shape)
    around = peak[np.ix_((y + np.arange(-1, 2)) % WINDOW, (x + np.arange(-1, 2)) % WINDOW)]
    fine = [0.5 * (low - high) / (low - 2 * mid + high) for low, mid, high in (around[:, 1], around[1])]
    whole = (np.array([y, x], np.float64) + WINDOW / 2) % WINDOW - WINDOW / 2
    return whole + np.array(fine)


if __name__ == "__main__":
    main()
