"""Find bad columns and rows, or parts of them, by comparing the frames of a moving burst.

A line is compared with its neighbours of the same colour on both sides, over stretches of `_STRETCH` packed
pixels. It is bad if it is brighter (or darker) than both in most frames. The scene does not cause this,
because the scene moves across the line from frame to frame. Bursts that do not move in that direction are not
examined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import GlobalMotion, NoiseProfile

_STRETCH = 128  # packed pixels along a line that are averaged
_EVERY = 3  # every third packed pixel of a stretch is used
# Packed planes of the even lines and of the odd lines.
_COLUMNS = (slice(0, None, 2), slice(1, None, 2))
_ROWS = (slice(0, 2), slice(2, 4))
_MIN_FRAMES = 3
_MIN_SIDE = 48  # sensor pixels; shorter lines give too little evidence
_STILL = 1.0  # sensor pixels; frames that move less show the same detail on a line one pixel wide
_CLIP = 3.0  # standard deviations to which differences are clipped, so that edges have little weight
# Standard deviations of the noise of one pixel. Repairing smaller steps would do more harm than good.
_MIN_STEP = 1.0
_MIN_LEVEL = 0.003  # the same, normalised
_ERRORS = 5.0  # standard errors of the mean step
_STEADY = 0.4  # share of the median step that a frame must show to agree with it
_NEAR, _MAX_NEAR = 16, 4  # at most `_MAX_NEAR` bad lines within `_NEAR` sensor pixels
# If the share of bad lines is larger, they are a pattern of the sensor or scene, not defects.
_MAX_SHARE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Excess of lines over both neighbours. Each attribute is (S, N, lines): S stretches of N frames.

    Attributes:
        relative: Excess in standard deviations of the noise of one pixel; negative for darker lines.
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
    height, width, padding = sources[0].height, sources[0].width, sources[0].padding
    shape = (2 * height - padding.top - padding.bottom, 2 * width - padding.left - padding.right)
    across_columns, across_rows = moves(motions, "dx"), moves(motions, "dy")
    if len(sources) < _MIN_FRAMES or not (across_columns or across_rows) or min(shape) < _MIN_SIDE:
        return np.empty((0, 2), np.int32)
    bad = np.zeros((2 * height, 2 * width), bool)
    columns = _stretches(width)
    longest = max(right - left for left, right in columns)
    for top, bottom in _stretches(height):
        # One more packed row on each side, for the comparison of rows.
        first, last = max(0, top - 1), min(height, bottom + 1)
        frames = torch.stack([source.read(Region(first, 0, last, width)) for source in sources])
        if across_columns:
            part = frames[None, :, :, top - first : bottom - first : _EVERY]
            bad[2 * top : 2 * bottom] |= _bad_lines(part, noise, _COLUMNS, (padding.left, padding.right))
        if across_rows:
            ends = (padding.top if first == 0 else 0, padding.bottom if last == height else 0)
            starts = [min(left, width - longest) for left, _ in columns]
            part = torch.stack([frames[..., start : start + longest : _EVERY] for start in starts]).mT
            lines = _bad_lines(part, noise, _ROWS, ends)[:, 2 * (top - first) :][:, : 2 * (bottom - top)]
            sizes = [2 * (right - left) for left, right in columns]
            bad[2 * top : 2 * bottom] |= lines.T.repeat(sizes, axis=1)
    bad = bad[padding.top :, padding.left :][: shape[0], : shape[1]]
    if bad.mean() > _MAX_SHARE:
        return np.empty((0, 2), np.int32)
    return np.argwhere(bad).astype(np.int32)


def moves(motions: Sequence[GlobalMotion], axis: str) -> bool:
    """Return False if most frames lie within `_STILL` pixels of one frame along the axis ("dy" or "dx")."""
    shifts = torch.tensor([getattr(motion, axis) for motion in motions], dtype=torch.float64)
    near = (shifts[:, None] - shifts).abs() <= _STILL
    return int(near.sum(1).max()) * 2 <= len(motions)


def _stretches(size: int) -> list[tuple[int, int]]:
    """Divide a side into parts of about `_STRETCH` packed pixels."""
    count = max(1, round(size / _STRETCH))
    edges = [size * k // count for k in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _bad_lines(
    frames: Tensor, noise: NoiseProfile, pairs: tuple[slice, slice], ends: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return masks (S, 2w) of the sensor columns that are bad over all h rows.

    Args:
        frames: S stretches of the packed frames, (S, N, 4, h, w); transposed to examine rows.
        noise: Noise of the frames.
        pairs: The planes of the even and of the odd columns.
        ends: Number of columns (0 or 1) at both ends that are padding; they are not examined.
    """
    gain, read = (frames.new_tensor(x)[:, None, None] for x in (noise.shot_gain, noise.read_variance))
    variance = frames.mean(1, keepdim=True).clamp(min=0) * gain + read
    whole = _Steps(*frames.new_zeros(3, *frames.shape[:2], 2 * frames.shape[-1]))
    for parity, pair in enumerate(pairs):
        # Padding at the first end is an even column; padding at the last end is an odd column.
        inside = slice(ends[0] * (1 - parity), frames.shape[-1] - ends[1] * parity)
        steps = _steps(frames[:, :, pair, :, inside], variance[:, :, pair, :, inside])
        for name in ("relative", "level", "error"):
            getattr(whole, name)[..., parity::2][..., inside] = getattr(steps, name)
    return _select_bad(whole)


