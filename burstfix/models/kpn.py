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

from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.errors import UsageError
from burstfix.models.base import ModelInfo
from burstfix.models.deformable_layers import KernelSums, SpaceTimeKernel
from burstfix.models.kernel_network import Filtered, Guide, KernelNetwork, NetworkConfig
from burstfix.models.kernels import (
    COLOR_SOURCES,
    LOGIT_LIMIT,
    OTHER_COLORS,
    SIGNED_SCALE,
    all_colors,
    from_quads,
    own_color,
    planes,
)
from burstfix.models.layers import Conv
from burstfix.native.kernels import KernelLayer, apply_kernels, can_apply_kernels
from burstfix.raw.cfa import interleave

BYTES_PER_PIXEL, BYTES_PER_PIXEL_FIXED = 80, 1150  # working memory, measured; see `ModelInfo`
DEFORMABLE_BYTES = 1200  # working memory per packed pixel of a deformable kernel, measured
DEFORMABLE_SHARE = -3.0  # initial logit of its share in the mosaic, about 5%
STRIP = 2**16  # number of packed pixels to which kernels are applied at once


@dataclass(frozen=True, slots=True)
class KpnConfig(NetworkConfig):
    """Sizes of the network: the fields of `NetworkConfig` and those of the kernels.

    Attributes:
        kernel: Side of the predicted kernels in packed pixels, odd.
        signed: True if kernels have a signed part.
        color: True if there are kernels for the colours that a pixel did not measure.
        deformable: True if a deformable kernel in space and time is mixed with the kernels of the frames
            (with the default sizes of `deformable-3d`).
    """

    kernel: int = 5
    signed: bool = True
    color: bool = True
    deformable: bool = False

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"kpn: kernel {self.kernel} must be odd")


