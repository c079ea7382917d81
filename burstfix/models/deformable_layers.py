"""A deformable kernel: layers that predict where to sample the burst and the weight of each sample.

    features --> places --> samples --+--> weights --+
                         features  +  |              +--> weighted sums
                         input     +  +--> samples --+

Places and weights are predicted for quads (2x2 packed pixels), with values of their own for each pixel of a
quad. The four planes share both.

Source: Xu et al., "Learning deformable kernels for image and video denoising" (2019), figure 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.models.kernel_network import DIFFERENCE_LIMIT, Guide
from burstfix.models.kernels import LOGIT_LIMIT, SIGNED_SCALE, from_quads, planes
from burstfix.models.layers import Conv, channels_last, rounded, unshuffle
from burstfix.models.sampling import reflect_time, sample
from burstfix.raw.cfa import deinterleave

STRIP = 2**13  # number of packed pixels for which frames are sampled at once
# Time of the last layer at rest (first layer: -0.5), in units of the longest distance from the reference.
REST_TIME = 0.5
TIME_NODES = 5  # number of times for which the features of the frames are summarised


@dataclass(frozen=True, slots=True, eq=False)
class KernelSums:
    """Result of one kernel, not yet normalised.

    Attributes:
        sums: (B, G, 4, 4, h / 2, w / 2), weighted sums over each group of samples: group, plane, pixel of the
            quad, rows, columns.
        mass: (B, 4, h / 2, w / 2), sum of all weights.
        by_frame: (B, n, 4, h / 2, w / 2), sum of the positive weights of the samples from each frame; None in
            training mode.
    """

    sums: Tensor
    mass: Tensor
    by_frame: Tensor | None

    def groups(self) -> Tensor:
        """Return the result of each group, (B, G, 4, h, w); their mean is the mosaic.

        Each result is scaled by the number of groups, so that it is a complete picture (equation 10).
        """
        normalised = self.sums.shape[1] * self.sums / self.mass[:, None, None]
        return from_quads([normalised.flatten(1, 2)]).unflatten(1, (-1, 4))


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Sampling places of some rows of quads, each (B, K, 4, rows, w / 2).

    Attributes:
        y: Row in packed pixels. Row 0 is the first row of the border above the rows.
        x: Column in packed pixels. Column 0 is the first column of the border.
        t: Time in frames; None if there is only one frame.
    """

    y: Tensor
    x: Tensor
    t: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class _Strip:
    """Samples of some rows of quads.

    Attributes:
        rows: The rows.
        values: (B, 4, K, 4, rows, w / 2): plane, sample, pixel of the quad, rows, columns.
        times: (B, K, 4, rows, w / 2) in frames; None if there is only one frame.
    """

    rows: slice
    values: Tensor
    times: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Samples of a kernel.

    Attributes:
        strips: The samples in strips, from the top.
        differences: (B, 16 * K, h / 2, w / 2), bounded differences between the samples and the reference, in
            units of the noise.
    """

    strips: list[_Strip]
    differences: Tensor


class DeformableKernel(nn.Module):
    """Layers of one deformable kernel, and its application; see the docstring of the module.

    Args:
        channels: Channels of the features.
        side: Side of the grid of samples at rest, in packed pixels, odd.
        max_offset: Largest displacement of a sample from its place at rest in packed pixels.
        layers: Layers of side x side samples, at different times at rest; each is a group.
        in_time: True if times are predicted, too.
    """

    def __init__(
        self, channels: int, side: int, max_offset: float, layers: int = 1, in_time: bool = False
    ) -> None:
        super().__init__()
        self.side, self.max_offset, self.layers = side, max_offset, layers
        self.axes = 3 if in_time else 2
        self.count = side**2 * layers  # samples
        c = channels
        self.offset_out = nn.Conv2d(c, 4 * self.axes * self.count, 1)
        self.weight_input = Conv(2 * 16, c)
        self.weight_features = Conv(c, c)
        self.weight_samples = Conv(16 * self.count, c)
        self.weight_hidden = Conv(c, c)
        self.weight_out = nn.Conv2d(c, 4 * self.count, 1)
        self.weight_signed = nn.Conv2d(c, 4 * self.count, 1)

    def start_as_average(self) -> None:
        """Initialise the samples near rest with about equal weights."""
        for out, scale in ((self.offset_out, 0.1), (self.weight_out, 0.1), (self.weight_signed, 0.0)):
            assert out.bias is not None
            out.weight.mul_(scale)
            out.bias.zero_()

    def input_features(self, guide: Guide) -> Tensor:
        """Compute features of the input, (B, c, h / 2, w / 2), which kernels of several frames share."""
        return self.weight_input(unshuffle(torch.cat([guide.anchor, guide.std], 1)))

    def forward(self, frames: Tensor, features: Tensor, context: Tensor, guide: Guide) -> KernelSums:
        """Predict the kernel and apply it.

        Args:
            frames: (B, n, 4, h, w), the frames that the kernel samples.
            features: (B, c, h / 2, w / 2), from which its sampling places are predicted.
            context: Result of `input_features`.
            guide: See `Guide`.
        """
        samples = self._sample(frames, features, guide)
        x = self.weight_features(features, context)
        x = self.weight_hidden(self.weight_samples(samples.differences, x, activate=True), activate=True)
        positive = (self.weight_out.weight, cast(Tensor, self.weight_out.bias))
        signed = (_centred(self.weight_signed.weight), _centred(cast(Tensor, self.weight_signed.bias)))
        sums: list[Tensor] = []
        masses: list[Tensor] = []
        by_frame: list[Tensor] = []
        for strip in samples.strips:
            rows = x[:, :, strip.rows]
            weights = planes(rows, *positive).clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_()
            mass = weights.sum(1, keepdim=True)
            kernel = weights.addcmul(mass, planes(rows, *signed))  # the signed part sums to zero
            weighted = (strip.values * kernel[:, None]).unflatten(2, (self.layers, -1))
            sums.append(weighted.sum(3).transpose(1, 2))
            masses.append(mass[:, 0])
            if not self.training:
                by_frame.append(_mass_by_frame(weights, strip.times, frames.shape[1]))
        return KernelSums(
            torch.cat(sums, 4), torch.cat(masses, 2), torch.cat(by_frame, 3) if by_frame else None
        )

    def _sample(self, frames: Tensor, features: Tensor, guide: Guide) -> _Samples:
        """Predict the sampling places, and sample the frames in strips that fit in the processor's cache."""
        batch, n, _, h, w = frames.shape
        border = self._border
        padded = F.pad(frames.flatten(0, 1), [border] * 4, mode="replicate").unflatten(0, (batch, n))
        scale = 0.7071 / guide.std.float()
        shift = deinterleave(-guide.anchor.float() * scale).unflatten(1, (4, 1, 4))
        scale = deinterleave(scale).unflatten(1, (4, 1, 4))
        strips: list[_Strip] = []
        differences: list[Tensor] = []
        count = math.ceil(batch * h * w / STRIP)
        step = math.ceil(h / 2 / count)  # strips of about equal height
        for top in range(0, h // 2, step):
            rows = slice(top, min(top + step, h // 2))
            window = padded[..., 2 * rows.start : 2 * rows.stop + 2 * border, :]
            places = self.places(features[:, :, rows], n, guide.reference)
            values = sample(window, places.y, places.x, places.t)
            difference = torch.addcmul(shift[..., rows, :], values, scale[..., rows, :]).flatten(1, 3)
            # The gradient of `hardtanh` is one operation, that of `clamp` three.
            difference = F.hardtanh(channels_last(rounded(difference)), -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)
            differences.append(difference)
            strips.append(_Strip(rows, values, None if places.t is None else places.t.detach()))
        return _Samples(strips, torch.cat(differences, 2))

    @property
    def _border(self) -> int:
        """Distance in packed pixels that samples reach, including the neighbours for the interpolation."""
        return math.ceil(self.max_offset) + self.side // 2 + 1

    def places(self, features: Tensor, frames: int, reference: int) -> Places:
        """Predict the sampling places of some rows of quads.

        Offsets in space are bounded by `max_offset` and added to a regular grid (equations 3 and 4). Time is
        measured from the reference, in units of the distance to the first or last frame, whichever is longer.
        Times outside the burst are reflected, so that they always have a gradient.

        Args:
            features: (B, c, rows, w / 2).
            frames: Number of frames.
            reference: Index of the reference.
        """
        rows, columns = features.shape[2:]
        axes = self.axes if frames > 1 else 2
        size, limit = 4 * self.count, self.max_offset
        assert self.offset_out.bias is not None
        scale = features.new_tensor([1 / limit, 1 / limit, 1.0], dtype=torch.float32)[:axes]
        scale = scale.repeat_interleave(size)
        weight = self.offset_out.weight[: axes * size] * scale[:, None, None, None]
        bias = self.offset_out.bias[: axes * size] * scale
        # This part uses float32, because bfloat16 would round displacements to 1/64 pixel or more.
        with torch.autocast(features.device.type, enabled=False):
            offsets = torch.tanh(planes(features.float(), weight, bias)).unflatten(1, (axes, -1))
        rest = self._rest().to(offsets)[:, :, None, None, None]
        own = _own_places(rows, columns, offsets.device) + self._border
        y = torch.add(rest[0] + own[0], offsets[:, 0], alpha=limit)
        x = torch.add(rest[1] + own[1], offsets[:, 1], alpha=limit)
        if axes == 2:
            return Places(y, x, None)
        reach = longest_time(frames, reference)
        t = torch.add(rest[2] * reach + reference, offsets[:, 2], alpha=reach)
        return Places(y, x, reflect_time(t, frames))

    def _rest(self) -> Tensor:
        """Return y, x and the relative time of the samples at rest, (3, K), layer by layer."""
        half = self.side // 2
        grid = torch.arange(-half, half + 1.0)
        times = torch.linspace(-REST_TIME, REST_TIME, self.layers) if self.layers > 1 else torch.zeros(1)
        t, y, x = torch.meshgrid(times, grid, grid, indexing="ij")
        return torch.stack([y, x, t]).flatten(1)


class SpaceTimeKernel(nn.Module):
    """A deformable kernel that samples the whole burst in space and time.

    Args:
        channels: Channels of the features.
        side, max_offset, layers: See `DeformableKernel`.
    """

    def __init__(self, channels: int, side: int, max_offset: float, layers: int) -> None:
        super().__init__()
        self.shared = Conv(channels, channels)
        self.times = Conv(TIME_NODES * channels, channels)
        self.kernel = DeformableKernel(channels, side, max_offset, layers, in_time=True)

    def forward(self, frames: Tensor, guide: Guide) -> KernelSums:
        """Predict the kernel and apply it to frames (B, N, 4, h, w)."""
        rows = node_weights(len(guide.encoded), guide.reference)
        nodes = channels_last(torch.cat([_weighted_sum(guide.encoded, row) for row in rows], 1))
        features = self.times(nodes, self.shared(guide.shared), activate=True)
        return self.kernel(frames, features, self.kernel.input_features(guide), guide)


def joined(kernels: list[KernelSums]) -> KernelSums:
    """Join kernels of different frames to one, whose groups are those of all kernels."""
    by_frame = [kernel.by_frame for kernel in kernels if kernel.by_frame is not None]
    return KernelSums(
        torch.cat([kernel.sums for kernel in kernels], 1),
        torch.stack([kernel.mass for kernel in kernels]).sum(0),
        torch.cat(by_frame, 1) if by_frame else None,
    )


def _own_places(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return row and column of each packed pixel, (2, 4, rows, columns): pixel of the quad, row, column."""
    y, x = torch.meshgrid(
        torch.arange(2.0 * rows, device=device), torch.arange(2.0 * columns, device=device), indexing="ij"
    )
    return deinterleave(torch.stack([y, x])[:, None])


def longest_time(frames: int, reference: int) -> int:
    """Return the distance in frames from the reference to the first or last frame, whichever is longer."""
    return max(reference, frames - 1 - reference)


def node_weights(frames: int, reference: int) -> list[list[float]]:
    """Return the weight of each frame at each of `TIME_NODES` times; the weights at a time sum to one.

    The times are spaced evenly around the reference, and reflected as sampling times are. The weights fall
    linearly over the distance between two times, so no frame is skipped.

    >>> node_weights(3, 1)
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    """
    if frames == 1:
        return [[1.0]] * TIME_NODES
    reach = longest_time(frames, reference)
    times = reflect_time(reference + reach * torch.linspace(-1, 1, TIME_NODES), frames)
    width = max(1.0, 2 * reach / (TIME_NODES - 1))
    weights = (1 - (times[:, None] - torch.arange(frames)).abs() / width).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).tolist()


def _weighted_sum(tensors: list[Tensor], weights: list[float]) -> Tensor:
    parts = [x if weight == 1 else weight * x for x, weight in zip(tensors, weights, strict=True) if weight]
    return sum(parts[1:], parts[0])


def _centred(parameter: Tensor) -> Tensor:
    """Subtract the mean over the samples of a kernel: the signed part then sums to zero."""
    by_sample = parameter.unflatten(0, (-1, 4))
    return SIGNED_SCALE * (by_sample - by_sample.mean(0)).flatten(0, 1)


def _mass_by_frame(weights: Tensor, times: Tensor | None, frames: int) -> Tensor:
    """Sum the weights (B, K, 4, ...) of the samples from each frame, (B, n, 4, ...)."""
    if times is None:
        return weights.sum(1, keepdim=True)
    shares = ((weights * (1 - (times - i).abs()).clamp_(min=0)).sum(1) for i in range(frames))
    return torch.stack(list(shares), 1)
