"""Frames of simulated bursts as networks get them: block-matched to the reference, now and then at a border.

A patch cut from the middle of a picture never shows what the engine does at a picture's edge: what a frame
does not cover is taken from the reference, and beyond the edge the reference is mirrored. `Border` does both
to a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burstfix.align.gather import gather_cells
from burstfix.models.base import BurstModel
from burstfix.raw.cfa import reflect
from burstfix.sim import SimulatedBurst
from burstfix.training.recipe import SMALLEST_AT_BORDER, TrainSettings

NARROWEST, WIDEST = 2, SMALLEST_AT_BORDER // 2  # packed pixels beyond the picture; the engine mirrors 16


@dataclass(frozen=True, slots=True)
class Border:
    """An edge of the picture that runs through the patch; all frames end there.

    Attributes:
        axis: -2 if it lies at the top or bottom, -1 if left or right.
        first, last: Packed rows (columns) of the patch, margin included, that lie in the picture.
    """

    axis: int
    first: int
    last: int

    def mirror(self, x: Tensor, scale: int = 1) -> Tensor:
        """(..., h * scale, w * scale): whole cells of the patch, reflected at the edge like the engine's."""
        size = x.shape[self.axis] // scale
        cells = reflect(torch.arange(size, device=x.device) - self.first, self.last - self.first + 1)
        rows = (cells + self.first)[:, None] * scale + torch.arange(scale, device=x.device)
        return x.index_select(self.axis, rows.flatten())

    def covers(self, offsets: Tensor, cell: int, size: int) -> Tensor:
        """Bool (B, 1, h, w): which pixels of a frame moved by (B, 2, gy, gx) offsets lie in its picture."""
        moved = offsets[:, 2 + self.axis, None].repeat_interleave(cell, -2).repeat_interleave(cell, -1)
        moved = moved[..., :size, :size]
        place = torch.arange(size, device=offsets.device)
        place = moved + (place[:, None] if self.axis == -2 else place)
        return (place >= self.first) & (place <= self.last)


def draw_border(settings: TrainSettings, step: int) -> Border | None:
    """Whether, and where, the patches of this step lie at a border; the same for all processes."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step + 2**40)
    if torch.rand((), generator=generator) >= settings.border:
        return None
    side, axis = torch.randint(0, 2, (2,), generator=generator).tolist()
    beyond = settings.margin + int(torch.randint(NARROWEST, WIDEST + 1, (), generator=generator))
    last = settings.patch + 2 * settings.margin - 1
    return Border(axis - 2, beyond, last) if side else Border(axis - 2, 0, last - beyond)


def with_border(burst: SimulatedBurst, border: Border) -> SimulatedBurst:
    """The burst whose truth is mirrored beyond the border, as its frames are."""
    return replace(burst, clean=border.mirror(burst.clean, scale=2))


def align_frames(
    model: BurstModel, burst: SimulatedBurst, margin: int, border: Border | None = None
) -> Tensor:
    """(B, N, 4, p, p): the frames block-matched to the reference, margin cut off."""
    noisy, reference = burst.noisy, burst.reference
    with torch.no_grad():
        stand_in = noisy[:, reference] if border is None else border.mirror(noisy[:, reference])
        aligned = [stand_in] * noisy.shape[1]
        others = [i for i in range(noisy.shape[1]) if i != reference]
        if others:  # all at once: a GPU would wait for thousands of small kernels to be launched
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
                moved = torch.where(covered, moved, stand_in.repeat_interleave(each, 0))
            for i, frame in zip(others, moved.unflatten(0, (-1, each)).unbind(1), strict=True):
                aligned[i] = frame
        return torch.stack([inner(frame, margin) for frame in aligned], 1)


def inner(x: Tensor, margin: int) -> Tensor:
    """(..., h, w) without `margin` rows and columns on every side."""
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]


def _grid(noisy: Tensor, cell: int = 8) -> tuple[int, int]:
    return -(-noisy.shape[-2] // cell), -(-noisy.shape[-1] // cell)
