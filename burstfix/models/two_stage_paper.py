"""The two-stage network: block matching, deformable alignment, recurrent fusion, and a U-Net.

Source: Guo et al., "A Differentiable Two-stage Alignment Scheme for Burst Image Reconstruction with Large
Shift" (CVPR 2022), with the authors' published settings. There are four differences:

- The noise map of each frame is the standard deviation sqrt(shot_gain * x + read_variance), in training and
  in merging. The authors use shot * x + read in training and its square root in testing, where `read` is a
  standard deviation. For imported weights, `noise_map="linear"` selects the form of their training.
- Channel attention averages over fixed windows instead of the patch, and offsets are limited, so that the
  result does not depend on tiles.
- Any number of frames is possible, and any frame may be the reference. The other frames are distributed to
  both of its sides.
- The U-Net predicts an addition to a base picture, which is also one of its inputs. The base is a bilinearly
  demosaicked robust average, or the picture of predicted kernels. As in the paper, there is no base picture
  with `base="none"`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.align.blocks import CELL, BlockField
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, Merged, ModelInfo, noise_variance
from burstfix.models.block_matching import CoarseFeatures, SoftAlignment, align_soft, match_patches
from burstfix.models.deformable import PyramidAlign
from burstfix.models.kpn import BYTES_PER_PIXEL, BYTES_PER_PIXEL_FIXED, Kpn, KpnConfig
from burstfix.models.layers import AttentionBlock, ConvGru, ConvStack, channels_last, conv3, init_conv
from burstfix.models.losses import (
    Losses,
    TrainingBatch,
    interpolation_loss,
    kernel_losses,
    picture_losses,
)
from burstfix.models.two_stage_paper_config import TwoStagePaperConfig
from burstfix.raw.demosaic import bilinear

# A frame has half weight if the square of (difference / noise)^2 - 1 has this value.
_OUTLIER = 4.0


class TwoStagePaper(BurstModel):
    """Block matching, deformable alignment, recurrent fusion, U-Net; see the docstring of the module."""

    catalogue_name = "two-stage-paper"
    config_class = TwoStagePaperConfig
    lr_scale = {"coarse": 0.1}
    config: TwoStagePaperConfig

    def __init__(self, config: TwoStagePaperConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TwoStagePaperConfig()
        self.info = _info(self.catalogue_name, config)
        c = config.channels
        self.coarse = CoarseFeatures() if config.coarse == "dpbm" else None
        self.learns_alignment = self.coarse is not None
        self.extract = ConvStack(config.feature_convs, 8 * config.stride**2, c, c)
        cell = config.cell(config.stride)
        self.extract_blocks = nn.Sequential(*[AttentionBlock(c, cell) for _ in range(config.feature_blocks)])
        self.align = PyramidAlign(c, config.groups, config.max_offset)
        self.gru = ConvGru(c)
        self.fuse = nn.Conv2d(2 * c, c, 1)
        init_conv(self.fuse)
        self.unet = UNet(config)
        self.kernels = None
        if config.base == "kernels":
            self.kernels = Kpn(KpnConfig(refine_channels=config.refine_channels))
            # Before training, the U-Net adds zero.
            nn.init.zeros_(self.unet.head.convs[-1].weight)  # type: ignore[arg-type]

    def features(self, planes: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
        """Return the features that `match` compares; see `BurstModel.features`.

        For "dpbm", these are the planes themselves: its features are normalised over the whole picture, so
        only `match` can compute them.
        """
        return planes.float() if self.coarse else super().features(planes, shot_gain, read_variance)

    @torch.no_grad()
    def match(self, reference: Tensor, frame: Tensor, initial: Tensor) -> BlockField:
        """See `BurstModel.match`. All cells of a patch get the same offset."""
        if self.coarse is None:
            return super().match(reference, frame, initial)
        config = self.config
        offsets = match_patches(
            self.coarse(reference),
            self.coarse(frame),
            initial,
            patch=config.patch,
            search=config.search,
            initial_cell=CELL,
        )
        rows, cols = (
            torch.arange(size, device=offsets.device) * CELL // config.patch for size in initial.shape[-2:]
        )
        return BlockField(offsets[:, :, rows[:, None], cols], CELL)

    def align_soft(
        self,
        frames: Tensor,
        reference: int,
        *,
        margin: int,
        temperature: float,
        clean: Tensor | None = None,
    ) -> SoftAlignment:
        """Align frames differentiably, for training; see `block_matching.align_soft`.

        Raises:
            UsageError: The model has no learned block matching.
        """
        if self.coarse is None:
            raise UsageError('coarse="blocks" is not differentiable; use coarse="dpbm"')
        return align_soft(
            self.coarse,
            frames,
            reference,
            margin=margin,
            search=self.config.search,
            temperature=temperature,
            clean=clean,
        )

    def train_forward(
        self,
        frames: Tensor,
        shot_gain: Tensor,
        read_variance: Tensor,
        reference: int,
        *,
        margin: int,
        temperature: float,
        clean: Tensor | None = None,
    ) -> Merged:
        """Run both stages so that the result is differentiable from end to end.

        Args:
            frames: (B, N, 4, p + 2 * margin, p + 2 * margin), not aligned.
            shot_gain: Gain of the shot noise, as in `forward`.
            read_variance: Variance of the read noise, as in `forward`.
            reference: Index of the reference.
            margin: Width of the margin around the patch in packed pixels, a multiple of 4.
            temperature: Temperature of block matching.
            clean: Frames without noise, for the supervision of block matching.

        Returns:
            Result of `forward` for the inner patch. `extra` also contains the scalars "one_hot" and
            "supervision".
        """
        soft = self.align_soft(frames, reference, margin=margin, temperature=temperature, clean=clean)
        merged = self(soft.frames, shot_gain, read_variance, reference)
        merged.extra["one_hot"] = soft.one_hot
        merged.extra["supervision"] = soft.supervision
        return merged

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """Merge aligned frames; see `BurstModel.forward`. h and w are multiples of `info.size_multiple`.

        In training mode, with more than one frame, `extra["interpolation"]` is a second picture like `rgb`,
        decoded from all frames except the reference (from the recurrent states before it). With
        `base="kernels"`, the result has the mosaic and the `extra` of `Kpn.forward` instead.
        """
        batch, n, _, h, w = frames.shape
        if h % self.info.size_multiple or w % self.info.size_multiple:
            raise ValueError(f"packed size {h}x{w} is not a multiple of {self.info.size_multiple}")
        frames = frames.float()
        features = self.extract_features(frames, shot_gain, read_variance)
        before, after = self._fuse(self._align(features, batch, n, reference), n, reference)
        if self.kernels is not None:
            merged = self.kernels(frames, shot_gain, read_variance, reference)
            merged.rgb = merged.rgb + self.unet(after, merged.rgb)
            return merged
        base = self._base(frames, shot_gain, read_variance, reference, with_reference=True)
        if not (self.training and n > 1):
            return Merged(rgb=_add(self.unet(after, base), base))
        others = self._base(frames, shot_gain, read_variance, reference, with_reference=False)
        bases = None if base is None or others is None else torch.cat([base, others])
        both = _add(self.unet(torch.cat([after, before]), bases), bases)
        return Merged(rgb=both[:batch], extra={"interpolation": both[batch:]})

    def losses(self, batch: TrainingBatch) -> Losses:
        """See `BurstModel.losses`.

        As in the paper, learned block matching is supervised by the clean frames for the first third of the
        training, with a softmax of temperature 1e-2. Afterwards, the temperature is 1e-3.
        """
        if self.learns_alignment:
            early = batch.progress < 1 / 3
            merged = self.train_forward(
                batch.frames,
                batch.shot_gain,
                batch.read_variance,
                batch.reference,
                margin=batch.margin,
                temperature=1e-2 if early else 1e-3,
                clean=batch.clean_frames if early else None,
            )
        else:
            merged = self(batch.frames, batch.shot_gain, batch.read_variance, batch.reference)
        losses = picture_losses(merged.rgb, batch)
        if "interpolation" in merged.extra:
            losses |= interpolation_loss(merged.extra["interpolation"], batch)
        if merged.mosaic is not None and merged.mosaic.requires_grad:
            losses |= kernel_losses(merged, batch)
        if self.learns_alignment:
            matching = merged.extra["one_hot"] + merged.extra["supervision"]
            losses["matching"] = batch.settings.matching * matching
        return losses

    def start_from(self, other: BurstModel) -> None:
        """See `BurstModel.start_from`. A kernel prediction network is also accepted; it becomes the base."""
        if isinstance(other, Kpn) and self.kernels is not None:
            self.kernels.start_from(other)
        else:
            super().start_from(other)

    def extract_features(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
        """Extract features (B * N, C, h / stride, w / stride) of the frames (B, N, 4, h, w)."""
        if self.config.noise_map == "std":
            noise = noise_variance(frames, shot_gain, read_variance).sqrt()
        else:
            noise = frames.clamp(min=0) * shot_gain + read_variance.sqrt()
        x = torch.cat([frames, noise], 2).flatten(0, 1)  # B * N, 8, h, w
        if self.config.stride > 1:
            x = F.pixel_unshuffle(x, self.config.stride)
        return self.extract_blocks(self.extract(channels_last(x)))

    def _align(self, features: Tensor, batch: int, n: int, reference: int) -> Tensor:
        """Align the features of all frames (B * N, ...) to those of the reference."""
        levels = self.align.pyramid(features)
        split = [level.unflatten(0, (batch, n)) for level in levels]
        if torch.is_grad_enabled():
            targets = [level[:, reference : reference + 1].expand_as(level).flatten(0, 1) for level in split]
            return self.align(levels, targets)
        target = [channels_last(level[:, reference]) for level in split]
        # Process frame by frame, because the samples of deformable convolutions take the most memory.
        aligned = [self.align([channels_last(level[:, i]) for level in split], target) for i in range(n)]
        return torch.stack(aligned, 1).flatten(0, 1)

    def _fuse(self, aligned: Tensor, n: int, reference: int) -> tuple[Tensor, Tensor]:
        """Fuse (B * N, C, h, w) to features without and with the reference, each (B, C, h, w)."""
        parts = self.gru.frame_part(aligned).unflatten(0, (-1, n)).unbind(1)
        order = frame_order(n, reference)
        middle = order.index(reference)
        forward = self.gru.run([parts[i] for i in order[: middle + 1]])
        backward = self.gru.run([parts[i] for i in reversed(order[middle:])])
        before, after = (self.fuse(torch.cat(pair, 1)) for pair in zip(forward, backward, strict=True))
        return before, after

    def _base(
        self,
        frames: Tensor,
        shot_gain: Tensor,
        read_variance: Tensor,
        reference: int,
        *,
        with_reference: bool,
    ) -> Tensor | None:
        if self.config.base == "none":
            return None
        if self.config.base == "reference" and with_reference:
            return bilinear(frames[:, reference])
        n = frames.shape[1]
        variance = noise_variance(frames.mean(1, keepdim=True), shot_gain, read_variance)  # B, 1, 4, h, w
        squared = (frames - frames[:, reference : reference + 1]) ** 2 / (2 * variance)
        # Without motion, the mean over planes and 5x5 pixels is 1.
        excess = F.avg_pool2d(squared.mean(2), 5, 1, 2, count_include_pad=False)[:, :, None]
        weight = 1 / (1 + (excess - 1).clamp(min=0) ** 2 / _OUTLIER)
        if not with_reference:
            keep = torch.arange(n, device=frames.device) != reference
            weight = weight * keep[:, None, None, None]
        return bilinear((weight * frames).sum(1) / weight.sum(1).clamp(min=1e-6))


def _add(x: Tensor, base: Tensor | None) -> Tensor:
    return x if base is None else x + base


class UNet(nn.Module):
    """Reconstruction of linear RGB at sensor size from fused features and the base picture."""

    def __init__(self, config: TwoStagePaperConfig) -> None:
        super().__init__()
        c1, c2, c3 = config.unet
        self.shuffle = config.unet_scale
        zoom = 2 * config.stride // config.unet_scale
        if zoom > 1:
            self.enlarge = nn.ConvTranspose2d(config.channels, c1, zoom, zoom)
        else:
            self.enlarge = nn.Conv2d(config.channels, c1, 1)
        # With the base picture as an input, the network can see the errors that it has to correct.
        self.look = conv3(3 * config.unet_scale**2, c1, gain=0.3) if config.base != "none" else None
        self.up2 = nn.ConvTranspose2d(c3, c2, 2, 2)
        self.up1 = nn.ConvTranspose2d(c2, c1, 2, 2)
        for conv in (self.enlarge, self.up2, self.up1):
            init_conv(conv)
        # Side of a pixel of each level in packed pixels.
        scales = [config.unet_scale / 2 * factor for factor in (1, 2, 4)]

        def level(depth: int, c_in: int, c: int, scale: float) -> nn.Sequential:
            stack = ConvStack(depth, c_in, c, c)
            return (
                nn.Sequential(stack, AttentionBlock(c, config.cell(scale)))
                if config.unet_blocks
                else (nn.Sequential(stack))
            )

        self.level1 = level(2, c1, c1, scales[0])
        self.down1 = conv3(c1, c2, stride=2)
        self.level2 = level(2, c2, c2, scales[1])
        self.down2 = conv3(c2, c3, stride=2)
        self.level3 = level(2, c3, c3, scales[2])
        self.bottom = ConvStack(2, c3, c3, c3)
        self.join2 = level(2, 2 * c2, c2, scales[1])
        self.head = ConvStack(3, 2 * c1, c1, 3 * config.unet_scale**2, gain=0.1)

    def forward(self, x: Tensor, picture: Tensor | None) -> Tensor:
        """Decode features (B, C, h / stride, w / stride) with the base picture (B, 3, 2h, 2w).

        Returns:
            float32 (B, 3, 2h, 2w), to be added to the base picture.
        """
        x = self.enlarge(x)
        if self.look is not None:
            assert picture is not None
            x = x + self.look(channels_last(F.pixel_unshuffle(picture, self.shuffle)))
        level1 = self.level1(x)
        level2 = self.level2(self.down1(level1))
        x = self.up2(self.bottom(self.level3(self.down2(level2))))
        x = self.up1(self.join2(torch.cat([x, level2], 1)))
        x = self.head(torch.cat([x, level1], 1)).float()
        return F.pixel_shuffle(x, self.shuffle) if self.shuffle > 1 else x


def frame_order(count: int, reference: int) -> list[int]:
    """Return the order of the frames for the recurrent fusion, with the reference at count // 2.

    If the reference is the middle frame, this is the time order. Otherwise, the surplus frames of the longer
    side are moved to the far end of the other side.
    """
    room = {"before": count // 2, "after": count - 1 - count // 2}
    sides: dict[str, list[int]] = {"before": [], "after": []}
    for i in sorted(range(count), key=lambda i: (abs(i - reference), i)):
        if i == reference:
            continue
        own, other = ("before", "after") if i < reference else ("after", "before")
        side = own if len(sides[own]) < room[own] else other
        sides[side].append(i)
    return [*reversed(sides["before"]), reference, *sides["after"]]


def _info(name: str, config: TwoStagePaperConfig) -> ModelInfo:
    # The receptive field is larger than these halos, but its weight decreases with distance. Tiles and the
    # whole picture agree to 1e-5 and 5e-5 (scenes at high noise, offsets up to their limit).
    c, area = config.channels, config.stride**2
    kernels = config.base == "kernels"
    return ModelInfo(
        name,
        size_multiple=config.size_multiple,
        halo=64 if config.stride == 1 else 96,
        bytes_per_pixel=4 * (8 * c / area + 12) + kernels * BYTES_PER_PIXEL,
        bytes_per_pixel_fixed=4 * (24 * c / area + 6 * config.unet[0] * 4 / config.unet_scale**2 + 40)
        + kernels * BYTES_PER_PIXEL_FIXED,
    )
