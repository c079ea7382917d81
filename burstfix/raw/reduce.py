"""Reduce frames to a fraction of their size, for fast previews."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from burstfix.opcodes import OpcodePlan
from burstfix.types import Frame, NoiseProfile

PREVIEW_FACTOR = 4


def reduce_frame(frame: Frame, factor: int = PREVIEW_FACTOR) -> Frame:
    """Reduce height and width of a frame by averaging; the CFA pattern stays the same.

    Each 2x2 square of the result is the mean of `factor` x `factor` squares of the frame:

        factor 2:   R G R G         R G      R = mean of the four R, and so on
                    G B G B    ->   G B
                    R G R G
                    G B G B

    Incomplete squares at the right and the bottom are cut off. The noise profile is divided by the number of
    averaged values. Opcodes are dropped, because their coordinates are in pixels of the original frame.

    Args:
        frame: A frame of any layout.
        factor: Positive integer by which height and width are divided.

    Returns:
        The smaller frame.
    """
    metadata = frame.metadata
    levels = metadata.levels
    rows, columns = _deltas(levels.black_rows, factor), _deltas(levels.black_cols, factor)
    reduced_levels = replace(levels, black_rows=rows, black_cols=columns)
    mosaic = np.rint(_means(_means(frame.mosaic, factor, 0), factor, 1)).astype(np.uint16)
    crop = metadata.default_crop
    reduced = replace(
        metadata,
        height=mosaic.shape[0],
        width=mosaic.shape[1],
        levels=reduced_levels,
        noise=None if metadata.noise is None else reduce_noise(metadata.noise, factor),
        default_crop=None if crop is None else tuple(value // factor for value in crop),
        opcodes=None,
    )
    return Frame(mosaic, reduced, OpcodePlan())


def reduce_noise(noise: NoiseProfile, factor: int = PREVIEW_FACTOR) -> NoiseProfile:
    """Return the noise of frames reduced by `factor`."""
    count = factor * factor
    return replace(
        noise,
        shot_gain=tuple(gain / count for gain in noise.shot_gain),
        read_variance=tuple(variance / count for variance in noise.read_variance),
    )


def _means(values: NDArray[np.generic], factor: int, axis: int) -> NDArray[np.float32]:
    """Average along an axis, separately for even and odd positions."""
    moved = np.moveaxis(values, axis, 0)
    count = len(moved) // (2 * factor)
    parts = moved[: count * 2 * factor].reshape(count, factor, 2, *moved.shape[1:])
    means = parts.mean(axis=1, dtype=np.float32).reshape(count * 2, *moved.shape[1:])
    return np.moveaxis(means, 0, axis)


def _deltas(values: NDArray[np.float32] | None, factor: int) -> NDArray[np.float32] | None:
    return None if values is None else _means(values, factor, 0)
