"""Layers that several networks share: stacks of convolutions, attention blocks, recurrent fusion.

The blocks have the form of those in the two-stage network (Guo et al., CVPR 2022). By default, they do not
depend on statistics of the whole tile.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.native.conv import can_convolve, convolve

SLOPE = 0.1
ATTENTION_WINDOW = 5
"""Channel attention averages over this many cells in each direction."""

_QUIET_GATE = -2.0  # sigmoid(-2) = 0.12: a stack of untrained attention blocks hardly amplifies


def act(x: Tensor) -> Tensor:
    """Apply a leaky ReLU in place. The input must be a new tensor, such as the output of a convolution."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def channels_last(x: Tensor) -> Tensor:
    """Convert to the channels-last memory format, which makes convolutions 1.3 to 3 times faster."""
    return x.contiguous(memory_format=torch.channels_last)


def double_size(x: Tensor) -> Tensor:
    """Double height and width by bilinear interpolation."""
    # With autocast, CUDA interpolates in float32. Without this cast, later layers would continue in float32.
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False).to(x.dtype)


def conv3(c_in: int, c_out: int, *, stride: int = 1, bias: bool = True, gain: float = 1.0) -> nn.Conv2d:
    """Create a 3x3 convolution with zero padding.

    The standard deviation of its output is `gain` times that of its input.
    """
    conv = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=bias)
    init_conv(conv, gain)
    return conv


