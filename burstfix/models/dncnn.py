"""DnCNN on the mosaic of one frame: the network for a single frame in comparisons.

    reference (4 planes), noise map --> convolutions --> noise --> reference - noise --> Menon --> RGB

Source: Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising" (IEEE
TIP 2017). As in this paper, the network predicts the noise. Differences: It works on packed planes. With the
noise map, its input and its output are in units of the noise, so that one network serves all noise levels.
There is no batch normalisation, because the averaged weights (EMA) of a training run have no statistics of
activations. Instead, the layers start near the identity (Xiao et al., "Dynamical isometry and a mean field
theory of CNNs", ICML 2018). After 300 training bursts, the mean error of such a network was 0.73 times that
of the noisy mosaic. With random initial weights, it was 0.99 times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.models.layers import act, channels_last, conv3, rounded
from burstfix.raw.demosaic import MENON_HALO, menon

_MULTIPLE = 8
_DIFFERENCE_LIMIT = 8.0  # in standard deviations of the noise; edges exceed it


@dataclass(frozen=True, slots=True)
class DncnnConfig:
    """Sizes of the network.

    Attributes:
        channels: Features of each layer.
        depth: Number of convolutions, 2 or more. The paper uses 17 for known noise.
    """

    channels: int = 64
    depth: int = 17

    def __post_init__(self) -> None:
        if self.channels < 1 or self.depth < 2:
            raise UsageError(
                f"dncnn: found {self.channels} channels and depth {self.depth}, expected at least 1 and 2"
            )


class Dncnn(BurstModel):
    """Residual network for one frame; see the docstring of the module."""

    config_class = DncnnConfig

    def __init__(self, config: DncnnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DncnnConfig()
        reach = config.depth + 1 + MENON_HALO  # convolutions, smoothing of the noise map, demosaicking
        self.info = ModelInfo(
            "dncnn",
            size_multiple=_MULTIPLE,
            halo=-(-reach // _MULTIPLE) * _MULTIPLE,
            bytes_per_pixel=30,
            bytes_per_pixel_fixed=100 + 8 * config.channels,
        )
        c = config.channels
        self.first = conv3(12, c, gain=1.4)
        self.middle = nn.ModuleList(conv3(c, c, gain=0.4) for _ in range(config.depth - 2))
        self.last = conv3(c, 4, gain=0.1)
        if not self.first.weight.is_meta:  # see `KernelNetwork`
            with torch.no_grad():
                for weight in self.middle.parameters():
                    if weight.ndim == 4:
                        weight.add_(nn.init.dirac_(torch.empty_like(weight)))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Denoise the reference; see `BurstModel.forward`. The other frames are not used."""
        noisy = frames[:, reference].float()
        signal = F.avg_pool2d(noisy, 3, stride=1, padding=1, count_include_pad=False)
        std = torch.sqrt(signal.clamp(min=0) * shot_gain[:, 0] + read_variance[:, 0])
        difference = (noisy - signal) / std.clamp(min=1e-6)
        difference = difference.clamp(-_DIFFERENCE_LIMIT, _DIFFERENCE_LIMIT)
        x = act(self.first(channels_last(rounded(torch.cat([difference, noisy, std], 1)))))
        for layer in self.middle:
            x = act(layer(x))
        mosaic = noisy - std * self.last(x).float()
        return Merged(menon(mosaic), mosaic)
