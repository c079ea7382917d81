"""Parts that all networks with predicted kernels share: encoder, U-Net and demosaicking head.

    frames --> encoder --> U-Net --> kernels, applied to the frames --> denoised mosaic --> head --> RGB
               (each frame)          (`_filter` of each network)

All layers before the head work at half the packed size; 2x2 packed pixels ("quads") become channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.align.gather import BurstTile
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, Merged
from burstfix.models.layers import (
    CoarserLevel,
    Conv,
    DoubleConv,
    Residual,
    act,
    channels_last,
    double_size,
    rounded,
    unshuffle,
)
from burstfix.models.losses import Losses, TrainingBatch, kernel_losses, picture_losses
from burstfix.raw.cfa import deinterleave, interleave
from burstfix.raw.demosaic import bilinear

DIFFERENCE_LIMIT = 4.0
"""Differences between frames are limited to this many standard deviations of the noise."""
BLIND_SHOT_GAIN, BLIND_READ_VARIANCE = 2.5e-3, 1e-4
"""The noise profile that a network without noise map assumes for every burst."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the parts that all networks with predicted kernels share.

    Attributes:
        channels: Features at half the packed size. The lower levels of the U-Net have 2 and 3 times as many.
        head_channels: Features of the demosaicking head, at packed size.
        head_blocks: Residual blocks in the head.
        refine_channels: Features of a second level of the head at half the packed size, with a larger
            receptive field; 0 omits the level.
        refine_blocks: Residual blocks on the second level.
        coarse_channels: Features of a third level at a quarter of the packed size; 0 omits the level.
        coarse_blocks: Residual blocks on the third level.
        noise_map: True if the network uses the noise profile of the burst. Otherwise it assumes the same
            noise profile for all bursts ("blind").
    """

    channels: int = 48
    head_channels: int = 48
    head_blocks: int = 3
    refine_channels: int = 96
    refine_blocks: int = 4
    coarse_channels: int = 128
    coarse_blocks: int = 3
    noise_map: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "head_channels"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)} must be at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """Inputs of the kernel prediction, in addition to the frames.

    Attributes:
        encoded: Features (B, c, h / 2, w / 2) of each frame.
        shared: Output (B, c, h / 2, w / 2) of the U-Net.
        anchor: (B, 4, h, w), the reference.
        std: (B, 4, h, w), standard deviation of the noise.
        reference: Index of the reference.
    """

    encoded: list[Tensor]
    shared: Tensor
    anchor: Tensor
    std: Tensor
    reference: int


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """Results of the predicted kernels.

    Attributes:
        mosaic: (B, 4, h, w), the denoised mosaic.
        color: (B, 3, 2h, 2w), all colours at every pixel; None if the network has no kernels for them.
        alone: (B, K, 4, h, w), results of K parts of the kernels, each applied alone (see `kernel_losses`);
            None if the network is not in training mode.
        frames_used: (B, h / 2, w / 2), see `Merged`; None if they were not counted.
    """

    mosaic: Tensor
    color: Tensor | None
    alone: Tensor | None
    frames_used: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFeatures:
    """Features of a second alignment stage, at half the packed size.

    Attributes:
        own: Features (B, c, h / 2, w / 2) of each frame, which are added in the encoder of the frame.
        fused: Fused features (B, c, h / 2, w / 2) of all frames, which are added to the input of the U-Net.
    """

    own: tuple[Tensor, ...]
    fused: Tensor


class KernelNetwork(BurstModel):
    """Base class of networks with predicted kernels; see the docstring of the module.

    Args:
        config: Sizes.
        color: True if the network has kernels for the colours that a pixel did not measure.
    """

    def __init__(self, config: NetworkConfig, color: bool) -> None:
        super().__init__()
        c = config.channels
        self.noise_map = config.noise_map
        # A convolution of concatenated inputs is a sum of convolutions. The input that all frames share is
        # convolved only once.
        self.encode_pair = Conv(2 * 16, c)
        self.encode_anchor = Conv(2 * 16, c)
        self.encode_frame = Conv(c, c)
        self.encode = DoubleConv(2 * c, c)
        self.down1 = DoubleConv(c, 2 * c, stride=2)
        self.down2 = DoubleConv(2 * c, 3 * c, stride=2)
        self.up1 = DoubleConv(3 * c + 2 * c, 2 * c)
        self.up0 = DoubleConv(2 * c + c, c)
        self._add_kernel_layers()
        h = config.head_channels
        self.head_context = nn.Conv2d(c, 4 * (h // 4), 1)
        self.head_in = Conv(4 + 4 + 4 + h // 4, h)
        self.head_color = Conv(12, h) if color else None
        self.head_blocks = nn.ModuleList(Residual(h) for _ in range(config.head_blocks))
        self.head_out = Conv(h, 12)
        r, coarse = config.refine_channels, None
        if r and config.coarse_channels:
            coarse = CoarserLevel(r, config.coarse_channels, config.coarse_blocks)
        self.refine = CoarserLevel(h, r, config.refine_blocks, context=c, below=coarse) if r else None
        if not self.head_out.weight.is_meta:
            # If only shapes are needed, weights are on the meta device. Arithmetic on meta tensors would
            # import torch's compiler (1 s).
            with torch.no_grad():
                self._start_as_average()
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _add_kernel_layers(self) -> None:
        """Create the layers that predict kernels.

        They are created before the head, because checkpoints of training runs depend on the order.
        """
        raise NotImplementedError

    def _start_as_average(self) -> None:
        """Initialise the kernels as an average, and the output of the head as zero."""
        assert self.head_out.bias is not None
        self.head_out.weight.mul_(0.1)
        self.head_out.bias.zero_()
        if self.head_color is not None:
            assert self.head_color.bias is not None
            self.head_color.weight.zero_()
            self.head_color.bias.zero_()

    def _filter(self, frames: Tensor, guide: Guide) -> Filtered:
        """Predict kernels and apply them to frames (B, N, 4, h, w).

        The items of `guide.encoded` may be replaced; they are not used again.
        """
        raise NotImplementedError

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Merge aligned frames; see `BurstModel.forward`. h and w are multiples of 8.

        In training mode, `extra` contains "alone", (B, K, 4, h, w): the results of parts of the kernels, each
        applied alone, for the annealed loss. If there are kernels for all colours, `extra` also contains
        their result, "color", (B, 3, 2h, 2w).
        """
        n = frames.shape[1]
        anchor = frames[:, reference]
        std = self._noise_std(frames, shot_gain, read_variance)
        aligned = self._aligned_features(frames, std, reference)
        common = self.encode_anchor(unshuffle(torch.cat([anchor, std], 1)))
        encoded = [
            self._encode_frame(
                frames[:, i], anchor, std, common if aligned is None else common + aligned.own[i]
            )
            for i in range(n)
        ]
        mean = sum(encoded[1:], encoded[0]) / n
        shared = self._unet(
            torch.cat([encoded[reference], mean], 1), None if aligned is None else aligned.fused
        )
        del aligned, common, mean
        filtered = self._filter(frames.float(), Guide(encoded, shared, anchor, std, reference))
        del encoded  # free memory for the head, which needs the most

        rgb = self._head(filtered.mosaic, anchor, std, shared, filtered.color)
        extra: dict[str, Tensor] = {}
        if filtered.alone is not None:
            extra["alone"] = filtered.alone
            if filtered.color is not None:
                extra["color"] = filtered.color
        return Merged(rgb=rgb, mosaic=filtered.mosaic, extra=extra, frames_used=filtered.frames_used)

    def merge_tile_with_usage(self, tile: BurstTile) -> tuple[Tensor, Tensor | None]:
        """See `BurstModel.merge_tile_with_usage`. Frames count according to the sums of their kernels."""
        merged = self(tile.aligned()[None], *tile.assumed_noise(), tile.reference)
        used = merged.frames_used
        return merged.rgb[0], None if used is None else F.avg_pool2d(used, tile.cell // 2)[0]

    def losses(self, batch: TrainingBatch) -> Losses:
        """See `BurstModel.losses`. The losses also include the results of the kernels."""
        merged = self(batch.frames, batch.shot_gain, batch.read_variance, batch.reference)
        return picture_losses(merged.rgb, batch) | kernel_losses(merged, batch)

    def _noise_std(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
        """Compute the standard deviation of the noise, (B, 4, h, w)."""
        if not self.noise_map:
            shot_gain = torch.full_like(shot_gain, BLIND_SHOT_GAIN)
            read_variance = torch.full_like(read_variance, BLIND_READ_VARIANCE)
        # The mean over frames and neighbours is sufficient, because the noise level does not need detail.
        signal = F.avg_pool2d(frames.mean(1), 3, stride=1, padding=1, count_include_pad=False)
        return torch.sqrt(torch.clamp(signal, min=0) * shot_gain[:, 0] + read_variance[:, 0])

    def _encode_frame(self, frame: Tensor, anchor: Tensor, std: Tensor, common: Tensor) -> Tensor:
        difference = torch.clamp((frame - anchor) / (1.4142 * std), -4, 4)
        pair = unshuffle(torch.cat([frame, 0.25 * difference], 1))
        return self.encode_frame(self.encode_pair(pair, common, activate=True), activate=True)

    def _aligned_features(self, frames: Tensor, std: Tensor, reference: int) -> AlignedFeatures | None:
        """Return the features of a second alignment stage. There is none here; `TwoStage` overrides this.

        Args:
            frames: (B, N, 4, h, w), block-matched.
            std: (B, 4, h, w), standard deviation of the noise.
            reference: Index of the reference.
        """
        return None

    def _unet(self, x: Tensor, fused: Tensor | None) -> Tensor:
        level0 = self.encode(x, fused)
        level1 = self.down1(level0)
        level2 = self.down2(level1)
        x = self.up1(torch.cat([double_size(level2), level1], 1))
        return self.up0(torch.cat([double_size(x), level0], 1))

    def _head(
        self, mosaic: Tensor, anchor: Tensor, std: Tensor, shared: Tensor, color: Tensor | None
    ) -> Tensor:
        base = bilinear(mosaic)
        context = interleave(self.head_context(shared))
        parts = [rounded(torch.cat([mosaic, anchor, std], 1)), context]
        weights, bias = [self.head_in.weight], self.head_in.bias
        if self.head_color is not None:
            assert color is not None and bias is not None and self.head_color.bias is not None
            parts.append(deinterleave(rounded(color - base)))
            weights.append(self.head_color.weight)
            bias = bias + self.head_color.bias
        x = channels_last(torch.cat(parts, 1))
        del parts
        x = F.conv2d(x, torch.cat(weights, 1), bias, padding=1)
        if self.refine is not None:
            x = self.refine(x, shared)
        for block in self.head_blocks:
            x = block(x)
        return interleave(self.head_out(act(x)).float()).add_(base)
