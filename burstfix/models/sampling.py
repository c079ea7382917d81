"""Sampling of frames at fractional positions in space and time, differentiable in all three coordinates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(frames: Tensor, y: Tensor, x: Tensor, t: Tensor | None = None) -> Tensor:
    """Sample frames by trilinear interpolation.

    The frames are stacked to one tall picture, so that bilinear samples from the two nearest frames are
    gathered at once. They are then interpolated in time. Gradients are those of equations 12 to 15.

    Source: Xu et al., "Learning deformable kernels for image and video denoising" (2019), equation 7.

    Args:
        frames: (B, N, C, H, W).
        y: (B, ...) rows from 0 to H - 1.
        x: (B, ...) columns from 0 to W - 1.
        t: (B, ...) times from 0 to N - 1 in frames; None if there is only one frame.

    Returns:
        (B, C, ...).

    Example:
        >>> frames = torch.arange(8.0).reshape(1, 2, 1, 2, 2)
        >>> y, x, t = (torch.tensor([[value]]) for value in (0.5, 0.0, 0.25))
        >>> sample(frames, y, x, t).item()
        2.0
    """
    if t is None:
        return _sample_rows(frames, y[:, None], x[:, None])[:, :, 0]
    n, height = frames.shape[1], frames.shape[3]
    first = t.detach().floor().clamp_(0, n - 2)
    row = y + height * first
    before, after = _sample_rows(frames, torch.stack([row, row + height], 1), x[:, None]).unbind(2)
    return torch.lerp(before, after, (t - first)[:, None])


def _sample_rows(frames: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample the picture of all frames below each other, (B, C, N * H, W), by bilinear interpolation.

    Args:
        frames: (B, N, C, H, W).
        y: (B, ...) rows from 0 to N * H - 1.
        x: Columns from 0 to W - 1, broadcastable to `y`.

    Returns:
        (B, C, ...).
    """
    batch, n, channels, height, width = frames.shape
    tall = frames.transpose(1, 2).reshape(batch, channels, n * height, width)
    # Coordinates of `grid_sample` are -1 and 1 at the centres of the outermost pixels.
    x = (x * (2 / max(width - 1, 1)) - 1).expand_as(y)
    grid = torch.stack([x, y * (2 / max(n * height - 1, 1)) - 1], -1)
    flat = grid.reshape(batch, -1, y.shape[-1], 2)
    samples = F.grid_sample(tall, flat, mode="bilinear", padding_mode="border", align_corners=True)
    return samples.reshape(batch, channels, *y.shape[1:])


def reflect_time(t: Tensor, frames: int) -> Tensor:
    """Reflect times at the first and the last of several frames, so that they are in 0..frames - 1.

    >>> reflect_time(torch.tensor([-1.5, 0.5, 3.5]), 4).tolist()
    [1.5, 0.5, 2.5]
    """
    last = frames - 1
    return last - (torch.remainder(t, 2 * last) - last).abs()
