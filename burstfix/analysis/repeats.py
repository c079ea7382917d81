"""Find frames that repeat another frame's exposure: raws that were saved again in another format.

A repeat has the same noise as its original. If both are merged, the exposure has twice the weight without
additional light, and the measured noise is too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from burstfix.types import Frame

_PATCHES = 5  # number of patches along each side of the picture
_PATCH = 128  # side of a patch, sensor pixels
_BLOCK = 8  # pixels of one CFA position
_SHARED = 0.3  # independent noise gives a ratio near 1, shared noise near 0


def find_repeats(frames: Sequence[Frame]) -> dict[int, int]:
    """Find frames with the same noise as an earlier frame.

    In the flat parts of a scene, if noise is independent, the energy of the difference of two frames is the
    sum of their energies. The difference of a frame and its repeat has almost no energy. With three or more
    frames, the difference must also be far below that of other pairs, because frames of a scene without flat
    parts, taken from a tripod, look like repeats.

    Args:
        frames: Frames of one size and pattern.

    Returns:
        A mapping from the index of each repeat to that of its original.
    """
    samples = [_high_pass(frame) for frame in frames]
    pairs = list(combinations(range(len(frames)), 2))
    energies = {pair: _energy(samples[pair[0]] - samples[pair[1]]) for pair in pairs}
    quiet = {pair: float(np.quantile(energy, 0.1)) for pair, energy in energies.items()}
    median = float(np.median(list(quiet.values()))) if len(pairs) > 1 else float("inf")
    own = [_energy(sample) for sample in samples]
    repeats: dict[int, int] = {}
    for (i, j), energy in energies.items():
        both = own[i] + own[j]
        has_noise = both > 0
        if i in repeats or j in repeats or not has_noise.any():
            continue
        ratio = float(np.quantile(energy[has_noise] / both[has_noise], 0.9))
        if ratio < _SHARED and (ratio == 0 or quiet[i, j] < _SHARED * median):
            repeats[j] = i
    return repeats


def _high_pass(frame: Frame) -> NDArray[np.float32]:
    """Return the diagonal second differences in patches of a frame, (patches, rows, columns), in DN."""
    mosaic = frame.mosaic if frame.mosaic.ndim == 2 else frame.mosaic[..., 1]
    height, width = mosaic.shape
    rows, columns = min(_PATCH, height), min(_PATCH, width)
    patches = []
    for top in np.linspace(0, height - rows, _PATCHES).astype(int) // 2 * 2:
        for left in np.linspace(0, width - columns, _PATCHES).astype(int) // 2 * 2:
            x = mosaic[top : top + rows : 2, left : left + columns : 2].astype(np.float32)
            patches.append(x[1:, 1:] - x[:-1, 1:] - x[1:, :-1] + x[:-1, :-1])
    return np.stack(patches)


def _energy(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean square of each block of the patches."""
    count, height, width = patches.shape
    rows, columns = max(1, height // _BLOCK), max(1, width // _BLOCK)
    block_y, block_x = height // rows, width // columns
    cut = patches[:, : rows * block_y, : columns * block_x]
    blocks = cut.reshape(count, rows, block_y, columns, block_x)
    return np.square(blocks).mean(axis=(2, 4))
