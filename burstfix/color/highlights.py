"""Reconstruction of clipped highlights from the channels that did not clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix

NEAR_CLIPPING = 0.9
"""Camera RGB above which a value may be clipped; merged frames may clip at different values."""


def reconstruct(
    camera: NDArray[np.float32], neutral: Matrix, clipping: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """White-balance camera RGB, and estimate clipped channels from the other channels.

    The value of a clipped channel is too low. Usually green clips first, which makes the sky magenta. A
    clipped channel is raised to the geometric mean of the two others, because this is approximately the green
    of daylight, lamp light and skin. For the lower one of the two others, a clipped channel counts as white.

    As a result, neutral light stays neutral until all channels clip, warm light pales to peach instead of
    pink, and saturated lamps keep their colour, because one of their channels is low.

    Args:
        camera: (3, h, w), 1 = white level of the sensor; not changed.
        neutral: (3,) camera RGB of a grey object, largest component 1.
        clipping: (3,) camera RGB at which each channel clips; None = 1.

    Returns:
        (3, h, w), a new array, at most `white_level(neutral)`.
    """
    balanced = camera / neutral.astype(np.float32)[:, None, None]
    white = np.float32(white_level(neutral))
    level = np.ones(3, np.float32) if clipping is None else clipping
    if float((camera.reshape(3, -1).max(axis=1) / level).max()) > NEAR_CLIPPING:
        doubt = camera if clipping is None else camera / level[:, None, None]
        doubt = np.clip((doubt - NEAR_CLIPPING) * (1 / (1 - NEAR_CLIPPING)), 0.0, 1.0)
        doubt *= doubt * (3.0 - 2.0 * doubt)
        possible = balanced + doubt * np.maximum(white - balanced, 0.0)
        read = balanced.copy()
        for k in range(3):
            low = np.maximum(np.minimum(possible[k - 1], possible[k - 2]), 0.0)
            high = np.maximum(np.maximum(read[k - 1], read[k - 2]), low)
            balanced[k] += doubt[k] * np.maximum(np.sqrt(low * high) - read[k], 0.0)
    return np.minimum(balanced, white, out=balanced)


def clipping_levels(camera: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the level at which each channel of a picture clips, if it is below the file's white level.

    Cameras that scale or compress their raws may clip a channel slightly below white. The histogram then has
    a peak: many samples at one value, almost none above it, and few just below.

    Args:
        camera: (3, h, w), 1 = white level of the sensor; a subset of the pixels is sufficient.

    Returns:
        float32 (3,), the lower end of the peak, at least 0.8; 1 if there is no peak.
    """
    levels = np.ones(3, np.float32)
    edges = np.linspace(0.8, 1.2, 41)
    for k in range(3):
        counts, _ = np.histogram(camera[k], bins=edges)
        peak = int(np.argmax(counts))
        pile = int(counts[max(peak - 1, 0) : peak + 2].sum())
        above, below = int(counts[peak + 4 :].sum()), int(counts[max(peak - 8, 0) : max(peak - 3, 0)].sum())
        if peak >= 8 and pile >= max(50, camera[k].size * 2e-4) and above < pile / 8 and below < pile / 4:
            levels[k] = min(edges[peak - 1], 1.0)
    return levels


def white_level(neutral: Matrix) -> float:
    """Return the level at which the last channel clips after white balance; the first one clips at 1."""
    return float(1 / np.min(neutral))
