"""Measure quality on real bursts without ground truth: compare merges with frames that were held out.

Two frames are held out of the merge. The merge of the others is shifted onto each of them with sub-pixel
accuracy and sampled by the CFA. The residual of held-out frame k is e_k = y_k - merge = n_k - error, where
the noise n_k is independent of the merge and of the other frame. Hence, for any noise:

    mean(e_1 * e_2)          = mean(error^2)       the error of the merge
    mean((e_1 - e_2)^2) / 2  = mean(n^2)           the noise of a frame

Both are in units of the noise variance predicted by the noise profile, so the second equation shows the
accuracy of the profile.

The product needs both residuals at the same point of the scene. The residuals of the second frame are
therefore shifted by an even number of pixels, to samples of the same colour. The motion that remains between
the two frames reduces the result, because the error of a merge differs from pixel to pixel. Only pairs with
at most `MAX_REST` of remaining motion are used.

An error that the merge and the held-out frames share, such as lens distortion, is not measured. An error that
only the held-out frames have counts as an error of the merge. Examples are fixed pattern noise, which a merge
averages out if the camera moves, and the bias of clipping at black.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.analysis.burst import prepare_burst
from burstfix.errors import BurstError, InputError
from burstfix.evaluation.methods import Method
from burstfix.pipeline import read_burst
from burstfix.raw.cfa import mosaic
from burstfix.raw.levels import normalise
from burstfix.types import Burst, Frame, GlobalMotion, Progress

MIN_FRAMES = 4
BLOCK = 64  # side of a block in sensor pixels; blocks are assumed to be independent
MARGIN = 16  # width in sensor pixels of the border that is ignored
MAX_REST = 1.0  # largest remaining motion between two held-out frames, in sensor pixels
# Range of signals: in standard deviations above black, and as a share of white.
DARKEST, BRIGHTEST = 3.0, 0.9
EDGES, FLAT = 0.9, 0.5  # quantiles of the local gradient: it is larger at edges and smaller in flat areas
PARTS = ("all", "edges", "middle", "flat")
_ITERATIONS = 4
_OUTLIER = 5.0  # standard deviations; the fit of the shift ignores larger residuals
_MIN_PIXELS = 256  # minimum number of pixels of one part in a block


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames to hold out, and the reference of the merge, as indices into the burst.

    Attributes:
        first, second, reference: Indices.
        rest: Remaining motion in sensor pixels after a shift by an even number of pixels: the largest
            distance, over the corners, between the positions of a scene point in the two frames.
    """

    first: int
    second: int
    reference: int
    rest: float


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """Result of one method on one part of a block for one pair, in units of the noise variance of a frame.

    Attributes:
        method: Label of the method.
        burst: Name of the burst.
        pair: Number of the pair.
        block: Number of the block.
        part: One of `PARTS`.
        error: Mean squared error of the merge.
        noise: Mean squared noise of the held-out frames.
    """

    method: str
    burst: str
    pair: int
    block: int
    part: str
    error: float
    noise: float


def evaluate_held_out(
    methods: Sequence[Method], folders: Sequence[Path], pairs: int = 3, progress: Progress | None = None
) -> list[HeldOutScore]:
    """Measure methods on real bursts.

    Args:
        methods: Rows of the table.
        folders: Folders, each with the raws of one burst.
        pairs: Number of pairs of held-out frames.
        progress: Called with ("evaluate", pairs done, all pairs).

    Raises:
        InputError: A folder does not exist, or a raw cannot be read.
        BurstError: A burst has fewer than four frames, its frames are not Bayer mosaics, or no two frames
            can be compared.
    """
    scores: list[HeldOutScore] = []
    for number, folder in enumerate(folders):
        burst = read_folder(folder, MIN_FRAMES)
        chosen = choose_pairs(burst, pairs)
        if chosen[0].rest > MAX_REST:
            raise BurstError(
                f"{folder}: no two frames can be compared; even after a shift by an even number of pixels, "
                f"they differ by {chosen[0].rest:.1f} pixels or more, expected at most {MAX_REST:g}. Use a "
                "burst with less rotation"
            )
        for k, pair in enumerate(pair for pair in chosen if pair.rest <= MAX_REST):
            if progress:
                progress("evaluate", number * pairs + k, len(folders) * pairs)
            scores += _score_pair(methods, folder.resolve().name, burst, k, pair)
    if progress:
        progress("evaluate", len(folders) * pairs, len(folders) * pairs)
    return scores


