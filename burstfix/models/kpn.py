"""Kernel prediction for bursts of mosaics: the small network for CPUs.

For every packed pixel and every frame, the network predicts one 5x5 kernel that the four planes share. The
weights of the kernels of all frames sum to one, so the kernels applied to the aligned frames give a denoised
mosaic. A small head demosaicks and refines it.

A kernel has a positive part, which determines the weight of the frame, and a signed part that sums to zero.
Without the signed part, a frame displaced by half a pixel could only be blurred. Additional kernels compute
each colour at every pixel from all frames, because frames with sub-pixel shifts have samples where the CFA of
the reference has none. Their result is also an input of the head.

Source: Mildenhall et al., "Burst denoising with kernel prediction networks" (CVPR 2018). Differences: The
kernels of a frame are predicted from that frame, the reference and features shared by all frames, so any
number of frames is possible. Kernels act on packed mosaics. The frames are aligned by block matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.align.gather import BurstTile
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.models.kernels import OTHER_COLORS, all_colors, own_color
from burstfix.models.layers import (
    CoarserLevel,
    DoubleConv,
    Residual,
    act,
    channels_last,
    conv,
    double_size,
    rounded,
    unshuffle,
)
from burstfix.models.losses import Losses, TrainingBatch, kernel_losses, picture_losses
from burstfix.raw.demosaic import bilinear

BYTES_PER_PIXEL, BYTES_PER_PIXEL_FIXED = 80, 1150  # working memory, measured; see `ModelInfo`
STRIP = 2**16  # number of packed pixels to which kernels are applied at once
LOGIT_LIMIT = 12.0  # keeps running sums finite, because e^12 and e^-12 are far inside the range of float32
SIGNED_SCALE = 0.25  # scale of the signed part, so that it does not learn faster than the other parts


@dataclass(frozen=True, slots=True)
class KpnConfig:
    """Sizes of the network.

    Attributes:
        channels: Features at half the packed size. The lower levels of the U-Net have 2 and 3 times as many.
        kernel: Side of the predicted kernels in packed pixels, odd.
        head_channels: Features of the demosaicking head, at packed size.
        head_blocks: Residual blocks in the head.
        refine_channels: Features of a second level of the head at half the packed size, with a larger
            receptive field; 0 omits the level.
        refine_blocks: Residual blocks on the second level.
        coarse_channels: Features of a third level at a quarter of the packed size; 0 omits the level.
        coarse_blocks: Residual blocks on the third level.
        signed: True if kernels have a signed part.
        color: True if there are kernels for the colours that a pixel did not measure.
    """

    channels: int = 48
    kernel: int = 5
    head_channels: int = 48
    head_blocks: int = 3
    refine_channels: int = 96
    refine_blocks: int = 4
    coarse_channels: int = 128
    coarse_blocks: int = 3
    signed: bool = True
    color: bool = True

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"kpn: kernel {self.kernel} must be odd")
        for name in ("channels", "head_channels"):
            if getattr(self, name) < 1:
                raise UsageError(f"kpn: {name} {getattr(self, name)} must be at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class _Filtered:
    """Results of the predicted kernels.

    Attributes:
        mosaic: (B, 4, h, w), the denoised mosaic.
        color: (B, 3, 2h, 2w), all colours at every pixel; None if the network has no kernels for them.
        alone: (B, N, 4, h, w), each frame filtered only by its own kernels; only in training.
        frames_used: (B, h / 2, w / 2), see `Merged`.
    """

    mosaic: Tensor
    color: Tensor | None
    alone: Tensor | None
    frames_used: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFeatures:
    """Features of a second alignment stage, at half the packed size.

    Attributes:
        own: Features (B, c, h / 2, w / 2) of each frame, which are added in the encoder of the frame.
        fused: Fused features (B, c, h / 2, w / 2) of all frames, which are added to the input of the U-Net.
    """

    own: tuple[Tensor, ...]
    fused: Tensor


class Kpn(BurstModel):
    """Kernel prediction network; see the docstring of the module."""

    config_class = KpnConfig

    def __init__(self, config: KpnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KpnConfig()
        c, taps = config.channels, config.kernel**2
        self.parities = [own_color(config.kernel), *(OTHER_COLORS if config.color else ())]
        odd_taps = sum(parity.taps for parity in self.parities[1:])
        # The receptive field is larger, but content more than 40 packed pixels away changes the result by
        # less than 1e-4 of white (shipped weights, high noise; a test checks this).
        self.info = ModelInfo(
            "kpn",
            size_multiple=8,
            halo=40,
            bytes_per_pixel=BYTES_PER_PIXEL,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED,
        )
        # All layers before the head work at half the packed size; 2x2 packed pixels become channels.
        # A convolution of concatenated inputs is a sum of convolutions. The input that all frames share is
        # convolved only once.
        self.encode_pair = conv(2 * 16, c)
        self.encode_anchor = conv(2 * 16, c)
        self.encode_frame = conv(c, c)
        self.encode = DoubleConv(2 * c, c)
        self.down1 = DoubleConv(c, 2 * c, stride=2)
        self.down2 = DoubleConv(2 * c, 3 * c, stride=2)
        self.up1 = DoubleConv(3 * c + 2 * c, 2 * c)
        self.up0 = DoubleConv(2 * c + c, c)
        self.kernel_frame = conv(c, c)
        self.kernel_shared = conv(c, c)
        self.kernel_out = nn.Conv2d(c, 4 * taps, 1)
        self.kernel_signed = nn.Conv2d(c, 4 * taps, 1) if config.signed else None
        self.color_out = nn.Conv2d(c, 4 * odd_taps, 1) if config.color else None
        self.color_signed = nn.Conv2d(c, 4 * odd_taps, 1) if config.color and config.signed else None
        h = config.head_channels
        self.head_context = nn.Conv2d(c, 4 * (h // 4), 1)
        self.head_in = conv(4 + 4 + 4 + h // 4, h)
        self.head_color = conv(12, h) if config.color else None
        self.head_blocks = nn.ModuleList(Residual(h) for _ in range(config.head_blocks))
        self.head_out = conv(h, 12)
        r, coarse = config.refine_channels, None
        if r and config.coarse_channels:
            coarse = CoarserLevel(r, config.coarse_channels, config.coarse_blocks)
        self.refine = CoarserLevel(h, r, config.refine_blocks, context=c, below=coarse) if r else None
        self._start_as_average()
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _start_as_average(self) -> None:
        """Initialise the kernels as a soft average around the centre, and the output of the head as zero."""
        if self.head_out.weight.is_meta:
            return  # only shapes are needed; arithmetic on meta tensors would import torch's compiler (1 s)
        soft = [-0.125 * parity.distances() for parity in self.parities]
        with torch.no_grad():
            for out, logits in ((self.kernel_out, soft[:1]), (self.color_out, soft[1:])):
                if out is not None:
                    assert out.bias is not None
                    out.weight.mul_(0.1)
                    out.bias.copy_(torch.cat(logits).repeat_interleave(4))  # channel = tap * 4 + subpixel
            assert self.head_out.bias is not None
            self.head_out.weight.mul_(0.1)
            self.head_out.bias.zero_()
            for part in (self.kernel_signed, self.color_signed, self.head_color):
                if part is not None:
                    assert part.bias is not None
                    part.weight.zero_()
                    part.bias.zero_()

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Merge aligned frames; see `BurstModel.forward`. h and w are multiples of 8.

        In training mode, `extra` contains "frames", (B, N, 4, h, w): each frame filtered only by its own
        kernels, for the annealed loss of the paper. If there are kernels for all colours, `extra` also
        contains their result, "color", (B, 3, 2h, 2w).
        """
        _, n, _, h, w = frames.shape
        anchor = frames[:, reference]
        # The mean over frames and neighbours is sufficient, because the noise level does not need detail.
        signal = _box3(frames.mean(1))
        std = torch.sqrt(torch.clamp(signal, min=0) * shot_gain[:, 0] + read_variance[:, 0])

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
        del aligned
        common = self.kernel_shared(shared)
        for i, own in enumerate(encoded):  # in place, because the previous values are not used again
            encoded[i] = act(self.kernel_frame(own).add_(common))
        filtered = self._filter(frames.float(), encoded)
        del encoded, common  # free memory for the head, which needs the most

        rgb = self._head(filtered.mosaic, anchor, std, shared, filtered.color)
        extra: dict[str, Tensor] = {}
        if filtered.alone is not None:
            extra["frames"] = filtered.alone
            if filtered.color is not None:
                extra["color"] = filtered.color
        return Merged(rgb=rgb, mosaic=filtered.mosaic, extra=extra, frames_used=filtered.frames_used)

    def merge_tile_with_usage(self, tile: BurstTile) -> tuple[Tensor, Tensor | None]:
        """See `BurstModel.merge_tile_with_usage`. Frames count according to the sums of their kernels."""
        merged = self(tile.aligned()[None], *tile.assumed_noise(), tile.reference)
        return merged.rgb[0], F.avg_pool2d(merged.frames_used, tile.cell // 2)[0]

    def losses(self, batch: TrainingBatch) -> Losses:
        """See `BurstModel.losses`. The losses also include the results of the kernels."""
        merged = self(batch.frames, batch.shot_gain, batch.read_variance, batch.reference)
        return picture_losses(merged.rgb, batch) | kernel_losses(merged, batch)

    def _encode_frame(self, frame: Tensor, anchor: Tensor, std: Tensor, common: Tensor) -> Tensor:
        difference = torch.clamp((frame - anchor) / (1.4142 * std), -4, 4)
        own = self.encode_pair(unshuffle(torch.cat([frame, 0.25 * difference], 1)))
        return act(self.encode_frame(act(own.add_(common))))

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

    def _filter(self, frames: Tensor, features: list[Tensor]) -> _Filtered:
        """Predict kernels and apply them.

        Kernels are ten times as large as the frames, so they are computed and applied in strips that fit in
        the cache of the processor.
        """
        batch, _, _, h, w = frames.shape
        border = max(self.config.kernel // 2, 1)
        padded = [F.pad(frame, [border] * 4, mode="replicate") for frame in frames.unbind(1)]
        weights = self._kernel_weights()
        mosaics: list[Tensor] = []
        colors: list[Tensor] = []
        alone: list[Tensor] = []
        used: list[Tensor] = []
        step = max(1, STRIP // (2 * batch * w))
        for top in range(0, h // 2, step):
            rows = min(step, h // 2 - top)
            sums = masses = squares = torch.zeros((), device=frames.device)
            own_sums: list[Tensor] = []
            for frame, own in zip(padded, features, strict=True):
                kernels, mass = self._kernels(own[:, :, top : top + rows], weights)
                parts = [
                    parity.sum_taps(parity.gather(frame, border, top, rows), kernel)
                    for parity, kernel in zip(self.parities, kernels, strict=True)
                ]
                sums, masses = sums + torch.stack(parts, 1), masses + mass
                squares = squares + mass[:, 0, 0].detach().square()
                if self.training:
                    own_sums.append(parts[0] / mass[:, 0])
            mosaics.append(sums[:, 0] / masses[:, 0])
            used.append((masses[:, 0, 0].detach().square() / squares).mean(1))
            if self.config.color:
                colors.append(all_colors(sums, masses))
            if self.training:
                alone.append(torch.cat(own_sums, 1))
        return _Filtered(
            _from_quads(mosaics),
            F.pixel_shuffle(_from_quads(colors), 2) if colors else None,
            _from_quads(alone).unflatten(1, (-1, 4)) if alone else None,
            torch.cat(used, 1),
        )

    def _kernel_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of the convolutions for positive parts and for signed parts."""
        weights = [_joined(self.kernel_out, self.color_out)]
        if self.kernel_signed is not None:
            weight, bias = _joined(self.kernel_signed, self.color_signed)
            weights.append((self._centred(weight), self._centred(bias)))
        return weights

    def _kernels(self, features: Tensor, weights: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], Tensor]:
        """Compute the kernels of each parity, (B, taps, 4, rows, w / 2), and the sums (B, K, 1, 4, ...)."""
        taps = [parity.taps for parity in self.parities]
        logits, *signed = (_planes(features, *pair) for pair in weights)
        by_parity = list(logits.clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_().split(taps, 1))
        masses = [kernel.sum(1, keepdim=True) for kernel in by_parity]
        for both in signed:
            by_parity = [
                kernel.addcmul(mass, part)
                for kernel, mass, part in zip(by_parity, masses, both.split(taps, 1), strict=True)
            ]
        return by_parity, torch.stack(masses, 1)

    def _centred(self, parameter: Tensor) -> Tensor:
        """Subtract the mean over the taps of each parity: the signed part of a kernel then sums to zero."""
        by_tap = parameter.unflatten(0, (-1, 4)).split([parity.taps for parity in self.parities])
        return SIGNED_SCALE * torch.cat([taps - taps.mean(0) for taps in by_tap]).flatten(0, 1)

    def _head(
        self, mosaic: Tensor, anchor: Tensor, std: Tensor, shared: Tensor, color: Tensor | None
    ) -> Tensor:
        base = bilinear(mosaic)
        context = F.pixel_shuffle(self.head_context(shared), 2)
        parts = [rounded(torch.cat([mosaic, anchor, std], 1)), context]
        weights, bias = [self.head_in.weight], self.head_in.bias
        if self.head_color is not None:
            assert color is not None and bias is not None and self.head_color.bias is not None
            parts.append(F.pixel_unshuffle(rounded(color - base), 2))
            weights.append(self.head_color.weight)
            bias = bias + self.head_color.bias
        x = channels_last(torch.cat(parts, 1))
        del parts
        x = F.conv2d(x, torch.cat(weights, 1), bias, padding=1)
        if self.refine is not None:
            x = self.refine(x, shared)
        for block in self.head_blocks:
            x = block(x)
        return F.pixel_shuffle(self.head_out(act(x)).float(), 2).add_(base)


def _box3(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _from_quads(strips: list[Tensor]) -> Tensor:
    """Assemble strips (B, K, 4, rows, w / 2), in order from the top, to (B, K, h, w)."""
    return F.pixel_shuffle(torch.cat(strips, 3).flatten(1, 2), 2)


def _planes(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a 1x1 convolution with 4 * K outputs: (B, c, rows, w / 2) to float32 (B, K, 4, rows, w / 2).

    A matrix product is used, because it writes plane by plane; a convolution would write pixel by pixel.
    """
    batch, _, rows, columns = features.shape
    weight = weight.flatten(1).expand(batch, -1, -1)
    product = torch.baddbmm(bias[:, None], weight, features.flatten(2))
    return product.float().unflatten(2, (rows, columns)).unflatten(1, (-1, 4))


def _joined(first: nn.Conv2d, second: nn.Conv2d | None) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one convolution that has the outputs of both."""
    parts = [first] if second is None else [first, second]
    return torch.cat([part.weight for part in parts]), torch.cat([cast(Tensor, part.bias) for part in parts])
