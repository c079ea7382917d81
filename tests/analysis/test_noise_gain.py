"""Noise before and after a merge."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from burstfix.analysis.noise_gain import measure_noise_gain


def scene(seed: int = 0) -> NDArray[np.float32]:
    """Return (3, 512, 512): smooth gradients on the left, slanted stripes on the right."""
    ys, xs = np.mgrid[0:512, 0:512].astype(np.float32)
    gray = 0.2 + 0.1 * np.sin(xs / 90) * np.cos(ys / 110)
    gray[:, 256:] += 0.1 * np.sin((xs + 2 * ys) / 4)[:, 256:]
    return np.repeat(gray[None], 3, 0).astype(np.float32)


def noise(std: float, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, std, (3, 512, 512)).astype(np.float32)


@pytest.mark.parametrize("factor", [2.0, 4.0, 10.0])
def test_noise_gain_when_white_noise_is_reduced_by_a_factor_then_it_is_this_factor_in_decibels(
    factor: float,
) -> None:
    gain = measure_noise_gain(scene() + noise(0.02, 1), scene() + noise(0.02 / factor, 2))
    assert gain.decibels == pytest.approx(20 * np.log10(factor), abs=1.0)
    left = gain.left[:, : gain.left.shape[1] // 2 - 1]
    assert np.nanmedian(left) == pytest.approx(1 / factor, rel=0.1)


def test_noise_gain_when_only_fine_noise_is_removed_then_the_gain_is_small() -> None:
    noisy = noise(0.02, 1)
    smooth = noisy.reshape(3, 128, 4, 128, 4).mean((2, 4)).repeat(4, 1).repeat(4, 2)
    gain = measure_noise_gain(scene() + noisy, scene() + smooth)
    assert gain.decibels is not None and 0 < gain.decibels < 6


def test_noise_gain_when_the_scene_has_detail_then_the_map_excludes_it() -> None:
    gain = measure_noise_gain(scene() + noise(0.01, 1), scene() + noise(0.005, 2))
    middle = gain.left.shape[1] // 2
    assert np.isnan(gain.left[:, middle + 1 :]).all() and np.isfinite(gain.left[:, : middle - 1]).mean() > 0.5


def test_noise_gain_when_the_picture_is_tiny_or_clipped_then_it_is_none() -> None:
    tiny = np.full((3, 20, 20), 0.3, np.float32)
    assert measure_noise_gain(tiny, tiny).decibels is None
    white = np.ones((3, 512, 512), np.float32)
    assert measure_noise_gain(white, white).decibels is None


def test_noise_gain_when_sizes_differ_then_it_raises_value_error() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measure_noise_gain(np.zeros((3, 64, 64), np.float32), np.zeros((3, 64, 66), np.float32))


def test_iso_equivalent_when_the_gain_is_ten_decibels_then_it_is_a_tenth_of_the_iso() -> None:
    gain = measure_noise_gain(scene() + noise(0.02, 1), scene() + noise(0.02 / 10**0.5, 2))
    assert gain.iso_equivalent(3200) == pytest.approx(320, rel=0.15)
