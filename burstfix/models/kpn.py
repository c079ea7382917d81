"""Kernel prediction for bursts of mosaics: the small network for CPUs.

For every packed pixel and every frame the network predicts one 5x5 kernel shared by the four planes; the
kernels of all frames together sum to one, so their sum over the aligned frames is a denoised mosaic. A small
head demosaics and refines it. A kernel has a positive part, which says how much the frame counts, and a part
of both signs that adds nothing to its sum: without it, a frame half a pixel off could only be blurred.

After Mildenhall et al., "Burst denoising with kernel prediction networks" (CVPR 2018). Different here:
kernels are predicted frame by frame from that frame, the reference and what all frames share, so any
number of frames works; they act on packed mosaics; the frames come aligned by block matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.raw.demosaic import bilinear

SLOPE = 0.1
BYTES_PER_PIXEL, BYTES_PER_PIXEL_FIXED = 80, 900  # working memory, measured; see `ModelInfo`
STRIP = 2**16  # packed pixels that kernels are applied to at a time
LOGIT_LIMIT = 12.0  # e^12 against e^-12 is still far inside float32; keeps the running sums finite
SIGNED_SCALE = 0.25  # of the part of both signs: lets it learn no faster than the rest


@dataclass(frozen=True, slots=True)
class KpnConfig:
    """Sizes of the network.

    Attributes:
        channels: Features at half the packed size; the U-Net's lower levels have 2 and 3 times as many.
        kernel: Side of the predicted kernels in packed pixels, odd.
        head_channels: Features of the demosaicking head, at packed size.
        head_blocks: Residual blocks in the head.
        refine_channels: Features of a second level of the head at half the packed size, which sees farther;
            0 leaves that level out.
        refine_blocks: Residual blocks on it.
        coarse_channels: Features of a third level below that, at a quarter of the packed size; likewise.
        coarse_blocks: Residual blocks on it.
        signed: Whether kernels have a part of both signs.
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


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, 1)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)  # no gradient needs what a convolution or a sum put out


class _Double(nn.Module):
    """Two 3x3 convolutions, the first one strided where asked."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(c_in, c_out, stride)
        self.second = _conv(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        return _act(self.second(_act(self.first(x))))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(_act(self.first(x))).add_(x)


class _Coarser(nn.Module):
    """A level of the head at half its input's size; adds nothing before it is trained."""

    def __init__(
        self, channels: int, width: int, blocks: int, context: int = 0, below: _Coarser | None = None
    ) -> None:
        super().__init__()
        self.down = _conv(channels, width, stride=2)
        self.context = nn.Conv2d(context, width, 1) if context else None
        self.below = below
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(width, channels, 2, 2)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        y = self.down(x)
        if self.context is not None:
            y = y.add_(self.context(shared))
        y = _act(y)
        if self.below is not None:
            y = self.below(y)
        for block in self.blocks:
            y = block(y)
        return self.up(_act(y)).add_(x)


