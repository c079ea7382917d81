"""Clipped highlights: what the channels that did not clip say about those that did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix

NEAR_CLIPPING = 0.9
"""Camera RGB from which on a reading is doubted: merged frames may have clipped at different times."""

_LAMP, _PALE = 0.5, 0.8  # ratios of two channels: of a saturated lamp at most, of pale light at least


def reconstruct(camera: NDArray[np.float32], neutral: Matrix) -> NDArray[np.float32]:
    """White-balanced camera RGB, clipped channels raised to what the others say.

    A clipped channel reads too little; most often green does, first of all, and the sky turns magenta. It is
    raised to between the two others, or to the lower one where they are far apart; another clipped channel
    counts as white where the lower one is sought. So a neutral light stays neutral however many channels
    clip, up to where the last one does, and saturated lamps keep their colour: a channel of theirs is low.

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
            low = np.minimum(possible[k - 1], possible[k - 2])
            high = np.maximum(read[k - 1], read[k - 2])
            # Pale light: between the others. The further apart they are, the more the lower one counts.
            pale = np.clip((low / np.maximum(high, 1e-6) - _LAMP) / (_PALE - _LAMP), 0.0, 1.0)
            guess = low + 0.5 * pale * np.maximum(high - low, 0.0)
            balanced[k] += doubt[k] * np.maximum(guess - read[k], 0.0)
    return np.minimum(balanced, white, out=balanced)


def white_level(neutral: Matrix) -> float:
    """Where the last channel clips once white-balanced; the first one does so at 1."""
    return float(1 / np.min(neutral))