def read_folder(folder: Path, least: int) -> Burst:
    """Read the burst in a folder without opcodes.

    Args:
        folder: Folder that contains only the raws of one burst.
        least: Smallest number of frames.

    Raises:
        InputError: The folder does not exist, or a raw cannot be read.
        BurstError: There are too few frames, or they are not Bayer mosaics.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with the raws of a burst")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    burst = read_burst(files, keep_all=True, opcodes="skip")
    if len(burst.frames) < least or not burst.frames[0].layout.is_bayer:
        raise BurstError(f"{folder}: found {len(burst.frames)} frames; expected {least} or more Bayer raws")
    return burst


def choose_pairs(burst: Burst, count: int) -> list[Pair]:
    """Choose the pairs of frames with the smallest `Pair.rest`, and the nearest reference for each pair."""
    height, width = burst.frames[0].mosaic.shape
    indices, motions = range(len(burst.frames)), burst.motions

    def rest(i: int, j: int) -> float:
        one, other = even_shift(motions[i]), even_shift(motions[j], motions[i])
        return _distance(motions[i], motions[j], height, width, (other[0] - one[0], other[1] - one[1]))

    def nearest(i: int, j: int) -> int:
        others = (k for k in indices if k not in (i, j))
        return min(
            others, key=lambda k: sum(_distance(motions[f], motions[k], height, width) for f in (i, j))
        )

    pairs = [Pair(i, j, nearest(i, j), rest(i, j)) for i, j in itertools.combinations(indices, 2)]
    return sorted(pairs, key=lambda pair: pair.rest)[:count]


def even_shift(motion: GlobalMotion, near: GlobalMotion | None = None) -> tuple[int, int]:
    """Return the shift (dy, dx) of a frame in whole pixels, even in both directions.

    Args:
        motion: Motion of the frame.
        near: Motion of another frame. The difference between the two motions is rounded to even numbers and
            added to the even shift of the other frame. This minimises the remaining motion between the two
            frames.
    """
    if near is None:
        return 2 * round(motion.dy / 2), 2 * round(motion.dx / 2)
    dy, dx = even_shift(near)
    return dy + 2 * round((motion.dy - near.dy) / 2), dx + 2 * round((motion.dx - near.dx) / 2)


def _distance(
    a: GlobalMotion, b: GlobalMotion, height: int, width: int, offset: tuple[int, int] = (0, 0)
) -> float:
    """Return the largest displacement from frame a to frame b at the corners, minus an offset, in pixels."""
    corners = [(y, x) for y in (-height / 2, height / 2) for x in (-width / 2, width / 2)]
    moved = [(a.apply(*corner), b.apply(*corner)) for corner in corners]
    return max(math.dist((one[0] + offset[0], one[1] + offset[1]), other) for one, other in moved)


def _score_pair(
    methods: Sequence[Method], name: str, burst: Burst, number: int, pair: Pair
) -> list[HeldOutScore]:
    prepared = prepare_burst(burst.frames, reference=pair.reference, noise=burst.noise, keep_all=True)
    merged_frames = [k for k in range(len(burst.frames)) if k not in (pair.first, pair.second)]
    reduced = replace(
        prepared,
        frames=tuple(prepared.frames[k] for k in merged_frames),
        reference=merged_frames.index(pair.reference),
        motions=tuple(prepared.motions[k] for k in merged_frames),
        sharpness=tuple(prepared.sharpness[k] for k in merged_frames),
    )
    regions = find_regions(prepared)
    motions = prepared.motions
    shifts = even_shift(motions[pair.first]), even_shift(motions[pair.second], motions[pair.first])
    scores = []
    for method in methods:
        picture = torch.from_numpy(method.run(reduced))
        first, second = (
            _in_reference(picture, prepared, k, shift, regions.std)
            for k, shift in zip((pair.first, pair.second), shifts, strict=True)
        )
        products = (first * second).numpy(), ((first - second) ** 2 / 2).numpy()
        for part, mask in regions.parts.items():
            blocks = [block_means(values, mask) for values in products]
            scores += [
                HeldOutScore(method.label, name, number, block, part, error, blocks[1][block])
                for block, error in blocks[0].items()
            ]
    return scores


def _in_reference(picture: Tensor, burst: Burst, index: int, shift: tuple[int, int], std: Tensor) -> Tensor:
    """Compute the residual of a frame, and shift it to the pixels of the reference; NaN outside the frame."""
    height, width = std.shape
    inside_frame = residual(
        picture, burst.frames[index], burst.motions[index], torch.roll(std, shift, (0, 1))
    )
    moved = torch.roll(inside_frame, (-shift[0], -shift[1]), (0, 1))
    rows, cols = (torch.arange(n) + s for n, s in ((height, shift[0]), (width, shift[1])))
    covered = ((rows >= 0) & (rows < height))[:, None] & (cols >= 0) & (cols < width)
    return torch.where(covered, moved, torch.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Regions in which residuals are measured, and the unit of residuals.

    Attributes:
        std: (H, W) standard deviation of a frame's noise.
        parts: Mapping from the name of a part to its mask (H, W).
    """

    std: Tensor
    parts: dict[str, NDArray[np.bool_]]


