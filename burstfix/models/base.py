"""The interface between models and the engine, which runs them on tiles."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burstfix.align.blocks import BlockField, gray_features, match_blocks
from burstfix.align.gather import BurstTile
from burstfix.errors import NoMosaicError, UsageError
from burstfix.models.losses import Losses, TrainingBatch, mosaic_loss, picture_losses

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Properties of a model that the engine needs.

    Attributes:
        name: Name in the catalogue.
        size_multiple: Heights, widths and positions of tiles are multiples of this many packed pixels.
        halo: Width in packed pixels of the surroundings that affect the result of a tile; a multiple of
            `size_multiple`.
        bytes_per_pixel: Peak working memory in bytes per packed pixel and frame in float32. It is an estimate
            from measurements, and determines the automatic tile size.
        bytes_per_pixel_fixed: Peak working memory in bytes per packed pixel, independent of the frame count.
        any_planes: True if `merge_mosaic` accepts any number of planes, not only the four of a Bayer mosaic.
        supports_bfloat16: True if the model may run in bfloat16 or float16. Otherwise it always runs in
            float32.
    """

    name: str
    size_multiple: int
    halo: int
    bytes_per_pixel: float
    bytes_per_pixel_fixed: float = 0.0
    any_planes: bool = False
    supports_bfloat16: bool = True


@dataclass(slots=True)
class Merged:
    """The result of a network.

    Attributes:
        rgb: (B, 3, 2h, 2w) linear camera RGB.
        mosaic: (B, 4, h, w) denoised packed mosaic; None if the model does not compute it.
        extra: Mapping from names to tensors that only training uses.
        frames_used: (B, h / 2, w / 2) effective number of merged frames at each position, 1 to N, which is
            (sum of weights)^2 / sum of squared weights. None if the model has no such weights.
    """

    rgb: Tensor
    mosaic: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)
    frames_used: Tensor | None = None


class BurstModel(nn.Module):
    """A network (or a plain algorithm) that merges aligned packed frames into linear RGB."""

    info: ModelInfo
    config_class: ClassVar[type[Any] | None] = None
    """Frozen dataclass that configures the model, for recipes and weights files; None if there is none."""
    lr_scale: ClassVar[Mapping[str, float]] = {}
    """Mapping from parts (attributes of the model) to their relative learning rates; 0 freezes a part."""
    learns_alignment: bool = False
    """True if the model is trained on unaligned frames; see `TrainingBatch`."""

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Merge frames that are aligned to the nearest packed pixel or better.

        Args:
            frames: (B, N, 4, h, w) normalised packed mosaics in RGGB order, N >= 1.
            shot_gain: Shot gain in normalised units, broadcastable to `frames` (usually (B, 1, 4, 1, 1)).
            read_variance: Read variance, in the same form.
            reference: Index of the reference in N.
        """
        raise NotImplementedError

    def losses(self, batch: TrainingBatch) -> Losses:
        """Return the loss terms of one training step. Their sum is minimised.

        By default these are the loss of the picture and, if the model returns a mosaic, the loss of the
        mosaic.
        """
        merged = self(batch.frames, batch.shot_gain, batch.read_variance, batch.reference)
        losses = picture_losses(merged.rgb, batch)
        return losses if merged.mosaic is None else losses | mosaic_loss(merged.mosaic, batch)

    def start_from(self, other: BurstModel) -> None:
        """Copy the initial weights from a model of the same kind, or of the kind that this model extends.

        Parts that the other model lacks keep their initial weights.

        Raises:
            UsageError: The other model is of another kind, has parts that this model lacks, or has other
                sizes.
        """
        own, theirs = self.state_dict(), other.state_dict()
        odd = [name for name, value in theirs.items() if name not in own or own[name].shape != value.shape]
        if odd or not isinstance(self, type(other)):
            why = f"{odd[0]} has a different shape or is missing" if odd else "another kind of network"
            raise UsageError(f"{self.info.name} cannot start from these weights of {other.info.name}: {why}")
        fresh = len(own) - len(theirs)
        if fresh:
            logger.info(
                "%d of %d tensors are not in the weights to start from and keep their initial values",
                fresh,
                len(own),
            )
        self.load_state_dict({**own, **theirs})

    def features(self, planes: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
        """Compute the input of `match` from planes (B, 4, h, w); by default a grey picture (B, 1, h, w)."""
        return gray_features(planes, shot_gain, read_variance)

    def match(self, reference: Tensor, frame: Tensor, initial: Tensor) -> BlockField:
        """Find the position of each cell of the reference in the frame.

        Args:
            reference: Output of `features` for the whole reference.
            frame: Output of `features` for the whole frame.
            initial: (B, 2, gy, gx) initial offsets in packed pixels.
        """
        return match_blocks(reference, frame, initial)

    def merge_mosaic(self, tile: BurstTile) -> Tensor:
        """Merge one tile without demosaicking; return packed planes (C, h, w), including the halo.

        Raises:
            NoMosaicError: The model does not compute a mosaic.
        """
        merged = self(tile.aligned()[None], *tile.assumed_noise(), tile.reference)
        if merged.mosaic is None:
            raise NoMosaicError(
                f"model {self.info.name} returns no mosaic; use --model average or --model kpn"
            )
        return merged.mosaic[0]

    def merge_tile(self, tile: BurstTile) -> Tensor:
        """Merge one tile; return (3, 2h, 2w) for the whole tile, including the halo."""
        merged = self(tile.aligned()[None], *tile.assumed_noise(), tile.reference)
        return merged.rgb[0]

    def merge_tile_with_usage(self, tile: BurstTile) -> tuple[Tensor, Tensor | None]:
        """Merge one tile, and count the frames that contribute to each cell.

        Returns:
            The picture as from `merge_tile`, and the effective number of frames in each cell of the tile,
            (gy, gx), or None if the model does not count them.
        """
        return self.merge_tile(tile), None


def noise_variance(frames: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
    """Return the noise variance of each pixel from the noisy signal. Negative values count as 0."""
    return torch.clamp(frames, min=0) * shot_gain + read_variance
