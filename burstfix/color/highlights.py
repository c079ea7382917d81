"""Clipped highlights: what the channels that did not clip say about those that did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix

NEAR_CLIPPING = 0.9
"""Camera RGB from which on a reading is doubted: merged frames may have clipped at different times."""


def reconstruct(camera: NDArray[np.float32], neutral: Matrix) -> NDArray[np.float32]:
    """White-balanced camera RGB, clipped channels raised to what the others say.

    A clipped channel reads too little; most often green does, first of all, and the sky turns magenta. It is
    raised to the geometric mean of the two others, where green lies in daylight, lamp light and skin; another
    clipped channel counts as white where the lower one is sought. So a neutral light stays neutral however
    many channels clip, up to where the last one does, warm light pales by way of peach and not of pink, and
    saturated lamps keep their colour: a channel of theirs is low.

    Args:
        camera: (3, h, w), 1 = the sensor's white; left as it is.
        neutral: (3,) camera RGB of a grey object, largest component 1.

    Returns:
        (3, h, w), a new array, at most `white_level(neutral)`.
    """
    balanced = camera / neutral.astype(np.float32)[:, None, None]
    white = np.float32(white_level(neutral))
    if float(camera.max()) > NEAR_CLIPPING:
        doubt = np.clip((camera - NEAR_CLIPPING) * (1 / (1 - NEAR_CLIPPING)), 0.0, 1.0)
        doubt *= doubt * (3.0 - 2.0 * doubt)
        possible = balanced + doubt * np.maximum(white - balanced, 0.0)
        read = balanced.copy()
        for k in range(3):
            low = np.maximum(np.minimum(possible[k - 1], possible[k - 2]), 0.0)
            high = np.maximum(np.maximum(read[k - 1], read[k - 2]), low)
            balanced[k] += doubt[k] * np.maximum(np.sqrt(low * high) - read[k], 0.0)
    return np.minimum(balanced, white, out=balanced)


def white_level(neutral: Matrix) -> float:
    """Where the last channel clips once white-balanced; the first one does so at 1."""
    return float(1 / np.min(neutral))