def _select_bad(steps: _Steps) -> NDArray[np.bool_]:
    """Return masks (S, lines) of the lines that are bad."""
    median = steps.relative.median(1, keepdim=True).values
    signed = steps.relative * median.sign()
    agreeing = signed > _STEADY * median.abs()
    count = agreeing.sum(1)
    total = count.clamp(min=1)
    level = (agreeing * steps.level).sum(1) / total
    error = (agreeing * steps.error.square()).sum(1).sqrt() / total
    # At most half of the frames show the same part of the scene at a line.
    enough = count >= max(_MIN_FRAMES, signed.shape[1] // 2 + 1)
    steady = enough & (signed > -_STEADY * median.abs()).all(1)
    large = median[:, 0].abs() > (_ERRORS * error).clamp(min=_MIN_STEP)
    bad = steady & large & (level.abs() > _MIN_LEVEL)
    # Many lines close together are a pattern of the scene that repeats with the motion of the camera.
    near = F.avg_pool1d(bad.float(), 2 * _NEAR + 1, 1, _NEAR) * (2 * _NEAR + 1)
    return (bad & (near.round() <= _MAX_NEAR)).numpy()


def _steps(mosaics: Tensor, variance: Tensor) -> _Steps:
    """Compare the columns of two planes (S, N, 2, h, w) with their neighbours."""
    relative = mosaics[..., 1:] - mosaics[..., :-1]
    deviation = (variance[..., 1:] + variance[..., :-1]).sqrt_().clamp_(min=1e-6)
    relative.div_(deviation).clamp_(-_CLIP, _CLIP)
    count = relative.shape[2] * relative.shape[3]
    mean = relative.mean((2, 3))
    # The mean is small compared with the deviation, so this difference is exact enough; `std` is slower.
    error = (relative.square().mean((2, 3)) - mean.square()).clamp(min=0).sqrt() / max(count, 1) ** 0.5
    level = relative.mul_(deviation).mean((2, 3))
    relative = mean * 2**0.5  # the difference has twice the variance of one pixel
    return _Steps(_smaller_step(relative), _smaller_step(level), _larger_error(error) * 2**0.5)


def _smaller_step(step: Tensor) -> Tensor:
    """Combine steps (..., w - 1) from each column to the next into excesses over both neighbours (..., w).

    The excess is the smaller step, or 0 if one neighbour is brighter and the other darker. At the border the
    second neighbour is two columns away.
    """
    from_left = torch.cat([-(step[..., :1] + step[..., 1:2]), step], -1)
    from_right = torch.cat([-step, step[..., -1:] + step[..., -2:-1]], -1)
    smaller = torch.where(from_left.abs() < from_right.abs(), from_left, from_right)
    return torch.where(from_left.sign() == from_right.sign(), smaller, 0.0)


def _larger_error(error: Tensor) -> Tensor:
    """Return the larger error of the steps to both neighbours: (..., w - 1) to (..., w)."""
    padded = F.pad(error, (1, 1))
    return torch.maximum(padded[..., 1:], padded[..., :-1])
