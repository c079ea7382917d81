"""Confidence intervals by bootstrap, for means and for paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty, which is NaN if it cannot be estimated.

    Attributes:
        mean: Mean of the means of the groups.
        low, high: Ends of the 95% confidence interval.
        error: Standard error.
    """

    mean: float
    low: float
    high: float
    error: float


def bootstrap(groups: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Estimate the mean of the means of groups, and its uncertainty.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals. Values of
        one group (bursts of one clip or photograph) are correlated, so both levels are resampled: first
        groups, then values within each group. A single group is kept, and only its values are resampled.

    Args:
        groups: Groups of one or more values.
        seed: Seed of the resampling.

    Example:
        >>> bootstrap([[1.0], [2.0], [3.0]]).mean
        2.0
    """
    values = [np.asarray(group, np.float64) for group in groups]
    mean = float(np.mean([group.mean() for group in values])) if values else float("nan")
    if sum(map(len, values)) < 2 or not np.isfinite(mean):
        return Estimate(mean, float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(values), (RESAMPLES, len(values)))
    means = np.empty(chosen.shape)
    for index, group in enumerate(values):
        drawn = chosen == index
        means[drawn] = _resampled_means(group, int(drawn.sum()), generator)
    replicates = means.mean(1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return Estimate(mean, float(low), float(high), float(replicates.std()))


def _resampled_means(
    group: NDArray[np.float64], count: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    return group[generator.integers(0, len(group), (count, len(group)))].mean(1)
