"""Coarse alignment of the two-stage network: progressive block matching on learned features.

A small network reduces every frame to 16 feature planes at a quarter of the packed size. A patch of the
reference is compared with candidates in the frame: first every second position of a window, then every
position within 2 pixels of the best one. For a merge, the best candidate is used. In training, the candidates
are weighted by a softmax of their scores, so that gradients reach the features (Guo et al., CVPR 2022,
section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burstfix.align.gather import gather_cells
from burstfix.models.layers import act, channels_last, init_conv

SCALE = 4
"""Side of a feature pixel in packed pixels."""
_CHANNELS = 16
_COARSE_STRIDE = 2
_FINE_RADIUS = 2
_MIN_SEEN = 0.25  # the part of a candidate outside the picture is ignored if at least this share is inside


class CoarseFeatures(nn.Module):
    """Network from 4 packed planes to 16 features of zero mean and unit variance at a quarter of the size.

    Mean and variance are computed over the whole input, so the input must be a whole picture, not a tile. The
    last convolution has no bias, because the normalisation would remove it.
    """

    def __init__(self) -> None:
        super().__init__()
        c = _CHANNELS
        self.down1 = nn.Conv2d(4, c, 3, 2, 1, bias=False)
        self.conv1 = nn.Conv2d(c, c, 3, 1, 1)
        self.down2 = nn.Conv2d(c, c, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(c, c, 3, 1, 1)
        self.conv3 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        for conv in (self.down1, self.conv1, self.down2, self.conv2, self.conv3):
            init_conv(conv)

    def forward(self, planes: Tensor) -> Tensor:
        """Map (B, 4, h, w) normalised packed mosaics to float32 (B, 16, ceil(h / 4), ceil(w / 4))."""
        # Use float32 even under autocast, because the offsets depend on small differences.
        with torch.autocast(planes.device.type, enabled=False):
            x = channels_last(planes.float())
            x = act(self.conv1(self.down1(x)))
            x = act(self.conv2(self.down2(x)))
            return F.instance_norm(self.conv3(x))


@dataclass(frozen=True, slots=True)
class SoftAlignment:
    """Result of differentiable block matching.

    Attributes:
        frames: (B, N, 4, p, p) aligned frames; the reference is unchanged.
        offsets: int64 (B, N, 2) offset of the best candidate, in packed pixels.
        one_hot: Scalar loss, 1 - mean sum of squared weights; 0 if one candidate has the whole weight. In the
            paper, another term makes the sum of the weights one, which the softmax already ensures.
        supervision: Scalar loss, distance between the scores and the scores of clean frames; 0 without clean
            frames.
    """

    frames: Tensor
    offsets: Tensor
    one_hot: Tensor
    supervision: Tensor


def match_patches(
    reference: Tensor, frame: Tensor, initial: Tensor, *, patch: int, search: int, initial_cell: int
) -> Tensor:
    """Find the offset of each patch of the reference in a frame, without gradients.

    Args:
        reference: (B, C, h / 4, w / 4) from `CoarseFeatures` of the whole picture.
        frame: Features of the frame, of the same shape.
        initial: (B, 2, gy, gx) initial offsets in packed pixels, for cells of side `initial_cell`.
        patch: Side of a patch in packed pixels, a multiple of 4.
        search: Search radius around the initial offsets, in packed pixels.
        initial_cell: Side of a cell of `initial`, in packed pixels.

    Returns:
        int64 (B, 2, ny, nx) in packed pixels, one offset per patch. The neighbouring scores are used to
        refine the best position to fractions of a feature pixel.
    """
    side = patch // SCALE
    height, width = reference.shape[-2:]
    ny, nx = -(-height // side), -(-width // side)
    middle_y = _middle_cells(ny, patch, initial_cell, initial.shape[-2])
    middle_x = _middle_cells(nx, patch, initial_cell, initial.shape[-1])
    start = initial.float()[:, :, middle_y[:, None], middle_x]
    start = torch.round(start / SCALE).long().to(reference.device)
    start = _clamped(start, side, height, width)

    cells = gather_cells(reference, torch.zeros_like(start), side)
    # Patches at the border are compared only inside the picture.
    inside = F.pad(torch.ones_like(reference[:1, :1]), (0, nx * side - width, 0, ny * side - height))

    matcher = _Matcher(cells, inside, frame, side)
    best = start + matcher.best(start, search // SCALE, _COARSE_STRIDE).steps
    fine = matcher.best(best, _FINE_RADIUS, 1)
    between = _between_pixels(fine.scores, _FINE_RADIUS)
    return SCALE * (best + fine.steps) + torch.round(SCALE * between).long()


def align_soft(
    features: CoarseFeatures,
    frames: Tensor,
    reference: int,
    *,
    margin: int,
    search: int,
    temperature: float,
    clean: Tensor | None = None,
) -> SoftAlignment:
    """Align one patch of each burst, differentiably.

    Frames are processed outward from the reference. The search in each frame starts at the offset of its
    neighbour.

    Args:
        features: Feature network.
        frames: (B, N, 4, p + 2 * margin, p + 2 * margin) normalised packed mosaics, not aligned.
        reference: Index of the reference; its inner p x p pixels are the patch.
        margin: Width of the margin in packed pixels, a multiple of 4. It is the largest offset that can be
            found.
        search: Search radius in each frame, in packed pixels.
        temperature: Temperature of the softmax over normalised scores (divided by their mean). The paper uses
            1e-2, later 1e-3.
        clean: Frames without noise, for the supervision of the scores.
    """
    batch, count, planes, outer, _ = frames.shape
    side, border = (outer - 2 * margin) // SCALE, margin // SCALE
    deep = features(frames.flatten(0, 1)).unflatten(0, (batch, count))
    truth = None
    if clean is not None:
        pooled = F.avg_pool2d(clean.flatten(0, 1).float(), SCALE)
        truth = pooled.unflatten(0, (batch, count))

    def matcher(maps: Tensor, i: int) -> _Matcher:
        patch = maps[:, reference, :, border : border + side, border : border + side]
        return _Matcher(patch, torch.ones_like(patch[:1, :1]), maps[:, i], side, origin=(border, border))

    aligned = [frames[:, reference]] * count
    offsets = [torch.zeros(batch, 2, dtype=torch.int64, device=frames.device)] * count
    aligned[reference] = _inner(frames[:, reference], margin)
    zero = frames.new_zeros((), dtype=torch.float32)
    one_hot, supervision = [zero], [zero]
    for step in (1, -1):
        start = torch.zeros(batch, 2, 1, 1, dtype=torch.int64, device=frames.device)
        for i in range(reference + step, count if step > 0 else -1, step):
            noisy = matcher(deep, i)
            coarse = noisy.best(start, search // SCALE, _COARSE_STRIDE)
            centre = (start + coarse.steps).clamp(-border, border)
            fine = noisy.best(centre, _FINE_RADIUS, 1)
            weights = torch.softmax(-_relative(fine.scores) / temperature, 1)  # B, K, 1, 1
            aligned[i] = _weighted_patches(frames[:, i], weights[:, :, 0, 0], SCALE * centre, margin)
            one_hot.append(1 - (weights**2).sum(1).mean())
            if truth is not None:
                clean_matcher = matcher(truth, i)
                for found, around, radius, stride in (
                    (coarse, start, search // SCALE, _COARSE_STRIDE),
                    (fine, centre, _FINE_RADIUS, 1),
                ):
                    target = clean_matcher.best(around, radius, stride).scores
                    supervision.append((_relative(found.scores) - _relative(target)).abs().mean())
            start = (centre + fine.steps).clamp(-border, border)
            offsets[i] = SCALE * start[:, :, 0, 0]
    return SoftAlignment(
        frames=torch.stack(aligned, 1),
        offsets=torch.stack(offsets, 1),
        one_hot=torch.stack(one_hot).sum() / max(len(one_hot) - 1, 1),
        supervision=torch.stack(supervision).sum() / max(len(supervision) - 1, 1),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Scores (B, K, gy, gx) of all candidates, and offsets int64 (B, 2, gy, gx) of the best one."""

    scores: Tensor
    steps: Tensor