class Kpn(BurstModel):
    """Kernel prediction network; see the module's text."""

    def __init__(self, config: KpnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KpnConfig()
        c, taps = config.channels, config.kernel**2
        # The network sees farther, but what lies beyond 40 packed pixels changes the result by less than 1e-4
        # of white (shipped weights, high noise; a test holds it).
        self.info = ModelInfo(
            "kpn",
            lattice=8,
            halo=40,
            bytes_per_pixel=BYTES_PER_PIXEL,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED,
        )
        # Everything before the head works at half the packed size; 2x2 packed pixels go into channels.
        # A convolution of concatenated inputs is a sum of convolutions: what is the same for every frame
        # is convolved once.
        self.encode_pair = _conv(2 * 16, c)
        self.encode_anchor = _conv(2 * 16, c)
        self.encode_frame = _conv(c, c)
        self.encode = _Double(2 * c, c)
        self.down1 = _Double(c, 2 * c, stride=2)
        self.down2 = _Double(2 * c, 3 * c, stride=2)
        self.up1 = _Double(3 * c + 2 * c, 2 * c)
        self.up0 = _Double(2 * c + c, c)
        self.kernel_frame = _conv(c, c)
        self.kernel_shared = _conv(c, c)
        self.kernel_out = nn.Conv2d(c, 4 * taps, 1)
        self.kernel_signed = nn.Conv2d(c, 4 * taps, 1) if config.signed else None
        h = config.head_channels
        self.head_context = nn.Conv2d(c, 4 * (h // 4), 1)
        self.head_in = _conv(4 + 4 + 4 + h // 4, h)
        self.head_blocks = nn.ModuleList(_Residual(h) for _ in range(config.head_blocks))
        self.head_out = _conv(h, 12)
        r, coarse = config.refine_channels, None
        if r and config.coarse_channels:
            coarse = _Coarser(r, config.coarse_channels, config.coarse_blocks)
        self.refine = _Coarser(h, r, config.refine_blocks, context=c, below=coarse) if r else None
        self._start_as_average(taps)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _start_as_average(self, taps: int) -> None:
        """Starts from kernels that average softly around the centre, and a head that adds nothing."""
        radius = self.config.kernel // 2
        ys, xs = torch.meshgrid(
            torch.arange(-radius, radius + 1), torch.arange(-radius, radius + 1), indexing="ij"
        )
        soft = -0.5 * (ys**2 + xs**2).float().flatten()
        with torch.no_grad():
            self.kernel_out.weight.mul_(0.1)
            assert self.kernel_out.bias is not None
            assert self.head_out.bias is not None
            self.kernel_out.bias.copy_(soft.repeat_interleave(4))  # channel = tap * 4 + subpixel
            self.head_out.weight.mul_(0.1)
            self.head_out.bias.zero_()
            if self.kernel_signed is not None:
                assert self.kernel_signed.bias is not None
                self.kernel_signed.weight.zero_()
                self.kernel_signed.bias.zero_()

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Merges aligned frames; see `BurstModel.forward`. In training mode `extra` holds "frames".

        `extra["frames"]` is (B, N, 4, h, w): what each frame's kernels alone make of it, for the annealed
        loss of the paper. h and w are multiples of 8.
        """
        _, n, _, h, w = frames.shape
        anchor = frames[:, reference]
        signal = _box3(frames.mean(1))  # over frames and neighbours: the noise level needs no detail
        std = torch.sqrt(torch.clamp(signal, min=0) * shot_gain[:, 0] + read_variance[:, 0])

        common = self.encode_anchor(_unshuffle(torch.cat([anchor, std], 1)))
        encoded = [self._encode_frame(frames[:, i], anchor, std, common) for i in range(n)]
        mean = sum(encoded[1:], encoded[0]) / n
        shared = self._unet(torch.cat([encoded[reference], mean], 1))
        kernel_shared = self.kernel_shared(shared)

        total = torch.zeros_like(anchor, dtype=torch.float32)
        weight = torch.zeros_like(anchor[:, :1], dtype=torch.float32)
        alone: list[Tensor] = []
        for i in range(n):
            filtered, mass = self._filter(frames[:, i].float(), encoded[i], kernel_shared)
            total = total + filtered
            weight = weight + mass
            if self.training:
                alone.append(filtered / mass)
        mosaic = total / weight
        del encoded  # the head takes the most memory

        rgb = self._head(mosaic, anchor, std, shared).add_(bilinear(mosaic))
        extra = {"frames": torch.stack(alone, 1)} if self.training else {}
        return Merged(rgb=rgb, mosaic=mosaic, extra=extra)

    def _encode_frame(self, frame: Tensor, anchor: Tensor, std: Tensor, common: Tensor) -> Tensor:
        difference = torch.clamp((frame - anchor) / (1.4142 * std), -4, 4)
        own = self.encode_pair(_unshuffle(torch.cat([frame, 0.25 * difference], 1)))
        return _act(self.encode_frame(_act(own.add_(common))))

    def _unet(self, x: Tensor) -> Tensor:
        level0 = self.encode(x)
        level1 = self.down1(level0)
        level2 = self.down2(level1)
        x = self.up1(torch.cat([_double_size(level2), level1], 1))
        return self.up0(torch.cat([_double_size(x), level0], 1))

    def _filter(self, frame: Tensor, encoded: Tensor, kernel_shared: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of each pixel's neighbourhood in a frame (B, 4, h, w), and their weight (B, 1, h, w).

        Kernels are made and used in strips that stay in the processor's cache: they are 25 times as large as
        the picture.
        """
        features = _act(self.kernel_frame(encoded).add_(kernel_shared))
        side, (batch, _, h, w) = self.config.kernel, frame.shape
        padded = F.pad(frame, (side // 2,) * 4, mode="replicate")
        rows = max(2, STRIP // (batch * w) // 2 * 2)
        strips: list[Tensor] = []
        masses: list[Tensor] = []
        for top in range(0, h, rows):
            kernels, mass = self._kernels(features[:, :, top // 2 : (top + rows) // 2])
            strips.append(_sum_taps(padded[:, :, top : top + rows + side - 1], kernels, side))
            masses.append(mass)
        return (strips[0], masses[0]) if len(strips) == 1 else (torch.cat(strips, 2), torch.cat(masses, 2))

    def _kernels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, c, h / 2, w / 2) -> kernels (B, taps, h, w) and their sums (B, 1, h, w)."""
        logits = self.kernel_out(features).float()
        kernels = F.pixel_shuffle(logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp(), 2)
        mass = kernels.sum(1, keepdim=True)
        if self.kernel_signed is not None:
            weight, bias = (self._centred(p) for p in self.kernel_signed.parameters())
            signed = F.pixel_shuffle(F.conv2d(features, weight, bias).float(), 2)
            kernels.addcmul_(mass, signed)
        return kernels, mass

    def _centred(self, parameter: Tensor) -> Tensor:
        """Weights or biases without their mean over taps: what they put out then sums to nothing."""
        by_tap = parameter.unflatten(0, (-1, 4))
        return SIGNED_SCALE * (by_tap - by_tap.mean(0)).flatten(0, 1)

    def _head(self, mosaic: Tensor, anchor: Tensor, std: Tensor, shared: Tensor) -> Tensor:
        context = F.pixel_shuffle(self.head_context(shared), 2)
        x = torch.cat([mosaic, anchor, std, context.to(mosaic.dtype)], 1)
        x = self.head_in(_channels_last(x))
        if self.refine is not None:
            x = self.refine(x, shared)
        for block in self.head_blocks:
            x = block(x)
        return F.pixel_shuffle(self.head_out(_act(x)).float(), 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)  # convolutions on CPUs are 1.3 to 3 times faster


def _unshuffle(x: Tensor) -> Tensor:
    return _channels_last(F.pixel_unshuffle(x, 2))


def _double_size(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _box3(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _sum_taps(padded: Tensor, kernels: Tensor, side: int) -> Tensor:
    """(B, 4, h + side - 1, w + side - 1), (B, side * side, h, w) -> (B, 4, h, w)."""
    h, w = kernels.shape[-2:]
    out = torch.zeros_like(padded[:, :, :h, :w])
    for tap in range(side * side):
        dy, dx = divmod(tap, side)
        out.addcmul_(kernels[:, tap : tap + 1], padded[:, :, dy : dy + h, dx : dx + w])
    return out
