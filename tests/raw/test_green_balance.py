"""Equalisation of the two greens of a mosaic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from burstfix.cfa import CFA_PATTERNS, LINEAR
from burstfix.raw.cfa import mosaic
from burstfix.raw.green_balance import balance_greens
from burstfix.types import LinearImage, NoiseProfile
from tests.io.raw_files import make_metadata
from tests.scenes import draw_scene

SIGMA = 5e-4
NOISE = NoiseProfile.uniform(0.0, SIGMA**2)


def dark_mosaic(cfa: str, imbalance: float, sigma: float = SIGMA, level: float = 0.15) -> LinearImage:
    """Return a synthetic scene in which the greens of red rows are darker by `imbalance`."""
    data = mosaic(draw_scene(256, 321, seed=3) * level, cfa).numpy()[None].astype(np.float32)
    y, x = greens(cfa)[0]
    data[0, y::2, x::2] *= 1 - imbalance
    data += np.random.default_rng(1).normal(0, sigma, data.shape)
    return LinearImage(data, make_metadata(*data.shape[1:], cfa=cfa))


def greens(cfa: str) -> list[tuple[int, int]]:
    """Return row and column of the green of red rows, then of the green of blue rows."""
    red_row = cfa.index("R") // 2
    found = [divmod(k, 2) for k, color in enumerate(cfa) if color == "G"]
    return sorted(found, key=lambda place: place[0] != red_row)


def ratio(image: LinearImage) -> float:
    means = [image.data[0, y::2, x::2][8:-8, 8:-8].mean() for y, x in greens(image.metadata.cfa)]
    return means[0] / means[1]


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_balance_greens_when_they_differ_then_they_become_equal_and_other_pixels_stay(cfa: str):
    even, uneven = dark_mosaic(cfa, 0.0), dark_mosaic(cfa, 0.04)
    assert ratio(uneven) / ratio(even) == pytest.approx(0.96, abs=0.002)
    balanced = balance_greens(uneven, NOISE)
    assert ratio(balanced) / ratio(even) == pytest.approx(1, abs=0.005)
    for y, x in ((k // 2, k % 2) for k, color in enumerate(cfa) if color != "G"):
        np.testing.assert_array_equal(balanced.data[0, y::2, x::2], uneven.data[0, y::2, x::2])
    # The mean of both greens, which determines the brightness, is unchanged.
    assert balanced.data.mean() == pytest.approx(uneven.data.mean(), rel=1e-3)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_balance_greens_when_they_are_equal_then_texture_and_noise_stay(cfa: str):
    image = dark_mosaic(cfa, 0.0)
    change = balance_greens(image, NOISE).data - image.data
    assert np.sqrt((change**2).mean()) < 0.1 * SIGMA


def test_balance_greens_when_the_noise_hides_the_difference_then_nothing_changes():
    image = dark_mosaic("RGGB", 0.01, sigma=0.02)
    change = balance_greens(image, NoiseProfile.uniform(0.0, 4e-4)).data - image.data
    assert np.sqrt((change**2).mean()) < 0.03 * 0.02


def test_balance_greens_when_pixels_are_clipped_then_they_stay_clipped():
    image = dark_mosaic("RGGB", 0.04, level=4.0)
    image = replace(image, data=image.data.clip(0, 1))
    clipped = image.data >= 1
    assert 0.05 < clipped.mean() < 0.95
    assert (balance_greens(image, NOISE).data[clipped] == 1).all()


def test_balance_greens_when_there_is_no_mosaic_then_the_picture_is_returned():
    image = LinearImage(np.zeros((3, 64, 64), np.float32), make_metadata(64, 64, cfa=LINEAR))
    assert balance_greens(image) is image
