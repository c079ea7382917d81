"""Fit of a line to generated points: night skies, textured scenes and outliers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from burstfix.analysis.noise_fit import Points, fit_planes, joined

SLOPE, INTERCEPT = 1.6e-4, 3e-7
ERROR = 0.1
LEVELS = (0.0090, 0.0113, 0.0113, 0.0082)  # signals of the sky in the four planes


def points(signal: NDArray[np.float64], uniformity: float, seed: int, excess: float = 1.0) -> Points:
    """Return points that scatter around the line, multiplied by `excess`."""
    scatter = np.exp(ERROR * np.random.default_rng(seed).standard_normal(signal.size))
    variance = (SLOPE * signal + INTERCEPT) * scatter * excess
    full = np.full_like(signal, ERROR)
    return Points(signal, variance, full, full / ERROR, uniformity * full / ERROR)


def with_variance(before: Points, index: int, factor: float) -> Points:
    """Return the points with the variance of one of them multiplied by `factor`."""
    variance = before.variance.copy()
    variance[index] *= factor
    return Points(before.signal, variance, before.error, before.disturbance, before.uniformity)


def ratios(planes: list[Points]) -> NDArray[np.float64]:
    """Return the fitted variance divided by the true one, at the signals of all planes."""
    lines = fit_planes(planes, trust_disturbance=True)
    return np.concatenate(
        [
            line.at(own.signal) / (SLOPE * own.signal + INTERCEPT)
            for line, own in zip(lines, planes, strict=True)
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_fit_planes_when_all_signals_are_similar_and_uniform_then_the_line_goes_through_the_points(seed):
    planes = [
        points(level * np.linspace(0.96, 1.04, 12), 1.0, 10 * seed + k) for k, level in enumerate(LEVELS)
    ]
    assert ratios(planes) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("factor", [0.3, 5.0])
def test_fit_planes_when_one_uniform_point_is_an_outlier_then_it_is_ignored(factor):
    planes = [points(level * np.linspace(0.98, 1.02, 3), 1.0, k) for k, level in enumerate(LEVELS)]
    planes[0] = with_variance(planes[0], 1, factor)
    assert ratios(planes) == pytest.approx(1, abs=0.15)


def test_fit_planes_when_most_points_contain_texture_then_the_line_follows_the_uniform_points():
    planes = []
    for k in range(4):
        clean = points(np.linspace(0.01, 0.3, 4), 1.0, k)
        textured = points(np.linspace(0.02, 0.6, 12), 0.0, 20 + k, excess=3.0)
        planes.append(joined([clean, textured]))
    assert ratios(planes) == pytest.approx(1, abs=0.15)


def test_fit_planes_when_texture_grows_with_the_signal_then_the_line_excludes_it():
    planes = []
    for k in range(4):
        flat = points(np.linspace(0.01, 0.6, 16), 0.0, k)
        texture = 1e-4 * flat.signal**2 / 0.6
        planes.append(
            Points(flat.signal, flat.variance + texture, flat.error, flat.disturbance, flat.uniformity)
        )
    assert ratios(planes) == pytest.approx(1, abs=0.2)
