"""The two-stage network: kernel prediction after two alignment stages, recurrent fusion and a U-Net.

This is the network of `kpn` with a second alignment stage before it. First, block matching aligns the frames.
Then, on a pyramid of three levels, the features of each frame are aligned to those of the reference; each
group of channels has its own bilinear displacement. A recurrent unit fuses the features, from both ends of
the burst towards the reference (Guo et al., CVPR 2022; the pyramid is from EDVR, CVPRW 2019). The aligned and
the fused features are inputs of the kernel prediction and the head of `kpn`, which compute the picture.
Kernels learn about ten times faster than a network that computes the picture directly, as `two_stage_paper`
does.

    frames (block-matched) --> features --> pyramid, group warps --+--> recurrent fusion --> U-Net --+
                  |                                                |                                 |
                  +---------------> encoder of kpn <---------------+                                 |
                                        |                                                            |
                                        +--------> kernels, applied to the frames --> head <---------+
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.errors import UsageError
from burstfix.models.base import ModelInfo
from burstfix.models.kernel_network import AlignedFeatures
from burstfix.models.kpn import (
    BYTES_PER_PIXEL,
    BYTES_PER_PIXEL_FIXED,
    Kpn,
    KpnConfig,
)
from burstfix.models.layers import (
    Conv,
    ConvGru,
    DoubleConv,
    act,
    channels_last,
    conv3,
    double_size,
    init_conv,
    unshuffle,
)
from burstfix.models.two_stage_paper import frame_order

_LEVELS = 3
_SMALLEST = 1e-3  # relative to white; for smaller values, the encoding is nearly linear
_ALIGNED_BYTES = 240  # estimated working memory per packed pixel and frame, in addition to that of kpn


@dataclass(frozen=True, slots=True)
class TwoStageConfig(KpnConfig):
    """Sizes of the network: the fields of `KpnConfig` and the sizes of the second alignment stage.

    Attributes:
        groups: Groups of channels that move together.
        max_offset: Limit of the displacement on each level of the pyramid, in pixels of the level.
    """

    groups: int = 8
    max_offset: float = 4.0

    def __post_init__(self) -> None:
        KpnConfig.__post_init__(self)
        if self.groups < 1 or self.channels % self.groups:
            raise UsageError(
                f"two-stage: {self.channels} channels cannot be divided into {self.groups} groups"
            )
        if not 0 < self.max_offset <= 64:
            raise UsageError(f"two-stage: max_offset {self.max_offset:g} must be above 0 and at most 64")


def encode(x: Tensor) -> Tensor:
    """Encode by an odd square root, so that equal steps are about equally visible at any brightness.

    >>> [round(value, 2) for value in encode(torch.tensor([-0.25, 0.0, 0.25])).tolist()]
    [-0.47, 0.0, 0.47]
    """
    return x.sign() * ((x.abs() + _SMALLEST).sqrt() - _SMALLEST**0.5)


class GroupWarp(nn.Module):
    """Layer that moves each group of channels by a bilinear displacement, weights it, and mixes all groups.

    This is a lighter form of deformable convolution: one sample per group instead of nine, followed by a 3x3
    convolution.

    Args:
        channels: Channels of input, guide and output; a multiple of `groups`.
        groups: Groups of channels that move together.
        max_offset: Limit of the displacement in pixels.
    """

    def __init__(self, channels: int, groups: int, max_offset: float) -> None:
        super().__init__()
        self.groups, self.max_offset = groups, max_offset
        self.offset_mask = conv3(channels, 3 * groups)
        # The initial displacement is close to zero, but gradients reach the guide.
        init_conv(self.offset_mask, 0.03)
        self.join = conv3(channels, channels, gain=1.4)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Move features (B, C, h, w), given a guide of the same shape; return (B, C, h, w)."""
        batch, channels, h, w = x.shape
        g = self.groups
        assert self.offset_mask.bias is not None
        # This part uses float32, because bfloat16 would round displacements to 1/64 pixel or more.
        with torch.autocast(x.device.type, enabled=False):
            out = F.conv2d(
                guide.float(), self.offset_mask.weight.float(), self.offset_mask.bias.float(), padding=1
            )
            offsets = self.max_offset * torch.tanh(out[:, : 2 * g] / self.max_offset)
            mask = 2 * torch.sigmoid(out[:, 2 * g :])
            ys = torch.arange(h, device=x.device, dtype=torch.float32)[:, None] + offsets[:, g:]
            xs = torch.arange(w, device=x.device, dtype=torch.float32) + offsets[:, :g]
            grid = torch.stack([(2 * xs + 1) / w - 1, (2 * ys + 1) / h - 1], -1)
            moved = F.grid_sample(
                x.float().reshape(batch * g, channels // g, h, w),
                grid.reshape(batch * g, h, w, 2),
                mode="bilinear",
                padding_mode="border",
                align_corners=False,
            )
            moved = (moved.view(batch, g, -1, h, w) * mask[:, :, None]).flatten(1, 2)
        return self.join(channels_last(moved.to(x.dtype)))


class TwoStage(Kpn):
    """Kernel prediction with a second alignment stage; see the docstring of the module."""

    config: TwoStageConfig
    config_class = TwoStageConfig

    def __init__(self, config: TwoStageConfig | None = None) -> None:
        config = config or TwoStageConfig()
        super().__init__(config)
        c = config.channels
        self.info = ModelInfo(
            "two-stage",
            size_multiple=8,
            halo=64,
            bytes_per_pixel=BYTES_PER_PIXEL + _ALIGNED_BYTES,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED,
        )
        self.extract = DoubleConv(2 * 16, c)
        self.pyramid = nn.ModuleList(DoubleConv(c, c, stride=2) for _ in range(_LEVELS - 1))
        self.pair_frame = nn.ModuleList(Conv(c, c) for _ in range(_LEVELS))
        self.pair_reference = nn.ModuleList(Conv(c, c) for _ in range(_LEVELS))
        self.pair_below = nn.ModuleList(Conv(c, c) for _ in range(_LEVELS - 1))
        self.guide = nn.ModuleList(Conv(c, c) for _ in range(_LEVELS))
        self.warp = nn.ModuleList(GroupWarp(c, config.groups, config.max_offset) for _ in range(_LEVELS))
        self.combine = nn.ModuleList(Conv(2 * c, c) for _ in range(_LEVELS - 1))
        self.gru = ConvGru(c)
        self.fuse = nn.Conv2d(2 * c, c, 1)
        self.encode_aligned = nn.Conv2d(2 * c, c, 1)
        self.encode_fused = Conv(c, c)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _aligned_features(self, frames: Tensor, std: Tensor, reference: int) -> AlignedFeatures:
        """See `KernelNetwork._aligned_features`."""
        noise = encode(std)
        pyramids = [self._pyramid(frames[:, i].float(), noise) for i in range(frames.shape[1])]
        targets = [pair(level) for pair, level in zip(self.pair_reference, pyramids[reference], strict=True)]
        moved, own = [], []
        for pyramid in pyramids:  # frame by frame, to limit working memory
            aligned, guide = self._align(pyramid, targets)
            moved.append(aligned)
            own.append(self.encode_aligned(torch.cat([aligned, guide], 1)))
        return AlignedFeatures(tuple(own), self.encode_fused(self._fuse(moved, reference)))

    def _pyramid(self, frame: Tensor, noise: Tensor) -> list[Tensor]:
        """Return features of a frame at a half, a quarter and an eighth of the packed size."""
        levels = [self.extract(unshuffle(torch.cat([encode(frame), noise], 1)))]
        for down in self.pyramid:
            levels.append(down(levels[-1]))
        return levels

    def _align(self, pyramid: list[Tensor], targets: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Align the features of a frame to those of the reference, from coarse to fine.

        Args:
            pyramid: Features of the frame on each level, finest first.
            targets: Features of the reference that are the input of each level.

        Returns:
            The aligned features and the last guide, each (B, c, h / 2, w / 2).
        """
        guide = aligned = None
        for level in reversed(range(_LEVELS)):
            x = self.pair_frame[level](pyramid[level]) + targets[level]
            if guide is not None:
                x = x + self.pair_below[level](double_size(guide))
            guide = self.guide[level](act(x), activate=True)
            moved = self.warp[level](pyramid[level], guide)
            if aligned is not None:
                moved = self.combine[level](torch.cat([moved, double_size(aligned)], 1))
            aligned = act(moved)
        assert aligned is not None and guide is not None
        return aligned, guide

    def _fuse(self, moved: list[Tensor], reference: int) -> Tensor:
        """Run the recurrent unit from both ends towards the reference; return (B, c, h / 2, w / 2)."""
        parts = [self.gru.frame_part(features) for features in moved]
        order = frame_order(len(parts), reference)
        middle = order.index(reference)
        _, forward = self.gru.run([parts[i] for i in order[: middle + 1]])
        _, backward = self.gru.run([parts[i] for i in reversed(order[middle:])])
        return act(self.fuse(torch.cat([forward, backward], 1)))
