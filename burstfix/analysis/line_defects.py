"""Find bad columns and rows of a sensor, whole or in part, by comparing the frames of a moving burst.

A line is compared with its neighbours of the same colour on both sides, over stretches of `_STRETCH` pixels.
It is bad if it is brighter (or darker) than both in most frames. The scene does not cause this, because it
moves across the line from frame to frame; bursts that do not move in that direction are not examined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import unpack
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import GlobalMotion, NoiseProfile

_STRETCH = 256  # sensor pixels along a line that are averaged
_EVERY = 3  # every third pixel of a stretch is used; an odd number, so that all colours take part
_MIN_FRAMES = 3
_MIN_SIDE = 48  # sensor pixels; shorter lines give too little evidence
_STILL = 1.0  # sensor pixels: frames that move less show the same detail on a line one pixel wide
_CLIP = 3.0  # standard deviations to which differences are clipped, so that edges have little weight
_MIN_STEP = 1.0  # standard deviations of one pixel's noise; smaller steps are not worth the lost detail
_MIN_LEVEL = 0.003  # the same, normalised
_ERRORS = 5.0  # standard errors of the mean step
_STEADY = 0.4  # share of the median step that a frame must show to agree with it
_NEAR, _MAX_NEAR = 16, 4  # lines within so many sensor pixels, and how many may be bad
_MAX_SHARE = (
    0.02  # if the share of bad lines is larger, they are a pattern of the sensor or scene, not defects
)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Excess of lines over both neighbours in one stretch; (N, lines) for N frames.

    Attributes:
        relative: Excess in standard deviations of one pixel's noise; negative for darker lines.
        level: The same, normalised.
        error: Standard error of `relative`.
    """

    relative: Tensor
    level: Tensor
    error: Tensor


def find_line_defects(
    sources: Sequence[FrameSource], noise: NoiseProfile, motions: Sequence[GlobalMotion]
) -> NDArray[np.int32]:
    """Find bad columns and rows.

    Args:
        sources: Frames of one camera, with one channel.
        noise: Noise of the frames.
        motions: Motion of each frame relative to any one of them.

    Returns:
        int32 (count, 2), rows and columns in the visible area of all pixels of bad lines. Empty for fewer
        than three frames, and for lines across which the frames do not move.
    """
    padding, width = sources[0].padding, sources[0].width
    shape = (
        2 * sources[0].height - padding.top - padding.bottom,
        2 * sources[0].width - padding.left - padding.right,
    )
    bad = np.zeros(shape, bool)
    across_columns = moves(motions, "dx")
    across_rows = moves(motions, "dy")
    if len(sources) < _MIN_FRAMES or not (across_columns or across_rows) or min(shape) < _MIN_SIDE:
        return np.empty((0, 2), np.int32)
    for top, bottom in _stretches(shape[0]):
        # Two more rows of the same colour on each side, for the comparison of rows.
        first, last = max(0, top - 2), min(shape[0], bottom + 2)
        packed_top, packed_bottom = (first + padding.top) // 2, -(-(last + padding.top) // 2)
        region = Region(packed_top, 0, packed_bottom, width)
        cut = slice(first + padding.top - 2 * packed_top, last + padding.top - 2 * packed_top)
        mosaics = torch.stack([unpack(source.read(region)) for source in sources])
        mosaics = mosaics[:, cut, padding.left : padding.left + shape[1]]
        variance = _variance(mosaics, noise, (first + padding.top) % 2, padding.left)
        if across_columns:
            inner = slice(top - first, bottom - first)
            bad[top:bottom] |= _bad_lines(mosaics[:, inner], variance[:, inner])[None]
        if across_rows:
            for left, right in _stretches(shape[1]):
                part = slice(left, right)
                lines = _bad_lines(mosaics[..., part].mT, variance[..., part].mT)
                bad[top:bottom, part] |= lines[top - first : bottom - first, None]
    if bad.mean() > _MAX_SHARE:
        return np.empty((0, 2), np.int32)
    return np.argwhere(bad).astype(np.int32)


