"""Direct synthesis: `kpn` without kernels, to measure what kernels contribute.

Three convolutions compute the denoised mosaic from the output of the U-Net; the other parts are those of
`kpn`. This is the variant "direct" in the ablations of Mildenhall et al., "Burst denoising with kernel
prediction networks" (CVPR 2018). Difference: The convolutions compute a correction of the mean of the aligned
frames, so that the network starts as an average, as `kpn` does.
"""

from __future__ import annotations

from torch import Tensor

from burstfix.models.base import ModelInfo
from burstfix.models.kernel_network import Filtered, Guide, KernelNetwork, NetworkConfig
from burstfix.models.kpn import BYTES_PER_PIXEL, BYTES_PER_PIXEL_FIXED
from burstfix.models.layers import Conv, act
from burstfix.raw.cfa import interleave


class Direct(KernelNetwork):
    """Network without kernels; see the docstring of the module."""

    config_class = NetworkConfig

    def __init__(self, config: NetworkConfig | None = None) -> None:
        self.config = config or NetworkConfig()
        super().__init__(self.config, color=False)
        self.info = ModelInfo(
            "direct",
            size_multiple=8,
            halo=40,
            bytes_per_pixel=BYTES_PER_PIXEL,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED,
        )

    def _add_kernel_layers(self) -> None:
        """Create the convolutions that replace kernels."""
        c = self.config.channels
        self.synthesis1 = Conv(c, c)
        self.synthesis2 = Conv(c, c)
        self.synthesis_out = Conv(c, 4 * 4)

    def _start_as_average(self) -> None:
        """Initialise the correction as nearly zero, and the output of the head as zero."""
        super()._start_as_average()
        assert self.synthesis_out.bias is not None
        self.synthesis_out.weight.mul_(0.1)
        self.synthesis_out.bias.zero_()

    def _filter(self, frames: Tensor, guide: Guide) -> Filtered:
        """Compute the mosaic (B, 4, h, w) without kernels."""
        x = act(self.synthesis2(act(self.synthesis1(guide.shared))))
        correction = interleave(self.synthesis_out(x).float())
        return Filtered(frames.mean(1) + correction, color=None, alone=None, frames_used=None)