class Kpn(KernelNetwork):
    """Kernel prediction network; see the docstring of the module."""

    config_class = KpnConfig

    def __init__(self, config: KpnConfig | None = None) -> None:
        self.config = config = config or KpnConfig()
        self.parities = [own_color(config.kernel), *(OTHER_COLORS if config.color else ())]
        super().__init__(config, color=config.color)
        # The receptive field is larger, but content more than 40 packed pixels away changes the result by
        # less than 1e-4 of white (shipped weights, high noise; a test checks this).
        self.info = ModelInfo(
            "kpn",
            size_multiple=8,
            halo=56 if config.deformable else 40,
            bytes_per_pixel=BYTES_PER_PIXEL,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED + (DEFORMABLE_BYTES if config.deformable else 0),
        )

    def _add_kernel_layers(self) -> None:
        """See `KernelNetwork._add_kernel_layers`."""
        config = self.config
        c, taps = config.channels, config.kernel**2
        odd_taps = sum(parity.taps for parity in self.parities[1:])
        self.kernel_frame = Conv(c, c)
        self.kernel_shared = Conv(c, c)
        self.kernel_out = nn.Conv2d(c, 4 * taps, 1)
        self.kernel_signed = nn.Conv2d(c, 4 * taps, 1) if config.signed else None
        self.color_out = nn.Conv2d(c, 4 * odd_taps, 1) if config.color else None
        self.color_signed = nn.Conv2d(c, 4 * odd_taps, 1) if config.color and config.signed else None
        self.deform = self.deform_share = None
        if config.deformable:
            self.deform = SpaceTimeKernel(c, side=3, max_offset=8.0, layers=3)
            self.deform_share = nn.Conv2d(c, 4, 1)

    def _start_as_average(self) -> None:
        """Initialise the kernels as a soft average around the centre, and the output of the head as zero."""
        super()._start_as_average()
        soft = [-0.125 * parity.distances() for parity in self.parities]
        for out, logits in ((self.kernel_out, soft[:1]), (self.color_out, soft[1:])):
            if out is not None:
                assert out.bias is not None
                out.weight.mul_(0.1)
                out.bias.copy_(torch.cat(logits).repeat_interleave(4))  # channel = tap * 4 + subpixel
        for part in (self.kernel_signed, self.color_signed, self.deform_share):
            if part is not None:
                assert part.bias is not None
                part.weight.zero_()
                part.bias.zero_()
        if self.deform is not None and self.deform_share is not None:
            self.deform.kernel.start_as_average()
            cast(Tensor, self.deform_share.bias).fill_(DEFORMABLE_SHARE)

    def _filter(self, frames: Tensor, guide: Guide) -> Filtered:
        """See `KernelNetwork._filter`."""
        if self.deform is None:
            return self._filter_frames(frames, guide)
        deformed = self.deform(frames, guide)  # first, because the other kernels replace the features
        return self._mixed(self._filter_frames(frames, guide), deformed, guide.shared)

    def _filter_frames(self, frames: Tensor, guide: Guide) -> Filtered:
        """Predict the kernels of the frames and apply them.

        Kernels are ten times as large as the frames, so they are computed and applied in strips that fit in
        the cache of the processor.
        """
        features = guide.encoded
        common = self.kernel_shared(guide.shared)
        for i, own in enumerate(features):  # in place, because the previous values are not used again
            features[i] = self.kernel_frame(own, common, activate=True)
        del common
        weights = self._kernel_weights()
        layer = self._kernel_layer(weights)
        if not self.training and can_apply_kernels(layer, features[0]):
            native = apply_kernels(frames, features, layer)
            color = None if native.color is None else interleave(native.color)
            return Filtered(native.mosaic, color, None, native.frames_used)
        batch, _, _, h, w = frames.shape
        border = max(self.config.kernel // 2, 1)
        padded = [F.pad(frame, [border] * 4, mode="replicate") for frame in frames.unbind(1)]
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
        return Filtered(
            from_quads(mosaics),
            interleave(from_quads(colors)) if colors else None,
            from_quads(alone).unflatten(1, (-1, 4)) if alone else None,
            torch.cat(used, 1),
        )

    def _mixed(self, filtered: Filtered, deformed: KernelSums, shared: Tensor) -> Filtered:
        """Mix the mosaic with that of the deformable kernel. The annealed loss applies only to the latter."""
        assert self.deform_share is not None
        groups = deformed.groups()
        share = interleave(torch.sigmoid(self.deform_share(shared).float()))
        mosaic = torch.lerp(filtered.mosaic, groups.mean(1), share)
        return replace(filtered, mosaic=mosaic, alone=groups if self.training else None)

    def _kernel_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of the convolutions for positive parts and for signed parts."""
        weights = [_joined(self.kernel_out, self.color_out)]
        if self.kernel_signed is not None:
            weight, bias = _joined(self.kernel_signed, self.color_signed)
            weights.append((self._centred(weight), self._centred(bias)))
        return weights

    def _kernel_layer(self, weights: list[tuple[Tensor, Tensor]]) -> KernelLayer:
        """Describe the layers to the compiled code; `weights` is the result of `_kernel_weights`."""
        sources = tuple((plane, of[0], of[-1]) for plane, of in COLOR_SOURCES) if self.config.color else ()
        taps = tuple(tuple((y, x) for y in parity.ys for x in parity.xs) for parity in self.parities)
        return KernelLayer(weights[0], weights[1] if len(weights) > 1 else None, taps, sources, LOGIT_LIMIT)

    def _kernels(self, features: Tensor, weights: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], Tensor]:
        """Compute the kernels of each parity, (B, taps, 4, rows, w / 2), and the sums (B, K, 1, 4, ...)."""
        taps = [parity.taps for parity in self.parities]
        logits, *signed = (planes(features, *pair) for pair in weights)
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


def _joined(first: nn.Conv2d, second: nn.Conv2d | None) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one convolution that has the outputs of both."""
    parts = [first] if second is None else [first, second]
    return torch.cat([part.weight for part in parts]), torch.cat([cast(Tensor, part.bias) for part in parts])