@dataclass(frozen=True, slots=True)
class _Matcher:
    """Comparison of the cells of a reference with a frame; all lengths are in feature pixels.

    Attributes:
        cells: (B, C, gy * side, gx * side) cells of the reference, edge to edge.
        inside: (1, 1, gy * side, gx * side), 1 inside the reference picture, otherwise 0.
        frame: (B, C, h, w) features of the frame. The part of a candidate outside the picture is ignored,
            unless it covers most of the candidate.
        side: Side of a cell.
        origin: Position of the first cell in the reference's picture.
    """

    cells: Tensor
    inside: Tensor
    frame: Tensor
    side: int
    origin: tuple[int, int] = (0, 0)

    def best(self, centre: Tensor, radius: int, stride: int) -> _Found:
        """Compute the mean absolute difference at candidates around `centre`.

        Args:
            centre: int64 (B, 2, gy, gx) offsets.
            radius: Largest distance of a candidate in each direction.
            stride: Step between candidates. Candidates are numbered row by row and include the centre.
        """
        side = self.side
        radius -= radius % stride
        gy, gx = centre.shape[-2:]
        wide = gather_cells(self.frame, centre, side, radius, origin=self.origin)
        wide = wide.unflatten(-2, (gy, -1)).unflatten(-1, (gx, -1))  # B, C, gy, side + 2r, gx, side + 2r
        cells = self.cells.unflatten(-2, (gy, side)).unflatten(-1, (gx, side))[..., None]
        inside = self.inside.unflatten(-2, (gy, side)).unflatten(-1, (gx, side))[..., None]
        reach = 2 * side + radius  # cells begin at most `side` outside the picture
        known = F.pad(torch.ones_like(self.frame[:1, :1]), (reach,) * 4).expand(len(centre), -1, -1, -1)
        origin = (self.origin[0] + reach, self.origin[1] + reach)
        seen = gather_cells(known, centre, side, radius, origin=origin)
        seen = seen.unflatten(-2, (gy, -1)).unflatten(-1, (gx, -1))
        rows = []
        for dy in range(0, 2 * radius + 1, stride):
            # B, C, gy, side, gx, side, candidates of this row
            row = wide[:, :, :, dy : dy + side].unfold(5, side, stride).transpose(5, 6)
            both = inside * seen[:, :, :, dy : dy + side].unfold(5, side, stride).transpose(5, 6)
            enough = both.sum((1, 3, 5), keepdim=True) >= _MIN_SEEN * inside.sum((1, 3, 5), keepdim=True)
            weight = torch.where(enough, both, inside)
            rows.append(((row - cells).abs() * weight).mean(1).sum((2, 4)) / weight.sum((1, 3, 5)))
        scores = torch.cat(rows, -1).permute(0, 3, 1, 2)  # B, K, gy, gx
        count = 2 * radius // stride + 1
        index = scores.detach().argmin(1)
        step_y = torch.div(index, count, rounding_mode="floor") * stride - radius
        step_x = index % count * stride - radius
        return _Found(scores, torch.stack([step_y, step_x], 1))


