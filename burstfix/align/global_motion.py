"""How a whole frame moved against the reference: shift and rotation, found under heavy noise.

Two stages: correlation of strongly reduced pictures over all shifts and a range of rotations, which cannot
be lost in a wrong minimum; then a least-squares fit to the offsets of matched blocks, which is exact.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.blocks import CELL, match_blocks
from burstfix.types import GlobalMotion

_COARSE_SIDE = 160  # longest side of the pictures that are correlated: noise is averaged away
_FINE_SIDE = 700  # longest side of the pictures whose blocks are matched: offsets of a few sensor pixels
_MAX_ANGLE = math.radians(2.5)
_ANGLES = 21  # a quarter of a degree apart: at most 0.4 pixels at the side of the reduced picture
_BANDWIDTH = 0.15  # cycles a reduced pixel: beyond are noise and the errors of bilinear rotation
_MIN_PEAK = 12.0  # standard deviations: measured 7 to 10 for noise and unrelated, 28 to 78 for related
_MIN_OVERLAP = 0.25  # of the picture: with less in common the confidence sinks
_DETAIL_SIDE = 15  # reduced pixels: detail is what differs from the mean over so many
_FIT_ROUNDS = 10
_MIN_TRUST = 4.0  # textured cells, at least, to fit anything to
_FIT_SCALE = 1.0  # pixels of misfit at which a cell's say is halved


def estimate_global_motion(reference: Tensor, frame: Tensor) -> GlobalMotion:
    """Finds shift (up to half the picture) and rotation (up to 2.5 degrees) of a frame.

    Args:
        reference: (h, w) grey packed picture of the reference, normalised units.
        frame: The same for the frame, of the same size.

    Returns:
        The motion in sensor pixels. Its confidence is the correlation of the two pictures once aligned,
        with the share that noise takes from it given back: near 1 for frames of one scene (also for a scene
        without any detail, where nothing speaks against it), below 0.3 for unrelated ones.
    """
    reference, frame = reference.float(), frame.float()
    noise = (_noise(reference) + _noise(frame)) / 2
    coarse_factor = _factor(reference, _COARSE_SIDE)
    coarse, coarse_frame = _reduced(reference, coarse_factor), _reduced(frame, coarse_factor)
    motion = _correlate(coarse, coarse_frame).scaled(coarse_factor)
    fine_factor = _factor(reference, _FINE_SIDE)
    fine, fine_frame = _reduced(reference, fine_factor), _reduced(frame, fine_factor)
    gain = fine_factor / noise
    start = motion.scaled(1 / fine_factor)
    motion = _fit_blocks(fine * gain, fine_frame * gain, start).scaled(fine_factor)
    confidence = _agreement(coarse, coarse_frame, motion.scaled(1 / coarse_factor), noise / coarse_factor)
    # So far in packed pixels.
    return GlobalMotion(2 * motion.dy, 2 * motion.dx, motion.angle, confidence)


def initial_offsets(motion: GlobalMotion, height: int, width: int, cell: int = CELL) -> Tensor:
    """The block field that a global motion amounts to.

    Args:
        motion: In sensor pixels.
        height: Of the packed picture.
        width: Likewise.
        cell: Packed pixels on a side of a cell.

    Returns:
        float32 (1, 2, gy, gx), offsets (dy, dx) in packed pixels at the cells' centres.
    """
    centres = _cell_centres(height, width, cell)
    return (_moved(centres, motion.scaled(0.5)) - centres)[None]


def _factor(picture: Tensor, side: int) -> int:
    return max(1, math.ceil(max(picture.shape) / side))


def _reduced(picture: Tensor, factor: int) -> Tensor:
    """Means of squares of `factor` pixels, cut from the centre so that the centre stays where it is."""
    height, width = (size // factor * factor for size in picture.shape)
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return F.avg_pool2d(picture[None, None, top : top + height, left : left + width], factor)[0, 0]


def _noise(picture: Tensor) -> Tensor:
    """Standard deviation of the noise, from the median second difference on both axes (Immerkaer 1996)."""
    rows = picture[::2]
    second = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    mixed = second[:-2] - 2 * second[1:-1] + second[2:]
    # The mask's squares sum to 36; 0.6745 is the median of |N(0, 1)|.
    return mixed.abs().flatten()[::3].median().clamp(min=1e-6) / (6 * 0.6745)


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    """(2, height, width): y and x of every pixel from the centre."""
    ys = torch.arange(height, dtype=torch.float32, device=device) - (height - 1) / 2
    xs = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij"))


def _moved(positions: Tensor, motion: GlobalMotion) -> Tensor:
    """Find points (2, ...) of the reference in the frame (see `GlobalMotion`)."""
    return torch.stack(motion.apply(positions[0], positions[1]))


def _sample(picture: Tensor, positions: Tensor) -> Tensor:
    """The picture at (2, h, w) positions from its centre, bilinear; NaN outside."""
    height, width = picture.shape
    grid = torch.stack([positions[1] / ((width - 1) / 2), positions[0] / ((height - 1) / 2)], -1)[None]
    out = F.grid_sample(picture[None, None], grid, align_corners=True, padding_mode="border")[0, 0]
    return torch.where((grid[0].abs() <= 1).all(-1), out, torch.nan)


def _cell_centres(height: int, width: int, cell: int, device: torch.device | None = None) -> Tensor:
    """(2, gy, gx): y and x of the cells' centres from the picture's centre."""
    gy, gx = -(-height // cell), -(-width // cell)
    ys = torch.arange(gy, dtype=torch.float32, device=device) * cell + (cell - height) / 2
    xs = torch.arange(gx, dtype=torch.float32, device=device) * cell + (cell - width) / 2
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij"))


def _correlate(reference: Tensor, frame: Tensor) -> GlobalMotion:
    """Best of all shifts and `_ANGLES` rotations, in whole pixels; none where no peak stands out."""
    height, width = reference.shape
    sizes = [-(-2 * size // 32) * 32 for size in reference.shape]  # room for every shift, quick to transform
    positions = _positions(height, width, reference.device)
    angles = [_MAX_ANGLE * (2 * k / (_ANGLES - 1) - 1) for k in range(_ANGLES)]
    rotated = torch.stack([_sample(frame, _moved(positions, GlobalMotion(angle=angle))) for angle in angles])
    rotated = torch.where(rotated.isnan(), frame.mean(), rotated)
    product = _whitened(_prepared(reference[None]), sizes).conj() * _whitened(_prepared(rotated), sizes)
    surfaces = torch.fft.irfft2(product, s=sizes)
    spread = surfaces.std()
    # Shifts of more than half the picture are not looked for.
    surfaces[:, height // 2 : sizes[0] - height // 2] = -math.inf
    surfaces[:, :, width // 2 : sizes[1] - width // 2] = -math.inf
    score, index = surfaces.flatten().max(0)
    if float(score) < _MIN_PEAK * float(spread):
        return GlobalMotion()
    k, place = divmod(int(index), sizes[0] * sizes[1])
    row, col = divmod(place, sizes[1])
    row, col = (row - sizes[0] if row > height else row), (col - sizes[1] if col > width else col)
    # reference(p) = rotated(p + s) = frame(R (p + s)): the shift in the frame is R s.
    shift = _moved(torch.tensor([float(row), float(col)]), GlobalMotion(angle=angles[k]))
    return GlobalMotion(float(shift[0]), float(shift[1]), angles[k])


def _prepared(pictures: Tensor) -> Tensor:
    """Square root, so that a lamp does not outweigh the room; mean removed; faded out at the border."""
    root = pictures.clamp(min=0).add(1e-3).sqrt()
    root = root - root.mean((-2, -1), keepdim=True)
    fades = []
    for size in pictures.shape[-2:]:
        ramp = (torch.arange(size, device=pictures.device) + 0.5) / size
        fades.append((torch.minimum(ramp, 1 - ramp) * 8).clamp(max=1))
    return root * fades[0][:, None] * fades[1]


def _whitened(pictures: Tensor, sizes: list[int]) -> Tensor:
    """Spectra with their slope flattened, so that the correlation has a sharp peak, and noise held down."""
    spectra = torch.fft.rfft2(pictures, s=sizes)
    magnitude = spectra.abs()
    fy = torch.fft.fftfreq(sizes[0], device=pictures.device)[:, None]
    fx = torch.fft.rfftfreq(sizes[1], device=pictures.device)
    low_pass = torch.exp(-(fy**2 + fx**2) / (2 * _BANDWIDTH**2))
    return spectra * low_pass / (magnitude + magnitude.mean((-2, -1), keepdim=True)).clamp(min=1e-12)


def _fit_blocks(reference: Tensor, frame: Tensor, start: GlobalMotion) -> GlobalMotion:
    """Shift and rotation that explain the offsets of most textured blocks, by reweighted least squares.

    Args:
        reference: (h, w), noise of standard deviation about 1.
        frame: Likewise.
        start: First guess in pixels of these pictures.
    """
    height, width = reference.shape
    centres = _cell_centres(height, width, CELL, reference.device)
    guess = _moved(centres, start) - centres
    found = centres + match_blocks(reference[None, None], frame[None, None], guess[None]).offsets[0]

    detail = _detail(reference)
    limit = torch.tensor([height / 2, width / 2], device=found.device)[:, None, None] - CELL
    usable = (found.abs() < limit).all(0) & (centres.abs() < limit).all(0)
    trust = torch.where(usable, detail / (detail + 1), 0.0)
    if float(trust.sum()) < _MIN_TRUST:
        return start
    motion = start
    for k in range(_FIT_ROUNDS):
        scale = _FIT_SCALE * max(1.0, 4.0 * 0.7**k)  # lenient at first, for the start is off by some pixels
        misfit = (found - _moved(centres, motion)).square().sum(0) / scale**2
        motion = _fit(centres, found, trust / (1 + misfit) ** 2)
    return motion


def _detail(picture: Tensor) -> Tensor:
    """(gy, gx): energy of the gradients in each cell beyond what noise of standard deviation 1 makes."""
    padded = F.pad(picture[None, None], (1, 1, 1, 1), mode="replicate")
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    energy = dy.square() + dx.square()
    # For noise alone the mean is 1, and over a cell it strays by about 0.15.
    return (F.avg_pool2d(energy, CELL, ceil_mode=True)[0, 0] - 1.5).clamp(min=0)


def _fit(points: Tensor, targets: Tensor, weights: Tensor) -> GlobalMotion:
    """Rotation and shift that move (2, ...) points to targets with least weighted squares (Procrustes)."""
    weights = weights / weights.sum()
    centre = (points * weights).sum((-2, -1))
    target = (targets * weights).sum((-2, -1))
    y, x = points - centre[:, None, None]
    v, u = targets - target[:, None, None]
    angle = math.atan2(float((weights * (x * v - y * u)).sum()), float((weights * (y * v + x * u)).sum()))
    rotated = _moved(centre.cpu(), GlobalMotion(angle=angle))
    return GlobalMotion(float(target[0] - rotated[0]), float(target[1] - rotated[1]), angle)


def _agreement(reference: Tensor, frame: Tensor, motion: GlobalMotion, noise: Tensor) -> float:
    """Correlation of detail where the aligned pictures overlap, made good for the noise (0 to 1)."""
    height, width = reference.shape
    aligned = _sample(frame, _moved(_positions(height, width, reference.device), motion))
    overlap = ~aligned.isnan()
    share = float(overlap.float().mean())
    if share < 0.02:
        return 0.0
    a, b = (_local_detail(picture.nan_to_num(), overlap)[overlap] for picture in (reference, aligned))
    variance = (noise * noise) * (1 - 1 / _DETAIL_SIDE**2)
    scale = (a.square().mean() * b.square().mean()).sqrt().clamp(min=1e-12)
    value = ((a * b).mean() + variance) / torch.maximum(scale, variance)
    return float(value.clamp(0, 1)) * min(1.0, share / _MIN_OVERLAP)


def _local_detail(picture: Tensor, mask: Tensor) -> Tensor:
    """The picture minus its mean over the neighbourhood, counting masked pixels only."""
    weight = mask.float()
    sums = [
        F.avg_pool2d(plane[None, None], _DETAIL_SIDE, 1, _DETAIL_SIDE // 2, count_include_pad=False)[0, 0]
        for plane in (picture * weight, weight)
    ]
    return (picture - sums[0] / sums[1].clamp(min=1e-6)) * weight
