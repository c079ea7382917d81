"""Block matching: one integer offset for every cell of the picture, estimated from coarse to fine.

The search follows HDR+ (Hasinoff et al. 2016, section 4): at each level of a picture pyramid, a few
candidates come from the coarser level, and a small search around the best candidate follows. HDR+ accepts the
offset of minimum cost. Here, neighbouring cells also vote, because in flat noisy areas the position of the
minimum is random.

A cell of 8x8 packed pixels is compared over a window of 16x16 pixels around its centre:

    +---------------+
    |   +-------+   |
    |   | cell  |   |   window: cell + 4 pixels on each side
    |   +-------+   |
    +---------------+
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.native.matching import can_match, choose, window_costs

CELL = 8
"""Side of a cell in packed pixels; the window that is compared is twice as wide."""

_HUBER_DELTA = 3.0  # standard deviations of noise beyond which differences count linearly, not squared
_SMOOTHNESS = 5.0  # cost per pixel of disagreement with one neighbour, for a window of 256 pixels
_SMOOTHNESS_LIMIT = 4.0  # pixels of disagreement at which the cost is capped, because objects may move
_ROUNDS = 3  # rounds in which neighbours vote
_CHUNK = 4096  # windows compared at once, so that their pixels stay in the processor's cache
_COARSE_RADIUS = 4
# Search radius at full, half and quarter size. Moving objects need a wide search, which is cheap at small
# sizes.
_FINE_RADII = (1, 3, 3)
_LEVELS = 4
_MIN_SIDE = 16  # smallest side of a pyramid level: one window


@dataclass(frozen=True, slots=True)
class BlockField:
    """Position of each cell of the reference in a frame.

    Attributes:
        offsets: int64 (B, 2, gy, gx), (dy, dx) in packed pixels: the content of the reference at (y, x) is
            found in the frame at (y + dy, x + dx). gy = ceil(h / cell), gx = ceil(w / cell).
        cell: Side of a cell in packed pixels.
    """

    offsets: Tensor
    cell: int


def gray_features(planes: Tensor, shot_gain: Tensor | float, read_variance: Tensor | float) -> Tensor:
    """Average the four planes and scale the result so that its noise has standard deviation 1 everywhere.

    The scaling is the generalised Anscombe transform (Starck, Murtagh, Bijaoui 1998), in a form that is valid
    for shot_gain = 0 and maps 0 to 0.

    Args:
        planes: (B, 4, h, w) normalised packed mosaic.
        shot_gain: A number, (4,), or broadcastable to `planes`, with or without a frame dimension of 1.
        read_variance: Read variance, in the same form.

    Returns:
        (B, 1, h, w) float32.

    Example:
        >>> gray = gray_features(torch.tensor([0.0, 0.25]).reshape(1, 1, 1, 2).expand(1, 4, 1, 2), 0.0, 1e-4)
        >>> [round(float(value), 3) for value in gray.flatten()]
        [0.0, 50.0]
    """
    gray = planes.float().mean(1, keepdim=True)
    # The variance of the mean of four independent samples is a quarter of their mean variance.
    gain = _mean_over_planes(shot_gain, planes) / 4
    offset = _mean_over_planes(read_variance, planes) / 4 + 0.375 * gain**2
    offset = offset.clamp(min=1e-10)
    return 2 * gray / ((gain * gray + offset).clamp(min=0).sqrt() + offset.sqrt())


def match_blocks(reference: Tensor, frame: Tensor, initial: Tensor, cell: int = CELL) -> BlockField:
    """Find each cell of the reference in the frame.

    Args:
        reference: (B, 1, h, w) with noise of standard deviation about 1 (see `gray_features`).
        frame: Features of the frame, of the same size.
        initial: (B, 2, gy, gx) initial offsets in packed pixels; may be fractional. In large pictures,
            offsets that differ from it by up to 32 pixels are found (8 in the smallest pictures).
        cell: Side of a cell in packed pixels.

    Returns:
        The field. Outside the picture, matching uses repeated edge pixels.

    Example:
        >>> picture = 5 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> field = match_blocks(picture, picture.roll((2, -3), (2, 3)), torch.zeros(1, 2, 8, 8))
        >>> field.offsets[0, :, 3, 4].tolist()
        [2, -3]
    """
    references, frames = [reference.float()[:, 0]], [frame.float()[:, 0]]
    while len(references) < _LEVELS and min(references[-1].shape[-2:]) >= 2 * _MIN_SIDE:
        references.append(_reduce(references[-1]))
        frames.append(_reduce(frames[-1]))
    guesses = [initial.float()]
    for coarse in references[1:]:
        guesses.append(_reduce_field(guesses[-1], _grid(coarse, cell)))

    offsets: Tensor | None = None
    for level in range(len(references) - 1, -1, -1):
        guess = guesses[level].round().long()
        if offsets is None:
            candidates = guess[:, None]
            radius = _COARSE_RADIUS
        else:
            inherited = _candidates_from_coarse(offsets, _grid(references[level], cell))
            candidates = torch.cat([inherited, guess[:, None]], 1)
            radius = _FINE_RADII[min(level, len(_FINE_RADII) - 1)]
        offsets = _match_level(references[level], frames[level], candidates, guesses[level], radius, cell)
    assert offsets is not None
    return BlockField(offsets, cell)


def _mean_over_planes(value: Tensor | float, planes: Tensor) -> Tensor:
    """Average a number, (4,), (..., 4, 1, 1) or maps (..., 4, h, w) over the planes."""
    value = torch.as_tensor(value, dtype=torch.float32, device=planes.device)
    if value.dim() == 0:
        return value
    if value.dim() == 1:
        value = value[:, None, None]
    if value.dim() == 5:  # (B, 1, 4, ., .): one profile for all frames of a burst
        value = value.squeeze(1)
    return value.mean(-3, keepdim=True)


def _grid(plane: Tensor, cell: int) -> tuple[int, int]:
    height, width = plane.shape[-2:]
    return -(-height // cell), -(-width // cell)


def _reduce(plane: Tensor) -> Tensor:
    """Halve the size of (B, h, w) and double its values, so that white noise keeps its standard deviation."""
    height, width = plane.shape[-2:]
    plane = F.pad(plane[:, None], (0, width % 2, 0, height % 2), mode="replicate")
    return 2 * F.avg_pool2d(plane, 2)[:, 0]


def _reduce_field(field: Tensor, grid: tuple[int, int]) -> Tensor:
    """Convert offsets (B, 2, gy, gx) to a level of half the size; cells keep their number of pixels."""
    gy, gx = grid
    field = F.pad(field, (0, 2 * gx - field.shape[-1], 0, 2 * gy - field.shape[-2]), mode="replicate")
    return F.avg_pool2d(field, 2) / 2


def _candidates_from_coarse(offsets: Tensor, grid: tuple[int, int]) -> Tensor:
    """Convert offsets of a coarse level to candidates (B, 3, 2, gy, gx) for the next level.

    The candidates are the offsets of the parent cell and of two neighbours of the parent (HDR+, section 4):
    the nearer one of those above and below, and the nearer one of those to the left and right.
    """
    padded = F.pad(offsets.float(), (1, 1, 1, 1), mode="replicate").long() * 2
    rows, cols = torch.arange(grid[0], device=offsets.device), torch.arange(grid[1], device=offsets.device)
    parent_y, parent_x = rows // 2 + 1, cols // 2 + 1
    near_y, near_x = parent_y + rows % 2 * 2 - 1, parent_x + cols % 2 * 2 - 1
    return torch.stack(
        [
            padded[:, :, parent_y[:, None], parent_x],
            padded[:, :, near_y[:, None], parent_x],
            padded[:, :, parent_y[:, None], near_x],
        ],
        1,
    )


def _match_level(
    reference: Tensor, frame: Tensor, candidates: Tensor, guess: Tensor, radius: int, cell: int
) -> Tensor:
    """Find the best offsets (B, 2, gy, gx) on one level: choose a candidate, then search around it."""
    if candidates.shape[1] > 1:
        costs = _window_costs(reference, frame, candidates, 0, cell)
        best = _choose_candidates(candidates, costs, candidates[:, 0], guess, cell)
    else:
        best = candidates[:, 0]
    costs = _window_costs(reference, frame, best[:, None], radius, cell)
    steps = torch.arange(-radius, radius + 1, device=best.device)
    shifts = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    around = best[:, None] + shifts[None, :, :, None, None]
    return _choose_candidates(around, costs, best, guess, cell)


def _window_costs(reference: Tensor, frame: Tensor, candidates: Tensor, radius: int, cell: int) -> Tensor:
    """Compute the Huber cost of each candidate and of all offsets within `radius` of it.

    Args:
        reference: (B, h, w).
        frame: (B, h, w).
        candidates: int64 (B, K, 2, gy, gx).
        radius: Search radius around every candidate.
        cell: Side of a cell in packed pixels.

    Returns:
        (B, K * (2 * radius + 1)^2, gy, gx), summed over the window.
    """
    if can_match(frame, cell):
        return window_costs(reference, frame, candidates, radius, cell, _HUBER_DELTA)
    batch, count, _, gy, gx = candidates.shape
    height, width = frame.shape[-2:]
    window, margin = 2 * cell, cell // 2
    reach = window + 2 * radius
    side = 2 * radius + 1
    ref_windows = _all_windows(reference, window)
    frame_windows = _all_windows(frame, reach)

    device = frame.device
    b = torch.arange(batch, device=device)[:, None, None].expand(batch, gy, gx).reshape(-1)
    y = (torch.arange(gy, device=device) * cell - margin)[None, :, None].expand(batch, gy, gx).reshape(-1)
    x = (torch.arange(gx, device=device) * cell - margin)[None, None, :].expand(batch, gy, gx).reshape(-1)
    flat = candidates.permute(1, 2, 0, 3, 4).reshape(count, 2, -1)  # K, 2, number of cells in the batch
    costs = torch.empty(count, side * side, b.numel(), device=device)
    for start in range(0, b.numel(), _CHUNK):
        part = slice(start, start + _CHUNK)
        reference_window = ref_windows[b[part], y[part] + window, x[part] + window]
        for k in range(count):
            top = (y[part] + flat[k, 0, part] - radius).clamp(-reach, height) + reach
            left = (x[part] + flat[k, 1, part] - radius).clamp(-reach, width) + reach
            frame_window = frame_windows[b[part], top, left]
            for i in range(side * side):
                dy, dx = divmod(i, side)
                shifted = frame_window[:, dy : dy + window, dx : dx + window]
                difference = F.huber_loss(shifted, reference_window, reduction="none", delta=_HUBER_DELTA)
                costs[k, i, part] = difference.flatten(1).sum(1)
    return costs.reshape(count * side * side, batch, gy, gx).transpose(0, 1)


def _all_windows(plane: Tensor, size: int) -> Tensor:
    """Return a view of all windows; window (y, x) begins at (y - size, x - size).

    The result is (B, h + size + 1, w + size + 1, size, size).
    """
    padded = F.pad(plane[:, None], (size, size, size, size), mode="replicate")[:, 0]
    return padded.unfold(1, size, 1).unfold(2, size, 1)


def _choose_candidates(candidates: Tensor, costs: Tensor, start: Tensor, guess: Tensor, cell: int) -> Tensor:
    """Choose the candidate of lowest cost per cell; disagreement with neighbours adds to the cost.

    Args:
        candidates: int64 (B, K, 2, gy, gx).
        costs: (B, K, gy, gx).
        start: (B, 2, gy, gx) offsets of the neighbours in the first round.
        guess: (B, 2, gy, gx) initial field. Offsets are compared relative to it, so that a known rotation
            does not count as disagreement.
        cell: Side of a cell in packed pixels.
    """
    # The noise of the summed cost is proportional to the side of the window.
    weight = _SMOOTHNESS * (2 * cell / 16)
    if can_match(costs, cell):
        chosen = choose(
            candidates, costs, start, guess, weight=weight, limit=_SMOOTHNESS_LIMIT, rounds=_ROUNDS
        )
        return (chosen + guess).round().long()
    offsets = candidates - guess[:, None]
    chosen = start - guess
    gy, gx = chosen.shape[-2:]
    for _ in range(_ROUNDS):
        padded = F.pad(chosen, (1, 1, 1, 1), mode="replicate")
        total = costs.clone()
        for dy in range(3):
            for dx in range(3):
                if dy == 1 and dx == 1:
                    continue
                neighbour = padded[:, None, :, dy : dy + gy, dx : dx + gx]
                distance = (offsets - neighbour).abs().sum(2)
                total += weight * distance.clamp(max=_SMOOTHNESS_LIMIT)
        best = total.argmin(1)[:, None, None].expand(-1, 1, 2, -1, -1)
        chosen = offsets.gather(1, best)[:, 0]
    return (chosen + guess).round().long()