def _middle_cells(count: int, patch: int, cell: int, available: int) -> Tensor:
    """Return for each patch the index of the cell of the initial offsets that contains its centre."""
    return ((torch.arange(count) * patch + patch // 2) // cell).clamp(max=available - 1)


def _clamped(start: Tensor, side: int, height: int, width: int) -> Tensor:
    """Limit offsets so that each cell begins at most `side` outside the picture."""
    gy, gx = start.shape[-2:]
    top = torch.arange(gy, device=start.device)[:, None] * side
    left = torch.arange(gx, device=start.device) * side
    y = torch.minimum(torch.maximum(start[:, 0], -top - side), height - top)
    x = torch.minimum(torch.maximum(start[:, 1], -left - side), width - left)
    return torch.stack([y, x], 1)


def _between_pixels(scores: Tensor, radius: int) -> Tensor:
    """Return the sub-pixel position of the minimum, (B, 2, gy, gx) in -0.5..0.5.

    Two lines of opposite slope are fitted to the best score and its neighbours, because a sum of absolute
    differences has the shape of a V at its minimum, not of a parabola. The result is 0 if a neighbour is
    missing.
    """
    count = 2 * radius + 1
    batch, _, gy, gx = scores.shape
    index = scores.argmin(1, keepdim=True)
    parts = []
    for position, step in ((torch.div(index, count, rounding_mode="floor"), count), (index % count, 1)):
        has_both = (position > 0) & (position < count - 1)
        centre = scores.gather(1, index)
        before = scores.gather(1, torch.where(has_both, index - step, index))
        after = scores.gather(1, torch.where(has_both, index + step, index))
        rise = torch.maximum(before, after) - centre
        parts.append(torch.where(rise > 0, (before - after) / (2 * rise).clamp(min=1e-12), rise))
    return torch.cat(parts, 1).clamp(-0.5, 0.5).reshape(batch, 2, gy, gx)


def _relative(scores: Tensor) -> Tensor:
    """Divide scores by their mean over the candidates, so that the temperature is independent of contrast."""
    return scores / scores.mean(1, keepdim=True).clamp(min=1e-12)


def _weighted_patches(frame: Tensor, weights: Tensor, centre: Tensor, margin: int) -> Tensor:
    """Return the sum (B, 4, p, p) of candidates around `centre` (B, 2, 1, 1) with `weights` (B, K)."""
    patch = frame.shape[-1] - 2 * margin
    reach = SCALE * _FINE_RADIUS
    wide = gather_cells(frame, centre, patch, reach, origin=(margin, margin))
    candidates = wide.unfold(2, patch, SCALE).unfold(3, patch, SCALE)  # B, 4, 5, 5, p, p
    count = 2 * _FINE_RADIUS + 1
    with torch.autocast(frame.device.type, enabled=False):
        return torch.einsum("bcyxhw,byx->bchw", candidates, weights.unflatten(1, (count, count)))


def _inner(x: Tensor, margin: int) -> Tensor:
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]
