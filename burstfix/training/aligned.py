"""Align simulated bursts as the engine aligns real ones.

Near the border of a picture, the engine fills the areas that a frame does not cover from the reference, which
it mirrors at the border. Patches from the middle of a picture lack this effect, so `Border` simulates it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.gather import gather_cells
from burstfix.models.base import BurstModel
from burstfix.raw.cfa import reflect
from burstfix.sim import SimulatedBurst
from burstfix.training.recipe import SMALLEST_AT_BORDER, TrainSettings

# Width of the mirrored part of a patch in packed pixels; the engine mirrors 16.
NARROWEST, WIDEST = 2, SMALLEST_AT_BORDER // 2


@dataclass(frozen=True, slots=True)
class Border:
    """A border of the picture that crosses the patch. All frames end there.

    Attributes:
        axis: -2 for a border at the top or bottom, -1 for a border at the left or right.
        first, last: First and last packed row (or column) of the patch, including the margin, that lies
            inside the picture.
    """

    axis: int
    first: int
    last: int

    def mirror(self, x: Tensor, scale: int = 1) -> Tensor:
        """Mirror (..., h * scale, w * scale) at the border, in whole packed pixels as the engine does."""
        size = x.shape[self.axis] // scale
        cells = reflect(torch.arange(size, device=x.device) - self.first, self.last - self.first + 1)
        rows = (cells + self.first)[:, None] * scale + torch.arange(scale, device=x.device)
        return x.index_select(self.axis, rows.flatten())

    def covers(self, offsets: Tensor, cell: int, size: int) -> Tensor:
        """Return a mask of the pixels of an aligned frame inside its picture, bool (B, 1, size, size).

        Args:
            offsets: (B, 2, gy, gx) in packed pixels.
            cell: Side of a cell of `offsets`.
            size: Side of the patch, including the margin.
        """
        moved = offsets[:, 2 + self.axis, None].repeat_interleave(cell, -2).repeat_interleave(cell, -1)
        moved = moved[..., :size, :size]
        index = torch.arange(size, device=offsets.device)
        source = moved + (index[:, None] if self.axis == -2 else index)
        return (source >= self.first) & (source <= self.last)


def draw_border(settings: TrainSettings, step: int) -> Border | None:
    """Choose the border of the patches of a step at random, often None.

    All processes get the same border.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step + 2**40)
    if torch.rand((), generator=generator) >= settings.border:
        return None
    side, axis = torch.randint(0, 2, (2,), generator=generator).tolist()
    beyond = settings.margin + int(torch.randint(NARROWEST, WIDEST + 1, (), generator=generator))
    last = settings.patch + 2 * settings.margin - 1
    return Border(axis - 2, beyond, last) if side else Border(axis - 2, 0, last - beyond)


def with_border(burst: SimulatedBurst, border: Border) -> SimulatedBurst:
    """Mirror the truth of a burst at the border, as `align_frames` mirrors the frames."""
    return replace(burst, clean=border.mirror(burst.clean, scale=2))


def align_frames(
    model: BurstModel, burst: SimulatedBurst, margin: int, border: Border | None = None
) -> Tensor:
    """Align the frames to the reference by block matching and cut off the margin.

    Args:
        model: Model that matches the blocks.
        burst: Frames of p + 2 * margin packed pixels.
        margin: Width of the margin in packed pixels.
        border: Border of the picture if it crosses the patch, otherwise None.

    Returns:
        (B, N, 4, p, p).
    """
    noisy, reference = burst.noisy, burst.reference
    with torch.no_grad():
        fallback = noisy[:, reference] if border is None else border.mirror(noisy[:, reference])
        aligned = [fallback] * noisy.shape[1]
        others = [i for i in range(noisy.shape[1]) if i != reference]
        if others:  # all frames at once, because many small kernels would leave a GPU idle
            each = len(others)
            frames = torch.cat([noisy[:, :reference], noisy[:, reference + 1 :]], 1).flatten(0, 1)
            noise = [x[:, 0].repeat_interleave(each, 0) for x in (burst.shot_gain, burst.read_variance)]
            own = (burst.shot_gain[:, 0], burst.read_variance[:, 0])
            anchor = model.features(noisy[:, reference], *own).repeat_interleave(each, 0)
            initial = torch.zeros((len(frames), 2, *_grid(noisy)), device=noisy.device)
            field = model.match(anchor, model.features(frames, *noise), initial)
            moved = gather_cells(frames, field.offsets, field.cell)
            if border is not None:
                covered = border.covers(field.offsets, field.cell, noisy.shape[-1])
                moved = torch.where(covered, moved, fallback.repeat_interleave(each, 0))
            for i, frame in zip(others, moved.unflatten(0, (-1, each)).unbind(1), strict=True):
                aligned[i] = frame
        return torch.stack([inner(frame, margin) for frame in aligned], 1)


def inner(x: Tensor, margin: int) -> Tensor:
    """Cut `margin` rows and columns off every side of (..., h, w)."""
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]


def _grid(noisy: Tensor) -> tuple[int, int]:
    return -(-noisy.shape[-2] // CELL), -(-noisy.shape[-1] // CELL)
