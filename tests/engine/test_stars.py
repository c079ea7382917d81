"""Stars in a merge with the shipped network: all are kept, with their width and brightness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from burstfix import burst_from_arrays, merge_burst, read_burst
from burstfix.raw.demosaic import menon
from burstfix.raw.frame_source import FrameSource

SHOT_GAIN, READ_VARIANCE = 8.8e-5, 7.2e-8
SKY = 0.02
WIDTH = 1.3
FAINT = 0.2  # at a lower flux, noise determines the width of a star in a single frame
DRIFT = [(5.32, 3.57), (3.02, 1.88), (0.0, 0.0), (-2.51, -2.09), (10.24, 15.97)]

Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Star:
    """A star in a picture.

    Attributes:
        y, x: Position in pixels.
        width: Standard deviation of its Gaussian in pixels.
        flux: Sum of its values above the sky.
    """

    y: float
    x: float
    width: float
    flux: float


def measure(picture: Picture, y: float, x: float, radius: int = 8) -> Star:
    """Measure a star near a position by adaptive moments, with a Gaussian weight as wide as the star."""
    top, left = round(y) - radius, round(x) - radius
    part = picture[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
    ys, xs = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]].astype(np.float64)
    part = part - np.median(part[np.hypot(ys - round(y), xs - round(x)) > radius - 2])
    variance, flux = 2.0, 0.0
    for _ in range(30):
        squared = (ys - y) ** 2 + (xs - x) ** 2
        weight = np.exp(-squared / (2 * variance)) * part
        flux = 2 * weight.sum()
        y, x = y + 2 * np.average(ys - y, weights=weight), x + 2 * np.average(xs - x, weights=weight)
        weighted = np.average(squared, weights=weight) / 2  # variance of the product of star and weight
        variance = float(np.clip(1 / (1 / weighted - 1 / variance), 0.2, 9)) if weighted < variance else 9.0
    return Star(y, x, variance**0.5, flux)


def find(picture: Picture, sigmas: float) -> Iterator[tuple[int, int]]:
    """Find local maxima that exceed the sky by a multiple of its noise, after smoothing."""
    smooth = torch.from_numpy(picture)[None, None]
    for _ in range(2):
        smooth = torch.nn.functional.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)
    largest = torch.nn.functional.max_pool2d(smooth, 9, 1, 4)
    sky = smooth.median()
    noise = 1.4826 * (smooth - sky).abs().median()
    for y, x in torch.nonzero(((smooth == largest) & (smooth > sky + sigmas * noise))[0, 0]).tolist():
        if min(y, x) >= 20 and y < picture.shape[0] - 20 and x < picture.shape[1] - 20:
            yield y, x


def luminance(rgb: NDArray[np.float32]) -> Picture:
    return rgb.astype(np.float64).mean(0)


def draw(stars: list[Star], side: int, dy: float, dx: float) -> Picture:
    ys, xs = np.mgrid[0:side, 0:side].astype(np.float64)
    sky = np.full((side, side), SKY)
    for star in stars:
        squared = (ys - star.y - dy) ** 2 + (xs - star.x - dx) ** 2
        sky += star.flux / (2 * np.pi * star.width**2) * np.exp(-squared / (2 * star.width**2))
    return sky


def test_merge_burst_when_stars_drift_then_all_are_kept_with_their_width_and_brightness():
    rng = np.random.default_rng(0)
    peaks = iter(rng.permutation(np.geomspace(0.02, 0.4, 16)))
    stars = [
        Star(y + rng.uniform(-3, 3), x + rng.uniform(-3, 3), WIDTH, 2 * np.pi * WIDTH**2 * next(peaks))
        for y in range(32, 160, 32)
        for x in range(32, 160, 32)
    ]
    shots = []
    for dy, dx in DRIFT:
        light = draw(stars, 192, dy, dx)
        shots.append(light + rng.normal(0, np.sqrt(light * SHOT_GAIN + READ_VARIANCE)))
    burst = burst_from_arrays(shots, "RGGB", (SHOT_GAIN, READ_VARIANCE), reference=2)
    assert len(burst.hot_pixels) == 0 and len(burst.frames) == len(DRIFT)
    merged = luminance(merge_burst(burst, model="kpn", precision="float32").data)
    assert len(list(find(merged, 8))) == len(stars)
    found = [measure(merged, star.y, star.x) for star in stars]
    widths = np.array([one.width for one in found]) / WIDTH
    fluxes = np.array([one.flux / star.flux for one, star in zip(found, stars, strict=True)])
    assert np.median(widths) == pytest.approx(1, abs=0.05)
    assert np.median(fluxes) == pytest.approx(1, abs=0.05)
    assert fluxes.min() > 0.8


def test_merge_burst_when_real_stars_drift_then_more_are_found_and_their_width_and_brightness_are_kept(
    shared_data: Path,
):
    folder = shared_data / "bursts" / "stars"
    rows = [line.split("\t") for line in (folder / "shifts.tsv").read_text().splitlines()[1:]]
    shifts = np.array([[float(dy), float(dx)] for _, dy, dx in rows])
    burst = read_burst([folder / name for name, *_ in rows], reference="stars_05.dng")
    single = []
    for frame in burst.frames:
        source = FrameSource(frame, burst.hot_pixels, corrected=True)
        rgb = menon(source.read(source.whole)[None])[0].numpy()
        top, left = source.padding.top, source.padding.left
        single.append(luminance(rgb[:, top : top + 640, left : left + 640]))
    merged = luminance(merge_burst(burst, model="kpn", precision="float32").data)
    counts = [len(list(find(picture, 8))) for picture in single]
    assert len(list(find(merged, 8))) > max(counts)

    widths, fluxes = [], []
    for y, x in find(merged, 14):
        if not all(20 < y - dy < 620 and 20 < x - dx < 620 for dy, dx in shifts):
            continue
        star = measure(merged, y, x)
        if star.flux < FAINT:
            continue
        before = [measure(p, y - dy, x - dx) for p, (dy, dx) in zip(single, shifts, strict=True)]
        widths.append(star.width / np.median([one.width for one in before]))
        fluxes.append(star.flux / np.mean([one.flux for one in before]))
    assert len(widths) >= 5
    assert np.median(widths) == pytest.approx(1, abs=0.06)
    assert np.median(fluxes) == pytest.approx(1, abs=0.06)
