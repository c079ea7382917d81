"""Align whole frames to the reference before tiles are cut, so that tiles do not affect the alignment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.align.blocks import CELL
from burstfix.align.global_motion import initial_offsets
from burstfix.models.base import BurstModel
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import GlobalMotion

_STRIP_PIXELS = 1 << 19  # packed pixels for which features are computed at once


def find_fields(
    sources: Sequence[FrameSource],
    motions: Sequence[GlobalMotion],
    reference: int,
    model: BurstModel,
    shot_gain: Tensor,
    read_variance: Tensor,
    found: Callable[[int], None],
) -> list[Tensor]:
    """Find the position of each cell of the reference in every frame.

    Frames are processed outward from the reference. The search starts at the global motion of the frame plus
    the motion of objects that was found in its neighbour, because moving objects usually continue to move.

    Args:
        sources: The frames.
        motions: Motion of each frame relative to the reference.
        reference: Index of the reference.
        model: Model that provides `features` and `match`; its device is used.
        shot_gain: Shot gain (1, 1, 4, 1, 1) on that device.
        read_variance: Read variance, in the same form.
        found: Function that is called with the number of frames aligned so far, including the reference.

    Returns:
        For each frame, int64 offsets (2, gy, gx) in packed pixels on the CPU, for cells of side `CELL`. The
        offsets of the reference are 0.
    """
    height, width = sources[reference].height, sources[reference].width
    target = _features(sources[reference], model, shot_gain, read_variance)
    device = target.device
    still = torch.zeros(1, 2, -(-height // CELL), -(-width // CELL), device=device)
    fields = [torch.empty(0)] * len(sources)
    fields[reference] = still[0].long().cpu()
    done = 1
    found(done)
    for step in (1, -1):
        beyond_global = still
        last = len(sources) if step > 0 else -1
        for i in range(reference + step, last, step):
            guess = initial_offsets(motions[i], height, width, CELL).to(device, torch.float32)
            frame = _features(sources[i], model, shot_gain, read_variance)
            offsets = model.match(target, frame, guess + beyond_global).offsets
            beyond_global = offsets - guess
            fields[i] = offsets[0].cpu()
            done += 1
            found(done)
    return fields


def _features(source: FrameSource, model: BurstModel, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
    """Compute features (1, C, h, w) of the whole picture in strips with the margin that the model needs."""
    margin = model.info.halo
    multiple = model.info.size_multiple
    step = max(multiple, _STRIP_PIXELS // source.width // multiple * multiple)
    strips: list[Tensor] = []
    for top in range(0, source.height, step):
        bottom = min(top + step, source.height)
        first, last = max(0, top - margin), min(bottom + margin, source.height)
        planes = source.read_for_matching(Region(first, 0, last, source.width), shot_gain.device)
        strip = model.features(planes[None], shot_gain, read_variance)
        # Copy, so that the memory of the margin is freed.
        strips.append(strip[..., top - first : bottom - first, :].clone())
    return torch.cat(strips, -2)


def scene_motion(
    fields: Sequence[Tensor], motions: Sequence[GlobalMotion], height: int, width: int
) -> NDArray[np.float32]:
    """Return a map of object motion: the largest displacement relative to global motion in any frame.

    Displacements are medians over 3x3 cells, because single cells of flat areas match by chance.

    Args:
        fields: Block field of each frame, int64 (2, gy, gx) in packed pixels.
        motions: Global motion of each frame.
        height: Rows of the packed picture.
        width: Columns of the packed picture.

    Returns:
        float32 (gy, gx) in sensor pixels.
    """
    largest = torch.zeros(fields[0].shape[-2:])
    for field, motion in zip(fields, motions, strict=True):
        beyond = field.float() - initial_offsets(motion, height, width, CELL)[0]
        padded = F.pad(beyond[None], (1, 1, 1, 1), mode="replicate")
        windows = padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2)
        median = windows.median(-1).values[0]
        # Offsets are whole packed pixels, so up to half a pixel can be rounding.
        largest = torch.maximum(largest, (median.square().sum(0).sqrt() - 0.75).clamp(min=0))
    return (2 * largest).numpy()
