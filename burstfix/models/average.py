"""Merge without a network: average aligned frames where noise explains their differences.

This is the baseline for networks and does not need weights. As in HDR+ (Hasinoff et al., "Burst photography
for high dynamic range and low-light imaging on mobile cameras", 2016, section 5), overlapping windows of two
cells are compared with the reference separately at each frequency. Therefore a moved edge can be rejected
while the flat area around it is still averaged. Then a Wiener filter removes part of the remaining noise at
each frequency. Finally, the bias due to clipping at black is corrected, and the mosaic is demosaicked (Menon
et al.).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.gather import BurstTile
from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.native.spectra import can_merge_windows, merge_windows
from burstfix.raw.demosaic import menon

_BIASED = 6.0  # signals this many standard deviations of noise above black are not biased by clipping
# Number of low frequencies in each direction. The smallest weight of a frame at these frequencies is its
# contribution to the number of frames used.
_CONTENT = 4


@dataclass(frozen=True, slots=True)
class AverageConfig:
    """Settings of the merge.

    Attributes:
        tolerance: A frame loses weight if the energy of its difference from the reference exceeds this
            multiple of the energy of noise alone.
        strength: Steepness of the loss: the weight is 1 / (1 + (strength * excess)^2). It was tuned together
            with the tolerance on a panned clip at two noise levels, where values of 0.2 to 0.5 differ by less
            than 0.1 dB.
        shrinkage: Strength of the Wiener filter. A frequency with at most the energy of noise alone is
            divided by 1 + shrinkage; 0 disables the filter.
        bias_radius: Radius of the neighbourhood in which the bias at black is measured, in packed pixels.
    """

    tolerance: float = 1.2
    strength: float = 0.4
    shrinkage: float = 1.0
    bias_radius: int = 3


class Average(BurstModel):
    """Robust temporal average with a Wiener filter in overlapping windows, followed by demosaicking."""

    config_class = AverageConfig

    def __init__(self, config: AverageConfig | None = None):
        super().__init__()
        self.config = config or AverageConfig()
        self.info = ModelInfo(
            "average",
            size_multiple=CELL,
            halo=2 * CELL,
            bytes_per_pixel=30,
            bytes_per_pixel_fixed=300,
            any_planes=True,
            supports_bfloat16=False,
        )

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """See `BurstModel.forward`; the frames must be aligned."""
        batch, count, _, height, width = frames.shape
        field = torch.zeros(2, -(-height // CELL), -(-width // CELL), dtype=torch.long, device=frames.device)
        mosaics = []
        for b in range(batch):
            tile = BurstTile(
                tuple(frames[b]),
                ((0, 0),) * count,
                (field,) * count,
                CELL,
                0,
                0,
                reference,
                shot_gain[b : b + 1] if shot_gain.shape[0] > 1 else shot_gain,
                read_variance[b : b + 1] if read_variance.shape[0] > 1 else read_variance,
            )
            mosaics.append(self._merge(tile)[0][:, :height, :width])
        mosaic = torch.stack(mosaics)
        return Merged(menon(mosaic), mosaic)

    def merge_tile(self, tile: BurstTile) -> Tensor:
        """See `BurstModel.merge_tile`."""
        return self.merge_tile_with_usage(tile)[0]

    def merge_tile_with_usage(self, tile: BurstTile) -> tuple[Tensor, Tensor | None]:
        """See `BurstModel.merge_tile_with_usage`.

        Frames count according to their weights at low frequencies.
        """
        mosaic, frames_used = self._merge(tile)
        return menon(mosaic[None])[0], frames_used

    def merge_mosaic(self, tile: BurstTile) -> Tensor:
        """See `BurstModel.merge_mosaic`. The mosaic may have any number of planes."""
        return self._merge(tile)[0]

    def _merge(self, tile: BurstTile) -> tuple[Tensor, Tensor]:
        """Average a tile.

        Return the mosaic (C, h, w), with unbiased shadows, and the frames used (gy, gx).
        """
        if len(tile.sources) == 1:
            frames_used = torch.ones(tile.offsets[0].shape[-2:], device=tile.sources[0].device)
            return tile.aligned()[0].float(), frames_used
        assumed_gain, assumed_variance = tile.assumed_noise()
        merged, frames_used = self._average(tile, assumed_gain[0, 0].float(), assumed_variance[0, 0].float())
        # Clipping at black biases the shadows by an amount that depends on the actual noise.
        unbiased = _unbiased_shadows(
            merged,
            functools.reduce(torch.minimum, tile.each_aligned()).float(),
            tile.shot_gain[0, 0].float(),
            tile.read_variance[0, 0].float(),
            self.config.bias_radius,
        )
        return unbiased, frames_used

    def _average(self, tile: BurstTile, shot_gain: Tensor, read_variance: Tensor) -> tuple[Tensor, Tensor]:
        gy, gx = tile.offsets[0].shape[-2:]
        side, half = 2 * tile.cell, tile.cell // 2
        height, width = gy * tile.cell, gx * tile.cell
        device = tile.sources[0].device
        total = torch.zeros(tile.sources[0].shape[0], height + 2 * side, width + 2 * side, device=device)
        weight = torch.zeros(height + 2 * side, width + 2 * side, device=device)
        frames_used = torch.ones(gy, gx, device=device)
        dct, pool, fade = _dct(side).to(device), _pool(side).to(device), _fade(side).to(device)
        for phase_y in (0, 1):
            for phase_x in (0, 1):
                if min(gy - phase_y, gx - phase_x) < 1:
                    continue
                windows = (window.float() for window in tile.each_window(phase_y, phase_x))
                reference = next(windows)
                rows, cols = reference.shape[-2:]
                top, left = side + phase_y * tile.cell - half, side + phase_x * tile.cell - half
                gains, reads = (
                    _window_mean(noise, side, top - side, left - side, rows, cols)
                    for noise in (shot_gain, read_variance)
                )
                variance = F.avg_pool2d(reference, side).clamp(min=0) * gains + reads  # C, ny, nx
                merged, used = self._merge_windows(reference, windows, variance, dct, pool)
                frames_used[phase_y::2, phase_x::2] = used  # each window is centred on a cell
                blend = fade.repeat(rows // side)[:, None] * fade.repeat(cols // side)
                total[:, top : top + rows, left : left + cols] += merged * blend
                weight[top : top + rows, left : left + cols] += blend
        inside = slice(side, side + height), slice(side, side + width)
        return total[:, inside[0], inside[1]] / weight[inside], frames_used

    def _merge_windows(
        self, reference: Tensor, others: Iterable[Tensor], variance: Tensor, dct: Tensor, pool: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Merge windows that lie edge to edge, frame by frame.

        Args:
            reference: Windows of the reference, (C, ny * side, nx * side).
            others: Windows of the other frames, (N - 1, C, ny * side, nx * side).
            variance: Noise variance of each window, (C, ny, nx).
            dct: (side, side), see `_dct`.
            pool: (side, side), see `_pool`.

        Returns:
            The merged windows (C, ny * side, nx * side), and the effective number of frames (ny, nx).
        """
        side = dct.shape[0]
        if can_merge_windows(reference, side):
            found = merge_windows(
                reference,
                others,
                variance,
                dct,
                pool,
                content=_CONTENT,
                tolerance=self.config.tolerance,
                strength=self.config.strength,
                shrinkage=self.config.shrinkage,
            )
            return found.windows, found.shares.square() / found.squared_shares
        planes, ny, nx = variance.shape
        # Expected energy of the difference of two frames, averaged over the planes.
        scale = (1 / (2 * planes * variance)).reshape(planes, ny, 1, nx, 1)
        spectrum = _transform(reference, dct)
        difference, weights = torch.zeros_like(spectrum), torch.ones_like(spectrum[0])
        squared_weights = torch.ones_like(weights)
        shares, squared_shares = torch.ones_like(variance[0]), torch.ones_like(variance[0])
        for other in others:
            change = _transform(other, dct).sub_(spectrum)
            energy = (change.square().view(planes, ny, side, nx, side) * scale).sum(0)
            energy = _transform(energy.view(ny * side, nx * side), pool)
            excess = energy.sub_(self.config.tolerance).clamp_(min=0).mul_(self.config.strength)
            weight = excess.square_().add_(1).reciprocal_()
            difference.addcmul_(change, weight)
            weights.add_(weight)
            squared_weights.addcmul_(weight, weight)
            # Frames with different content differ at low frequencies. High frequencies are mostly noise.
            low = weight.view(ny, side, nx, side)[:, :_CONTENT, :, :_CONTENT].amin((1, 3))
            shares, squared_shares = shares + low, squared_shares + low.square()
        merged = difference.div_(weights).add_(spectrum)
        merged = self._filtered(merged, variance, squared_weights / weights.square(), pool)
        return _transform(merged, dct.t()), shares.square() / squared_shares

    def _filtered(self, spectra: Tensor, variance: Tensor, noise_share: Tensor, pool: Tensor) -> Tensor:
        """Apply a Wiener filter at each frequency to remove the noise that remains after averaging.

        The energy of the signal is estimated from each frequency and its neighbours. The mean of each window
        is unchanged.

        Args:
            spectra: (C, ny * side, nx * side) windows of averaged frequencies.
            variance: (C, ny, nx) noise variance of a frame.
            noise_share: (ny * side, nx * side) remaining share of that variance.
            pool: (side, side), see `_pool`.
        """
        if not self.config.shrinkage:
            return spectra
        side = pool.shape[0]
        ny, nx = variance.shape[-2:]
        energy = _transform(spectra.square(), pool).reshape(-1, ny, side, nx, side)
        noise = variance[:, :, None, :, None] * noise_share.reshape(ny, side, nx, side)
        gain = energy / (energy + self.config.shrinkage * noise).clamp(min=1e-20)
        gain[:, :, 0, :, 0] = 1
        return spectra * gain.reshape(spectra.shape)


