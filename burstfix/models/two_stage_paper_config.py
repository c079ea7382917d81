"""Configuration of the two-stage network in the form of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from burstfix.align.blocks import CELL
from burstfix.errors import UsageError
from burstfix.models.block_matching import SCALE

_ATTENTION_CELL = 8  # packed pixels; divisible by the scale of every level


@dataclass(frozen=True, slots=True)
class TwoStagePaperConfig:
    """Configuration of the network. The defaults are the sizes in the paper.

    Attributes:
        channels: Feature channels of each frame.
        groups: Groups of channels that share offsets in the deformable convolutions.
        stride: Side of a feature pixel in packed pixels, 1 (paper) or 2.
        feature_convs: Number of convolutions of the feature extraction.
        feature_blocks: Number of attention blocks after them.
        unet: Channels of the three levels of the reconstruction.
        unet_blocks: True if attention blocks follow the convolutions of the levels of the U-Net.
        unet_scale: Side in sensor pixels of a pixel of the first level of the U-Net: 1 (paper), 2 or 4.
        base: Picture to which the U-Net adds: "average" of the frames, "reference", "kernels" (the result of
            a kernel prediction network), or "none" (paper).
        refine_channels: Field `refine_channels` of the `KpnConfig` of this network; other fields have
            defaults.
        attention: Region of the mean in channel attention: "window" or "patch" (paper).
        max_offset: Limit of the offsets on each level of the pyramid, in pixels of the level; 0 = no limit
            (paper).
        noise_map: "std" or "linear", see `models.two_stage_paper`.
        coarse: "dpbm" for block matching on learned features (paper), or "blocks" for `align.blocks`.
        patch: Side in packed pixels of a patch, for which "dpbm" finds one offset.
        search: Search radius of "dpbm" in packed pixels (the paper's window of 48 has a radius of 24).
    """

    channels: int = 64
    groups: int = 8
    stride: int = 1
    feature_convs: int = 5
    feature_blocks: int = 4
    unet: tuple[int, int, int] = (64, 128, 256)
    unet_blocks: bool = True
    unet_scale: int = 1
    base: str = "average"
    refine_channels: int = 96
    attention: str = "window"
    max_offset: float = 8.0
    noise_map: str = "std"
    coarse: str = "dpbm"
    patch: int = 64
    search: int = 24

    def __post_init__(self) -> None:
        for name, allowed in (
            ("stride", (1, 2)),
            ("unet_scale", (1, 2, 4)),
            ("base", ("average", "reference", "kernels", "none")),
            ("attention", ("window", "patch")),
            ("noise_map", ("std", "linear")),
            ("coarse", ("dpbm", "blocks")),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"two-stage-paper: {name} is {getattr(self, name)!r}, expected one of {allowed}"
                )
        if self.channels % (2 * self.groups) or len(self.unet) != 3 or self.feature_convs < 2:
            raise UsageError(
                f"two-stage-paper: {self.channels} channels in {self.groups} groups, U-Net {self.unet}, "
                f"{self.feature_convs} convolutions; channels must be a multiple of twice the groups, the "
                "U-Net has three levels, and there are at least two convolutions"
            )
        if self.unet_scale > 2 * self.stride:
            raise UsageError(
                f"two-stage-paper: unet_scale {self.unet_scale} is coarser than stride {self.stride}"
            )
        if self.patch % CELL or self.search % SCALE or self.search < 2 * SCALE:
            raise UsageError(
                f"two-stage-paper: patch {self.patch} must be a multiple of {CELL}, search {self.search} a "
                f"multiple of {SCALE} of at least {2 * SCALE}"
            )

    @property
    def size_multiple(self) -> int:
        """Sizes and origins of tiles are multiples of this number of packed pixels, as all layers require."""
        return max(_ATTENTION_CELL, 4 * self.stride, 2 * self.unet_scale)

    def cell(self, scale: float) -> int:
        """Return the side of an attention cell for pixels of `scale` packed pixels; 0 = no windows."""
        return 0 if self.attention == "patch" else max(1, int(_ATTENTION_CELL / scale))
