"""Finds pixels that the sensor and not the scene makes bright or dark, by comparing the frames of a burst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import pack, unpack
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import Frame, GlobalMotion, NoiseProfile

_STRIP = 256  # packed rows examined at once
_MARGIN = 2  # packed rows around them that are looked at
_EVERY_FRAME = 4.0  # standard deviations by which the pixel stands out in each frame
_FEW_FRAMES = 10.0  # the same for one or two frames, where motion does not tell it from real detail
_TEXTURE = 0.5  # of the difference between its neighbours: less is what textures do
_ISOLATION = 0.25  # share of the excess that the neighbours of other colours may show at most: light spreads
_STILL_ISOLATION = 0.06  # the same where the camera did not move: even the sharpest star spreads more
_SPILL_ERRORS = 2.0  # standard errors of the spilled light
_SPILL_NOISE = 0.61  # standard deviation of four differences between a pixel and the mean of two, averaged
_STILL_RADIUS = 3.0  # sensor pixels: a light that moves less stays beside the same pixel
_RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_SMALLEST = 0.02  # normalised excess below which a repair is not worth the risk


def find_hot_pixels(
    frames: Sequence[Frame], noise: NoiseProfile, motions: Sequence[GlobalMotion]
) -> NDArray[np.int32]:
    """Pixels that stand out from their neighbourhood at the same sensor place in every frame.

    A pixel counts when in each frame it lies above (or below) all eight neighbours of its colour by more
    than noise allows, and when its neighbours of the other colours show nothing of it: even the smallest
    star is spread over several pixels by the lens. While the camera moves no detail of the scene stays on
    one pixel. Where it stands still for most frames (a tripod), or there are less than three, the neighbours
    must be entirely unlit. At the border the neighbours that there are decide.

    Args:
        frames: Of one camera and size, at least one; with less than three only extreme pixels are found.
        noise: Of the frames.
        motions: Of each frame against any one of them.

    Returns:
        int32 (count, 2), rows and columns in the visible area, in reading order.
    """
    if frames[0].layout.channels > 1:
        return np.empty((0, 2), np.int32)  # demosaicing has spread the defects over their neighbours
    sources = [FrameSource(frame) for frame in frames]
    still = len(frames) < 3 or _stands_still(motions)
    found: list[NDArray[np.int64]] = []
    height, above = sources[0].height, sources[0].padding.top
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        rows = _stuck(sources, noise, still, max(top - _MARGIN, 0), min(bottom + _MARGIN, height))
        packed_rows = (rows[:, 0] + above) // 2
        found.append(rows[(packed_rows >= top) & (packed_rows < bottom)])
    return np.concatenate(found).astype(np.int32)


def _stands_still(motions: Sequence[GlobalMotion]) -> bool:
    """Whether most frames lie within a few pixels of one of them."""
    shifts = torch.tensor([(motion.dy, motion.dx) for motion in motions], dtype=torch.float64)
    near = torch.cdist(shifts, shifts) <= _STILL_RADIUS
    return int(near.sum(1).max()) * 2 > len(motions)


def _stuck(
    sources: Sequence[FrameSource], noise: NoiseProfile, still: bool, first: int, last: int
) -> NDArray[np.int64]:
    """Hot and dead pixels of the packed rows first..last, in picture coordinates."""
    region = Region(first, 0, last, sources[0].width)
    packed = torch.stack([source.read(region) for source in sources])  # N, 4, h, w
    mean = packed.mean(0)
    # What padding added repeats pixels, which would hide them from themselves.
    known = torch.where(_inside(sources[0], region), mean, torch.nan)
    limit = _EVERY_FRAME if len(sources) >= 3 else _FEW_FRAMES
    gain = packed.new_tensor(noise.shot_gain)[:, None, None]
    read = packed.new_tensor(noise.read_variance)[:, None, None]
    out = []
    for sign in (1.0, -1.0):
        around = _neighbours_max(sign * known)
        level = torch.clamp(sign * around, min=0)
        std = torch.sqrt(gain * level + read)
        excess = sign * mean - around
        stands_out = (excess > limit * std / len(sources) ** 0.5) & (excess > _SMALLEST)
        plane, y, x = torch.nonzero(stands_out, as_tuple=True)
        if not len(plane):
            continue
        every = sign * packed[:, plane, y, x] - around[plane, y, x]
        steady = (every > limit * std[plane, y, x]).all(0)
        steady &= excess[plane, y, x] > _TEXTURE * _spread(known, plane, y, x)
        spill = _spill(unpack(known), plane, y, x, sign)
        if still:
            # What the noise may have taken from the light of a star is given back.
            spill = spill + _SPILL_ERRORS * _SPILL_NOISE * std[plane, y, x] / len(sources) ** 0.5
        isolation = _STILL_ISOLATION if still else _ISOLATION
        steady &= spill < isolation * excess[plane, y, x]
        rows = 2 * y + plane // 2
        cols = 2 * x + plane % 2
        out.append(torch.stack([rows, cols], 1)[steady])
    if not out:
        return np.empty((0, 2), np.int64)
    padding = sources[0].padding
    places = torch.cat(out).numpy() + np.array([2 * first - padding.top, -padding.left])
    return np.unique(places, axis=0)


def _inside(source: FrameSource, region: Region) -> Tensor:
    """(4, h, w) bool: False where padding has added pixels to a region."""
    padding = source.padding
    mask = torch.ones(2 * source.height, 2 * source.width, dtype=torch.bool)
    mask[: padding.top], mask[:, : padding.left] = False, False
    mask[2 * source.height - padding.bottom :], mask[:, 2 * source.width - padding.right :] = False, False
    return pack(mask[2 * region.top : 2 * region.bottom, 2 * region.left : 2 * region.right])


def _neighbours_max(planes: Tensor) -> Tensor:
    """Largest of the eight neighbours in each plane, of those that are known (not NaN); NaN stays NaN."""
    padded = F.pad(planes.nan_to_num(-torch.inf), (1, 1, 1, 1), value=-torch.inf)
    row = torch.maximum(padded[..., :-2], padded[..., 2:])
    whole = torch.maximum(row, padded[..., 1:-1])
    out = torch.maximum(torch.maximum(whole[..., :-2, :], whole[..., 2:, :]), row[..., 1:-1, :])
    return torch.where(planes.isnan(), torch.nan, out)


def _spread(planes: Tensor, plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """How much the known ones of the eight neighbours in the plane differ among themselves."""
    padded = F.pad(planes, (1, 1, 1, 1), value=torch.nan)
    ring = torch.stack([padded[plane, y + 1 + dy, x + 1 + dx] for dy, dx in _RING])
    return ring.nan_to_num(-torch.inf).amax(0) - ring.nan_to_num(torch.inf).amin(0)


def _spill(mosaic: Tensor, plane: Tensor, y: Tensor, x: Tensor, sign: float) -> Tensor:
    """How far the sensor neighbours (of other colours) rise above their own surroundings on average.

    They are the four nearest; at the border those that are known.
    """
    mosaic = F.pad(mosaic, (2, 2, 2, 2), value=torch.nan)
    rows, cols = 2 * y + plane // 2 + 2, 2 * x + plane % 2 + 2
    rises = []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = mosaic[rows + dy, cols + dx]
        # The next pixel of that colour further out on either side of it, along the other axis.
        far = torch.stack(
            [mosaic[rows + dy + 2 * side * dx, cols + dx + 2 * side * dy] for side in (-1, 1)]
        ).nanmean(0)
        rises.append(sign * (beside - far))
    return torch.stack(rises).nanmean(0)