def _window_mean(noise: Tensor, side: int, top: int, left: int, rows: int, cols: int) -> Tensor:
    """Average a noise map (C, h, w) over windows that start at (top, left); return (C, 1, 1) unchanged."""
    if noise.shape[-1] == 1:
        return noise
    padded = F.pad(noise[None], (side, side, side, side), mode="replicate")[0]
    return F.avg_pool2d(padded[:, side + top : side + top + rows, side + left : side + left + cols], side)


def _unbiased_shadows(
    merged: Tensor, lowest: Tensor, shot_gain: Tensor, read_variance: Tensor, radius: int
) -> Tensor:
    """Correct the bias that clipping at black adds to noisy shadows.

    If x is as small as the noise n, the mean of max(0, x + n) exceeds x. The excess is computed from the mean
    of a small neighbourhood, because single pixels are too noisy. Pixels are scaled instead of shifted. This
    gives the same mean, and pixels do not fall below black, where they would be clipped again. If a sample
    nearby is negative, the file is not clipped, and the pixel is not corrected.

    Args:
        merged: (C, h, w) mean of the frames.
        lowest: (C, h, w) smallest value among the frames.
        shot_gain: Shot gain, (C, 1, 1) or a map (C, h, w).
        read_variance: Read variance, in the same form.
        radius: Radius of the neighbourhood in packed pixels.
    """
    local = merged
    for window, padding in (((1, 2 * radius + 1), (0, radius)), ((2 * radius + 1, 1), (radius, 0))):
        local = F.avg_pool2d(local, window, 1, padding, count_include_pad=False)
    shot_gain, read_variance = shot_gain.expand_as(local), read_variance.expand_as(local)
    deviation_squared = local.clamp(min=0) * shot_gain + read_variance
    biased = local < _BIASED * deviation_squared.sqrt()
    if not biased.any():
        return merged
    biased &= ~_widened(lowest < 0, radius)
    mean = local[biased]
    unclipped = _unclip_mean(mean, shot_gain[biased], read_variance[biased])
    merged = merged.clone()
    merged[biased] *= unclipped / mean.clamp(min=1e-8)
    return merged


