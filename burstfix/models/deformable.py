"""Modulated deformable convolution in plain PyTorch, and a pyramid that uses it to refine alignment.

Sources: Zhu et al., "Deformable ConvNets v2" (CVPR 2019), equation 1; Wang et al., "EDVR" (CVPRW 2019),
section 3.2, for the pyramid, with the settings of the two-stage paper. Samples are taken with
`torch.nn.functional.grid_sample`, which is differentiable and available on every device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.models.layers import act, channels_last, conv3, double_size, init_conv

TAPS = 9


def deform_conv(
    x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, *, taps_at_once: int = TAPS
) -> Tensor:
    """Compute a 3x3 convolution where each sample is displaced and weighted.

    Args:
        x: (B, C, h, w) features; zero outside.
        offsets: float32 (B, 2 * G * 9, h, w) in pixels: dy and dx for each of G groups and 9 taps.
        mask: (B, G * 9, h, w) weights of the samples.
        weight: (C_out, C, 3, 3) weights of the convolution.
        bias: (C_out,) bias of the convolution.
        taps_at_once: Number of taps computed at once: 9 is fastest, 1 needs the least memory.

    Returns:
        (B, C_out, h, w) in the dtype of `x`. Coordinates are always computed in float32.
    """
    batch, channels, h, w = x.shape
    groups = mask.shape[1] // TAPS
    grid = _sampling_grid(offsets.float(), groups)  # B, G, 9, h, w, 2
    mask = mask.reshape(batch, groups, 1, TAPS, h, w)
    kernel = weight.reshape(weight.shape[0], channels, TAPS)
    source = x.float().reshape(batch * groups, channels // groups, h, w)
    out: Tensor | None = None
    for first in range(0, TAPS, taps_at_once):
        part = slice(first, first + taps_at_once)
        count = grid[:, :, part].shape[2]
        with torch.autocast(x.device.type, enabled=False):
            samples = F.grid_sample(
                source,
                grid[:, :, part].reshape(batch * groups, count * h, w, 2),
                mode="bilinear",
                padding_mode="zeros",
                align_corners=False,
            )
        samples = samples.to(x.dtype).reshape(batch, groups, -1, count, h, w) * mask[:, :, :, part]
        samples = samples.reshape(batch, channels * count, h * w)
        term = torch.matmul(kernel[:, :, part].reshape(-1, channels * count).to(x.dtype), samples)
        out = term if out is None else out + term
    assert out is not None
    return out.reshape(batch, -1, h, w) + bias[:, None, None].to(x.dtype)


def _sampling_grid(offsets: Tensor, groups: int) -> Tensor:
    """Convert offsets to coordinates of `grid_sample`: x and y from -1 to 1 between the outer edges."""
    batch, _, h, w = offsets.shape
    offsets = offsets.reshape(batch, groups, TAPS, 2, h, w)
    device = offsets.device
    tap = torch.arange(TAPS, device=device)
    tap_y = (torch.div(tap, 3, rounding_mode="floor") - 1)[:, None, None]
    tap_x = (tap % 3 - 1)[:, None, None]
    y = offsets[:, :, :, 0] + (torch.arange(h, device=device)[:, None] + tap_y)
    x = offsets[:, :, :, 1] + (torch.arange(w, device=device) + tap_x)
    return torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], -1)


class DeformableConv(nn.Module):
    """Deformable 3x3 convolution that predicts its own offsets and mask from `guide`.

    Args:
        channels: Channels of input, guide and output.
        groups: Number of groups of channels that share offsets.
        max_offset: Limit of the offsets in pixels (a scaled tanh), so that the halo of a tile covers them; 0
            = no limit.
    """

    def __init__(self, channels: int, groups: int, max_offset: float) -> None:
        super().__init__()
        self.max_offset = max_offset
        self.conv = conv3(channels, channels, gain=2.0)  # compensates for the initial mask of 0.5
        self.offset_mask = conv3(channels, 3 * TAPS * groups)
        # The initial layer is nearly a plain convolution, but gradients reach the guide.
        init_conv(self.offset_mask, 0.03)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Convolve (B, C, h, w), given a guide of the same shape; return (B, C, h, w)."""
        assert self.offset_mask.bias is not None and self.conv.bias is not None
        # Use float32, because bfloat16 has 8 significant bits and would round an offset of 5 pixels to 1/32.
        with torch.autocast(x.device.type, enabled=False):
            out = F.conv2d(
                guide.float(), self.offset_mask.weight.float(), self.offset_mask.bias.float(), padding=1
            )
            split = out.shape[1] // 3
            offsets, mask = out[:, : 2 * split], torch.sigmoid(out[:, 2 * split :])
            if self.max_offset:
                offsets = self.max_offset * torch.tanh(offsets / self.max_offset)
        at_once = TAPS if torch.is_grad_enabled() else 1
        return channels_last(
            deform_conv(x, offsets, mask.to(x.dtype), self.conv.weight, self.conv.bias, taps_at_once=at_once)
        )


class PyramidAlign(nn.Module):
    """Alignment of the features of a frame to those of the reference, on three levels from coarse to fine."""

    def __init__(self, channels: int, groups: int, max_offset: float) -> None:
        super().__init__()
        c = channels
        self.down2 = nn.ModuleList([conv3(c, c, stride=2, gain=1.4), conv3(c, c, gain=1.4)])
        self.down3 = nn.ModuleList([conv3(c, c, stride=2, gain=1.4), conv3(c, c, gain=1.4)])
        self.pair = nn.ModuleList(conv3(2 * c, c, gain=1.4) for _ in range(3))
        self.merge = nn.ModuleList(conv3(c if level == 2 else 2 * c, c, gain=1.4) for level in range(3))
        self.settle = nn.ModuleList(conv3(c, c, gain=1.4) for _ in range(2))
        self.deform = nn.ModuleList(DeformableConv(c, groups, max_offset) for _ in range(3))
        self.combine = nn.ModuleList(conv3(2 * c, c) for _ in range(2))

    def pyramid(self, features: Tensor) -> list[Tensor]:
        """Return three levels of (M, C, h, w), each at half the size; h and w are multiples of 4."""
        levels = [features]
        for first, second in (self.down2, self.down3):  # type: ignore[misc]
            levels.append(act(second(act(first(levels[-1])))))
        return levels

    def forward(self, frame: list[Tensor], reference: list[Tensor]) -> Tensor:
        """Return aligned features (M, C, h, w) from the pyramids of M frames and their references."""
        guide = aligned = None
        for level in (2, 1, 0):
            x = act(self.pair[level](torch.cat([frame[level], reference[level]], 1)))
            if guide is not None:
                x = torch.cat([x, 2 * double_size(guide)], 1)  # pixels of this level are half as wide
            x = act(self.merge[level](x))
            guide = x if level == 2 else act(self.settle[level](x))
            moved = self.deform[level](frame[level], guide)
            if aligned is not None:
                moved = self.combine[level](torch.cat([moved, double_size(aligned)], 1))
            aligned = act(moved) if level else moved
        assert aligned is not None
        return aligned