def find_regions(burst: Burst) -> Regions:
    """Find usable pixels and their noise from the reference frame, independently of any method."""
    metadata = burst.frames[burst.reference].metadata
    signal = normalise(torch.from_numpy(burst.frames[burst.reference].mosaic), metadata.levels)
    height, width = signal.shape
    smooth = torch.empty_like(signal)
    gain, read = torch.empty_like(signal), torch.empty_like(signal)
    gray = torch.zeros((height + 1) // 2, (width + 1) // 2)
    # The planes of a noise profile are in RGGB order.
    red = metadata.cfa.index("R")
    for k in range(4):
        position = k ^ red
        rows, cols = slice(position // 2, None, 2), slice(position % 2, None, 2)
        plane = F.avg_pool2d(signal[None, rows, cols], 5, 1, 2, count_include_pad=False)[0]
        smooth[rows, cols] = plane
        gain[rows, cols], read[rows, cols] = burst.noise.shot_gain[k], burst.noise.read_variance[k]
        gray[: plane.shape[0], : plane.shape[1]] += plane / 4
    std = torch.sqrt(smooth.clamp(min=0) * gain + read)
    usable = (smooth > DARKEST * read.sqrt()) & (smooth < BRIGHTEST)
    usable[:MARGIN], usable[-MARGIN:], usable[:, :MARGIN], usable[:, -MARGIN:] = False, False, False, False
    if len(burst.hot_pixels):
        usable[burst.hot_pixels[:, 0], burst.hot_pixels[:, 1]] = False
    slopes = torch.gradient(gray)
    detail = torch.hypot(slopes[0], slopes[1]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    detail = detail[:height, :width] / std
    known = detail[usable].numpy()
    low, high = np.quantile(known, [FLAT, EDGES]) if known.size else (0.0, 0.0)
    mask, local = usable.numpy(), detail.numpy()
    return Regions(
        std,
        {
            "all": mask,
            "edges": mask & (local >= high),
            "middle": mask & (local >= low) & (local < high),
            "flat": mask & (local < low),
        },
    )


def residual(picture: Tensor, frame: Frame, motion: GlobalMotion, std: Tensor) -> Tensor:
    """Align a merge to a held-out frame, and subtract it from the frame.

    An affine motion and the exposure are fitted by Gauss-Newton steps that start from the known motion.

    Args:
        picture: (3, H, W) linear camera RGB in the geometry of the reference.
        frame: The held-out frame.
        motion: Motion of the frame relative to the reference.
        std: (H, W) standard deviation of the noise of the frame.

    Returns:
        (H, W) residuals in units of `std`; NaN outside the picture.
    """
    cfa = frame.metadata.cfa
    observed = normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)
    height, width = observed.shape
    y = (torch.arange(height) - (height - 1) / 2)[:, None].expand(height, width)
    x = (torch.arange(width) - (width - 1) / 2).expand(height, width)
    cos, sin = math.cos(motion.angle), math.sin(motion.angle)
    # Inverse of `GlobalMotion.apply`: maps pixels of the frame to positions in the reference.
    matrix = torch.tensor([[cos, -sin], [sin, cos]])
    shift = -matrix @ torch.tensor([motion.dy, motion.dx])
    gain = torch.tensor(1.0)
    slopes = torch.stack(torch.gradient(picture, dim=(1, 2)))  # 2, 3, H, W
    half = max(height, width) / 2
    for step in range(_ITERATIONS + 1):
        at_y, at_x = (
            matrix[0, 0] * y + matrix[0, 1] * x + shift[0],
            matrix[1, 0] * y + matrix[1, 1] * x + shift[1],
        )
        inside = (at_y.abs() < height / 2 - 3) & (at_x.abs() < width / 2 - 3)
        predicted = mosaic(_sampled(picture, at_y, at_x, "bicubic"), cfa)
        difference = torch.where(inside, (observed - gain * predicted) / std, torch.zeros(()))
        if step == _ITERATIONS:
            return torch.where(inside, difference, torch.nan)
        slope_y, slope_x = (gain * mosaic(_sampled(slope, at_y, at_x, "bilinear"), cfa) for slope in slopes)
        columns = [predicted]
        columns += [slope * factor for slope in (slope_y, slope_x) for factor in (1.0, y / half, x / half)]
        use = (inside & (difference.abs() < _OUTLIER)).float() / std
        design = torch.stack([(column * use).flatten() for column in columns], 1).double()
        change = torch.linalg.lstsq(
            design.T @ design, design.T @ (difference * use * std).flatten().double()
        ).solution.float()
        gain = gain + change[0]
        shift = shift + change[[1, 4]]
        matrix = matrix + torch.stack([change[2:4], change[5:7]]) / half
    raise AssertionError("unreachable")


def _sampled(picture: Tensor, y: Tensor, x: Tensor, mode: str) -> Tensor:
    """Sample (3, H, W) at positions (H, W), in pixels relative to the centre."""
    height, width = picture.shape[-2:]
    grid = torch.stack([2 * x / width, 2 * y / height], -1)[None]
    return F.grid_sample(picture[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]


def block_means(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[int, float]:
    """Map the number of each block with enough masked pixels to their mean value; NaN is left out."""
    height, width = values.shape
    mask = mask & np.isfinite(values)
    columns = -(-width // BLOCK)
    block = (np.arange(height) // BLOCK)[:, None] * columns + np.arange(width) // BLOCK
    count = np.bincount(block[mask])
    total = np.bincount(block[mask], values[mask])
    return {int(k): float(total[k] / count[k]) for k in np.flatnonzero(count >= _MIN_PIXELS)}