def _widened(mask: Tensor, radius: int) -> Tensor:
    """Return a mask (C, h, w) of the pixels that have a True within `radius` in both directions."""
    for axis in (-1, -2):
        narrow, mask = mask, mask.clone()
        size = mask.shape[axis]
        for shift in range(1, min(radius, size - 1) + 1):
            mask.narrow(axis, shift, size - shift).logical_or_(narrow.narrow(axis, 0, size - shift))
            mask.narrow(axis, 0, size - shift).logical_or_(narrow.narrow(axis, shift, size - shift))
    return mask


def _unclip_mean(mean: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
    """Return the signal x >= 0 for which x plus normal noise, clipped at 0, has the given mean.

    The mean is x * P(x / s) + s * p(x / s), where s(x) is the standard deviation, P the normal distribution
    and p its density. This function is increasing and convex, so Newton's method converges from above without
    overshooting.
    """
    x = mean.clamp(min=0)
    for _ in range(4):
        deviation = (x * shot_gain + read_variance).sqrt().clamp(min=1e-8)
        z = x / deviation
        below = 0.5 * (1 + torch.erf(z * math.sqrt(0.5)))
        density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        slope = below + density * shot_gain / (2 * deviation)
        x = (x - (x * below + deviation * density - mean) / slope).clamp(min=0)
    return x


def _transform(windows: Tensor, matrix: Tensor) -> Tensor:
    """Compute matrix @ window @ matrix^T for windows that lie edge to edge in (..., rows, cols)."""
    side = matrix.shape[0]
    rows, cols = windows.shape[-2:]
    across = matrix @ windows.reshape(-1, side, cols)
    return (across.reshape(-1, side) @ matrix.t()).reshape(windows.shape)


@lru_cache
def _dct(side: int) -> Tensor:
    """Return the matrix of the orthonormal DCT-II, (side, side)."""
    k = torch.arange(side, dtype=torch.float64)
    matrix = torch.cos(math.pi / side * k[:, None] * (k + 0.5)) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


@lru_cache
def _pool(side: int) -> Tensor:
    """Return the matrix that averages a frequency and its neighbours, (side, side)."""
    near = (torch.arange(side)[:, None] - torch.arange(side)).abs() <= 1
    return near / near.sum(1, keepdim=True)


@lru_cache
def _fade(side: int) -> Tensor:
    """Return a raised cosine; copies shifted by half a window add up to 1."""
    return 0.5 - 0.5 * torch.cos(2 * math.pi * (torch.arange(side) + 0.5) / side)
