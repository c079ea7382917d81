"""Deformable kernels: the network predicts where to sample the burst, and the weight of each sample.

For every packed pixel, the network predicts places in space and time, which the four planes share. The
samples at these places, together with the input and the features, determine the weights of the samples. The
weights sum to one. Encoder, U-Net and demosaicking head are those of `kpn`.

- `Deformable3d` has one kernel for the whole burst, which samples in space and time. It can take more samples
  from frames that match the reference better.
- `Deformable2d` has one kernel for each frame, which samples only this frame. It also suits single pictures.

Both networks work with any number of frames and any reference. Times are relative to the reference and to
the length of the burst (`DeformableKernel.places`). Offsets are bounded, so the result does not depend on
tiles.

Source: Xu et al., "Learning deformable kernels for image and video denoising" (2019). Differences: kernels
act on packed mosaics of frames that are aligned by block matching, and layers work at half the packed size.
Instead of concatenated frames, the network sees features of each frame. The weights are normalised.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from torch import Tensor

from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, ModelInfo
from burstfix.models.deformable_layers import DeformableKernel, KernelSums, SpaceTimeKernel, joined
from burstfix.models.kernel_network import Filtered, Guide, KernelNetwork, NetworkConfig
from burstfix.models.kpn import Kpn
from burstfix.models.layers import Conv

logger = logging.getLogger(__name__)
HALO = 48  # without the offsets; measured, see `ModelInfo`
BYTES_PER_PIXEL = 80  # working memory, measured; see `ModelInfo`
BYTES_PER_PIXEL_FIXED, BYTES_PER_LAYER = 1050, 450
PARTS_OF_KPN = ("encode", "down", "up", "kernel_frame", "kernel_shared", "head", "refine")


@dataclass(frozen=True, slots=True)
class Deformable2dConfig(NetworkConfig):
    """Sizes of the network: the fields of `NetworkConfig` and those of the kernels.

    Attributes:
        kernel: Side of the grid of samples at rest, in packed pixels, odd. The paper uses 3 for bursts and 5
            for single pictures.
        max_offset: Largest displacement of a sample from its place at rest in packed pixels.
    """

    kernel: int = 3
    max_offset: float = 8.0

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        if not 1 <= self.kernel <= 9 or self.kernel % 2 == 0:
            raise UsageError(f"deformable kernels: kernel {self.kernel} must be odd and at most 9")
        if not 0 < self.max_offset <= 16:
            raise UsageError(
                f"deformable kernels: max_offset {self.max_offset:g} must be above 0 and at most 16"
            )


@dataclass(frozen=True, slots=True)
class Deformable3dConfig(Deformable2dConfig):
    """Sizes of the network: the fields of `Deformable2dConfig` and the number of layers.

    Attributes:
        layers: Layers of samples at different times, each with kernel x kernel samples. Each layer is a
            group of the annealed loss.
    """

    layers: int = 3

    def __post_init__(self) -> None:
        Deformable2dConfig.__post_init__(self)
        if not 1 <= self.layers <= 9:
            raise UsageError(f"deformable kernels: layers {self.layers} must be between 1 and 9")


class DeformableNetwork(KernelNetwork):
    """Base class of both networks; see the docstring of the module."""

    config: Deformable2dConfig

    def __init__(self, name: str, config: Deformable2dConfig, layers: int = 1) -> None:
        self.config = config
        super().__init__(config, color=False)
        self.info = ModelInfo(
            name,
            size_multiple=8,
            halo=HALO + 8 * math.ceil(config.max_offset / 8),
            bytes_per_pixel=BYTES_PER_PIXEL,
            bytes_per_pixel_fixed=BYTES_PER_PIXEL_FIXED + BYTES_PER_LAYER * layers,
        )

    def start_from(self, other: BurstModel) -> None:
        """See `BurstModel.start_from`. Of `kpn`, encoder, U-Net and head are copied."""
        if not isinstance(other, Kpn):
            super().start_from(other)
            return
        own, theirs = self.state_dict(), other.state_dict()
        shared = [name for name in own if name.startswith(PARTS_OF_KPN)]
        odd = [name for name in shared if name not in theirs or own[name].shape != theirs[name].shape]
        if odd:
            raise UsageError(
                f"{self.info.name} cannot start from these weights of {other.info.name}: {odd[0]} has a "
                "different shape or is missing"
            )
        logger.info("%d of %d tensors keep their initial values", len(own) - len(shared), len(own))
        self.load_state_dict({**own, **{name: theirs[name] for name in shared}})

    def _kernel_sums(self, frames: Tensor, guide: Guide) -> KernelSums:
        """Predict and apply all kernels."""
        raise NotImplementedError

    def _filter(self, frames: Tensor, guide: Guide) -> Filtered:
        """See `KernelNetwork._filter`."""
        kernels = self._kernel_sums(frames, guide)
        groups = kernels.groups()
        used = None
        if kernels.by_frame is not None:
            used = (kernels.mass.square() / kernels.by_frame.square().sum(1)).mean(1)
        return Filtered(groups.mean(1), None, groups if self.training else None, used)


class Deformable3d(DeformableNetwork):
    """One deformable kernel in space and time; see the docstring of the module."""

    config_class = Deformable3dConfig

    def __init__(self, config: Deformable3dConfig | None = None) -> None:
        config = config or Deformable3dConfig()
        self.layers = config.layers
        super().__init__("deformable-3d", config, config.layers)

    def _add_kernel_layers(self) -> None:
        """See `KernelNetwork._add_kernel_layers`."""
        config = self.config
        self.deform = SpaceTimeKernel(config.channels, config.kernel, config.max_offset, self.layers)

    def _start_as_average(self) -> None:
        """See `KernelNetwork._start_as_average`."""
        super()._start_as_average()
        self.deform.kernel.start_as_average()

    def _kernel_sums(self, frames: Tensor, guide: Guide) -> KernelSums:
        """See `DeformableNetwork._kernel_sums`."""
        return self.deform(frames, guide)


class Deformable2d(DeformableNetwork):
    """A deformable kernel for each frame; see the docstring of the module."""

    config_class = Deformable2dConfig

    def __init__(self, config: Deformable2dConfig | None = None) -> None:
        super().__init__("deformable-2d", config or Deformable2dConfig())

    def _add_kernel_layers(self) -> None:
        """See `KernelNetwork._add_kernel_layers`."""
        config = self.config
        self.kernel_frame = Conv(config.channels, config.channels)
        self.kernel_shared = Conv(config.channels, config.channels)
        self.deform = DeformableKernel(config.channels, config.kernel, config.max_offset)

    def _start_as_average(self) -> None:
        """See `KernelNetwork._start_as_average`."""
        super()._start_as_average()
        self.deform.start_as_average()

    def _kernel_sums(self, frames: Tensor, guide: Guide) -> KernelSums:
        """See `DeformableNetwork._kernel_sums`."""
        common, context = self.kernel_shared(guide.shared), self.deform.input_features(guide)
        parts = [
            self.deform(frames[:, i : i + 1], self.kernel_frame(own, common, activate=True), context, guide)
            for i, own in enumerate(guide.encoded)
        ]
        return joined(parts)