def init_conv(conv: nn.Conv2d | nn.ConvTranspose2d, gain: float = 1.0) -> None:
    """Initialise a convolution with normal weights scaled by the fan-in, and zero bias."""
    fan_in = conv.weight[0].numel()
    if isinstance(conv, nn.ConvTranspose2d):
        fan_in = conv.in_channels  # kernel = stride, so each output pixel depends on one input pixel
    nn.init.normal_(conv.weight, std=gain / fan_in**0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class Conv(nn.Conv2d):
    """3x3 convolution with zero padding, which runs in compiled code where this is faster than torch.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        stride: Step between outputs.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__(c_in, c_out, 3, stride, 1)

    def forward(self, input: Tensor, add: Tensor | None = None, *, activate: bool = False) -> Tensor:
        """Map (B, c_in, h, w) to (B, c_out, h', w'); `add` is added to the result before the activation."""
        if can_convolve(self, input):
            return convolve(self, input, add=add, slope=SLOPE if activate else 1.0)
        y = super().forward(input)
        if add is not None:
            y = y.add_(add)
        return act(y) if activate else y


class DoubleConv(nn.Module):
    """Two 3x3 convolutions; the first one may have a stride."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = Conv(c_in, c_out, stride)
        self.second = Conv(c_out, c_out)

    def forward(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        """Map (B, c_in, h, w) to (B, c_out, h', w'); add `more` to the output of the first convolution."""
        return self.second(self.first(x, more, activate=True), activate=True)


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv(channels, channels)
        self.second = Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        return self.second(self.first(x, activate=True), x)


class CoarserLevel(nn.Module):
    """Residual blocks at half the size of their input. Before training, their contribution is zero.

    Args:
        channels: Channels of input and output.
        width: Channels of the blocks.
        blocks: Number of blocks.
        context: Channels of the context that is added to the input of the blocks; 0 = no context.
        below: The next level, at half the size; None = no further level.
    """

    def __init__(
        self, channels: int, width: int, blocks: int, context: int = 0, below: CoarserLevel | None = None
    ) -> None:
        super().__init__()
        self.down = Conv(channels, width, stride=2)
        self.context = nn.Conv2d(context, width, 1) if context else None
        self.below = below
        self.blocks = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(width, channels, 2, 2)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (B, channels, h, w) to the same shape, given the context (B, context, h / 2, w / 2)."""
        y = self.down(x)
        if self.context is not None:
            y = y.add_(self.context(context))
        y = act(y)
        if self.below is not None:
            y = self.below(y)
        for block in self.blocks:
            y = block(y)
        return self.up(act(y)).add_(x)


def unshuffle(x: Tensor) -> Tensor:
    """Move 2x2 packed pixels to channels: (B, C, h, w) to (B, 4C, h / 2, w / 2), channels last."""
    x = rounded(x)
    parts = [x[:, :, y::2, column::2].permute(0, 2, 3, 1) for y in (0, 1) for column in (0, 1)]
    return torch.stack(parts, -1).flatten(3).permute(0, 3, 1, 2)


def rounded(x: Tensor) -> Tensor:
    """Convert to the dtype in which autocast computes convolutions, to halve the memory traffic."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class ConvStack(nn.Module):
    """3x3 convolutions with activations between them. Only the first convolution has a bias."""

    def __init__(self, depth: int, c_in: int, channels: int, c_out: int, *, gain: float = 1.0) -> None:
        super().__init__()
        widths = [c_in] + [channels] * (depth - 1) + [c_out]
        last = depth - 1
        self.convs = nn.ModuleList(
            conv3(a, b, bias=i == 0, gain=gain if i == last else 1.4)
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, h, w) to (B, c_out, h, w)."""
        for i, conv in enumerate(self.convs):
            x = conv(x if i == 0 else act(x))
        return x


class AttentionBlock(nn.Module):
    """Residual convolutions, then x + x * channel attention + x * spatial attention.

    Channel attention needs a mean over an area. If this area is the whole patch, as in the authors' network,
    the result depends on the tile size. Therefore, by default, the area is a window of `ATTENTION_WINDOW`
    cells on a fixed grid, and gates are interpolated between cells.

    Args:
        channels: Channels of input and output.
        cell: Side of a cell of the grid in pixels. Input sizes are multiples of it. 0 = the area is the whole
            patch.
    """

    def __init__(self, channels: int, cell: int) -> None:
        super().__init__()
        self.cell = cell
        self.square = conv3(channels, channels, bias=False, gain=1.4)
        self.extract = conv3(channels, channels, gain=0.3)
        self.residual1 = ConvStack(2, channels, channels, channels, gain=0.3)
        self.residual2 = ConvStack(2, channels, channels, channels, gain=0.3)
        self.squeeze = nn.Conv2d(channels, channels // 2, 1)
        self.excite = nn.Conv2d(channels // 2, channels, 1)
        self.spatial = nn.Conv2d(channels, 1, 7, padding=3)
        for gate in (self.excite, self.spatial):
            init_conv(gate, 0.3)
            nn.init.constant_(gate.bias, _QUIET_GATE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        x = x + self.extract(act(self.square(x)))
        x = x + self.residual1(x)
        x = x + self.residual2(x)
        return x * (1 + self._channel_gate(x) + torch.sigmoid(self.spatial(x)))

    def _channel_gate(self, x: Tensor) -> Tensor:
        if not self.cell:
            mean = x.mean((2, 3), keepdim=True)
        else:
            mean = F.avg_pool2d(x, self.cell) if self.cell > 1 else x
            side = ATTENTION_WINDOW
            mean = F.avg_pool2d(mean, side, 1, side // 2, count_include_pad=False)
        gate = torch.sigmoid(self.excite(act(self.squeeze(mean))))
        if self.cell > 1:
            gate = F.interpolate(gate, scale_factor=self.cell, mode="bilinear", align_corners=False)
        return gate.to(x.dtype)  # with autocast, CUDA interpolates in float32


class ConvGru(nn.Module):
    """Convolutional gated recurrent unit over the features of frames, ending at the reference.

    The gates z and r and the candidate q are 3x3 convolutions of the state h and the frame. The new state is
    (1 - z) * h + z * q (supplement of the two-stage paper, equation 1). The weights have the form of one
    convolution over [state, frame]. The part that depends only on the frames is computed for all frames at
    once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.update = conv3(2 * channels, channels)
        self.reset = conv3(2 * channels, channels)
        self.candidate = conv3(2 * channels, channels)

    def frame_part(self, features: Tensor) -> Tensor:
        """Convert features of frames (M, C, h, w) to the input of `run`, (M, 3C, h, w)."""
        convs = (self.update, self.reset, self.candidate)
        weight = torch.cat([conv.weight[:, self.channels :] for conv in convs])
        bias = torch.cat([_bias(conv) for conv in convs])
        return F.conv2d(features, weight, bias, padding=1)

    def run(self, frames: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the states before and after the last frame. Frames are (B, 3C, h, w) from `frame_part`."""
        c = self.channels
        gates = torch.cat([self.update.weight[:, :c], self.reset.weight[:, :c]])
        candidate = self.candidate.weight[:, :c]
        after = torch.zeros_like(frames[0][:, :c])
        before = after
        for step, frame in enumerate(frames):
            before = after
            frame_z, frame_r, frame_q = frame.split(c, 1)
            if step == 0:  # the state is zero, so its convolution is omitted
                after = torch.sigmoid(frame_z) * torch.tanh(frame_q)
                continue
            state_z, state_r = F.conv2d(before, gates, padding=1).split(c, 1)
            z = torch.sigmoid(frame_z + state_z)
            r = torch.sigmoid(frame_r + state_r)
            q = torch.tanh(frame_q + F.conv2d(r * before, candidate, padding=1))
            after = before + z * (q - before)
        return before, after


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