def moves(motions: Sequence[GlobalMotion], axis: str) -> bool:
    """Return True unless most frames lie within a few pixels of one of them, along "dy" or "dx"."""
    shifts = torch.tensor([getattr(motion, axis) for motion in motions], dtype=torch.float64)
    near = (shifts[:, None] - shifts).abs() <= _STILL
    return int(near.sum(1).max()) * 2 <= len(motions)


def _stretches(size: int) -> list[tuple[int, int]]:
    """Divide a side into parts of about `_STRETCH` pixels."""
    count = max(1, round(size / _STRETCH))
    edges = [size * k // count for k in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _variance(mosaics: Tensor, noise: NoiseProfile, first_row: int, first_col: int) -> Tensor:
    """Return the variance of noise (1, h, w), of mosaics (N, h, w) that begin at a pixel of the pattern."""
    gain, read = (
        torch.tensor(values).reshape(2, 2).roll((-first_row, -first_col), (0, 1))
        for values in (noise.shot_gain, noise.read_variance)
    )
    height, width = mosaics.shape[-2:]
    repeats = (-(-height // 2), -(-width // 2))
    gain, read = (x.repeat(repeats)[:height, :width] for x in (gain, read))
    return mosaics.mean(0, keepdim=True).clamp(min=0) * gain + read


def _bad_lines(mosaics: Tensor, variance: Tensor) -> NDArray[np.bool_]:
    """Return a mask (w,) of the columns of (N, h, w) mosaics that are bad over all h rows."""
    steps = _steps(mosaics[:, ::_EVERY], variance[:, ::_EVERY])
    usual = steps.relative.median(0).values
    along = steps.relative * usual.sign()
    agreeing = along > _STEADY * usual.abs()
    count = agreeing.sum(0)
    total = count.clamp(min=1)
    level = (agreeing * steps.level).sum(0) / total
    error = (agreeing * steps.error.square()).sum(0).sqrt() / total
    # At most half of the frames show the same part of the scene at a line.
    steady = (count >= max(_MIN_FRAMES, len(mosaics) // 2 + 1)) & (along > -_STEADY * usual.abs()).all(0)
    bad = steady & (usual.abs() > (_ERRORS * error).clamp(min=_MIN_STEP)) & (level.abs() > _MIN_LEVEL)
    # Many lines close together are a pattern of the scene that repeats with the motion of the camera.
    near = torch.nn.functional.avg_pool1d(bad.float()[None], 2 * _NEAR + 1, 1, _NEAR, count_include_pad=True)[
        0
    ] * (2 * _NEAR + 1)
    return (bad & (near.round() <= _MAX_NEAR)).numpy()


def _steps(mosaics: Tensor, variance: Tensor) -> _Steps:
    """Compare the columns of (N, h, w) with their neighbours of the same colour, two columns away."""
    difference = mosaics[..., 2:] - mosaics[..., :-2]
    deviation = (variance[..., 2:] + variance[..., :-2]).sqrt().clamp(min=1e-6)
    relative = (difference / deviation).clamp(-_CLIP, _CLIP)
    count = relative.shape[1]
    error = relative.std(1, correction=0) / max(count, 1) ** 0.5
    level = (relative * deviation).mean(1)
    relative = relative.mean(1) * 2**0.5  # the difference has twice the variance of one pixel
    return _Steps(_smaller(relative), _smaller(level), _larger(error) * 2**0.5)


def _smaller(step: Tensor) -> Tensor:
    """Combine steps (N, w - 2) from each column to the next into excesses over both neighbours (N, w).

    The excess is the smaller step, or 0 if one neighbour is brighter and the other darker. At the border the
    second neighbour is four columns away.
    """
    from_left = torch.cat([-(step[:, :2] + step[:, 2:4]), step], 1)
    from_right = torch.cat([-step, step[:, -2:] + step[:, -4:-2]], 1)
    smaller = torch.where(from_left.abs() < from_right.abs(), from_left, from_right)
    return torch.where(from_left.sign() == from_right.sign(), smaller, 0.0)


def _larger(error: Tensor) -> Tensor:
    """Combine the errors (N, w - 2) of steps: the larger one of both neighbours (N, w)."""
    padded = torch.nn.functional.pad(error, (2, 2))
    return torch.maximum(padded[..., 2:], padded[..., :-2])
