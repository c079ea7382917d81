"""Estimate the motion of a noisy frame relative to the reference: shift and rotation.

There are three stages. First, strongly reduced pictures are correlated over all shifts and a range of
rotations, which avoids local minima. Second, a robust least-squares fit to the integer offsets of matched
blocks is accurate to about a pixel. Third, Gauss-Newton iterations on the pictures (Lucas and Kanade 1981)
refine the motion to fractions of a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.blocks import CELL, match_blocks
from burstfix.types import GlobalMotion

_COARSE_SIDE = 160  # longest side of the pictures that are correlated; the reduction averages out most noise
_FINE_SIDE = 700  # longest side of the pictures for block matching
_MAX_ANGLE = math.radians(2.5)
_ANGLES = 21  # steps of a quarter of a degree: at most 0.4 pixels at the edge of the reduced picture
_BANDWIDTH = 0.15  # cycles per reduced pixel; above it, noise and errors of bilinear rotation dominate
# Minimum height of a peak in standard deviations. Measured: 7 to 10 for noise and unrelated frames, 28 to 78
# for related frames.
_MIN_PEAK = 12.0
_MIN_OVERLAP = 0.25  # share of the picture; the confidence is reduced if the overlap is smaller
_DETAIL_SIDE = 15  # reduced pixels; detail is the difference from the mean over such a square
_FIT_ROUNDS = 10
_MIN_TRUST = 4.0  # minimum number of textured cells for a fit
_FIT_SCALE = 1.0  # pixels of misfit at which the weight of a cell is a quarter
_REFINE_ROUNDS = 8
_REFINE_DONE = 0.005  # pixels; smaller steps end the iterations
_REFINE_BLUR = 1.0  # standard deviation of the smoothing, pixels; bilinear interpolation needs it
_REFINE_LIMIT = 1.5  # maximum change of the fit by the refinement, pixels
_REFINE_OUTLIER = 10.0  # standard deviations of noise at which the weight of a pixel is a quarter
_REFINE_ERROR = 0.25  # pixels; a refinement with a larger error is discarded


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPicture:
    """A grey packed picture in two reduced sizes; see `reduce_picture`.

    Attributes:
        noise: Standard deviation of the noise of the whole picture.
        coarse: Reduced by `coarse_factor`, for the correlation.
        fine: Reduced by `fine_factor`, for block matching and refinement.
    """

    noise: Tensor
    coarse: Tensor
    fine: Tensor
    coarse_factor: int
    fine_factor: int


def reduce_picture(picture: Tensor) -> ReducedPicture:
    """Reduce a grey packed picture (h, w) to what `estimate_global_motion` needs."""
    picture = picture.float()
    coarse, fine = (_reduction_factor(picture, side) for side in (_COARSE_SIDE, _FINE_SIDE))
    return ReducedPicture(_noise(picture), _reduced(picture, coarse), _reduced(picture, fine), coarse, fine)


def estimate_global_motion(reference: ReducedPicture, frame: ReducedPicture) -> GlobalMotion:
    """Estimate shift (up to half the picture) and rotation (up to 2.5 degrees) of a frame.

    Args:
        reference: The reference.
        frame: The frame, of the same size.

    Returns:
        The motion in sensor pixels, fractional. Its confidence is the correlation of the two aligned
        pictures, corrected for noise: near 1 for frames of one scene (even a scene without detail), below 0.3
        for unrelated frames.

    Example:
        >>> scene = torch.rand(140, 160, generator=torch.Generator().manual_seed(0))
        >>> scene = F.avg_pool2d(scene[None, None], 5, 1, 2)[0, 0]
        >>> reference, frame = (reduce_picture(x) for x in (scene[10:130, 20:148], scene[7:127, 22:150]))
        >>> motion = estimate_global_motion(reference, frame)
        >>> round(motion.dy, 1), round(motion.dx, 1)
        (6.0, -4.0)
    """
    noise = (reference.noise + frame.noise) / 2
    coarse_factor, fine_factor = reference.coarse_factor, reference.fine_factor
    motion = _correlate(reference.coarse, frame.coarse).scaled(coarse_factor)
    gain = fine_factor / noise
    fine, fine_frame = reference.fine * gain, frame.fine * gain
    start = motion.scaled(1 / fine_factor)
    fitted = _fit_blocks(fine, fine_frame, start)
    if fitted is not start:
        fitted = _refine(fine, fine_frame, fitted)
    motion = fitted.scaled(fine_factor)
    at_coarse = motion.scaled(1 / coarse_factor)
    confidence = _correlation(reference.coarse, frame.coarse, at_coarse, noise / coarse_factor)
    return replace(motion.scaled(2), confidence=confidence)  # from packed to sensor pixels


def initial_offsets(motion: GlobalMotion, height: int, width: int, cell: int = CELL) -> Tensor:
    """Return the block field of a global motion.

    Args:
        motion: The motion in sensor pixels.
        height: Height of the packed picture.
        width: Width of the packed picture.
        cell: Side of a cell in packed pixels.

    Returns:
        float32 (1, 2, gy, gx), offsets (dy, dx) in packed pixels at the cells' centres.
    """
    centres = _cell_centres(height, width, cell)
    return (_map_to_frame(centres, motion.scaled(0.5)) - centres)[None]


def _reduction_factor(picture: Tensor, side: int) -> int:
    return max(1, math.ceil(max(picture.shape) / side))


def _reduced(picture: Tensor, factor: int) -> Tensor:
    """Average squares of `factor` pixels, cropped so that the centre stays in place."""
    height, width = (size // factor * factor for size in picture.shape)
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return F.avg_pool2d(picture[None, None, top : top + height, left : left + width], factor)[0, 0]


def _noise(picture: Tensor) -> Tensor:
    """Estimate the standard deviation of noise from second differences on both axes (Immerkaer 1996)."""
    rows = picture[::2]
    second = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    mixed = second[:-2] - 2 * second[1:-1] + second[2:]
    # The squares of the filter sum to 36; 0.6745 is the median of |N(0, 1)|.
    return mixed.abs().flatten()[::3].median().clamp(min=1e-6) / (6 * 0.6745)


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    """Return y and x of every pixel relative to the centre, (2, height, width)."""
    ys = torch.arange(height, dtype=torch.float32, device=device) - (height - 1) / 2
    xs = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij"))


def _map_to_frame(positions: Tensor, motion: GlobalMotion) -> Tensor:
    """Map points (2, ...) of the reference to the frame (see `GlobalMotion`)."""
    return torch.stack(motion.apply(positions[0], positions[1]))


def _sample(picture: Tensor, positions: Tensor) -> Tensor:
    """Interpolate a picture bilinearly at (2, h, w) positions relative to its centre; NaN outside."""
    height, width = picture.shape
    grid = torch.stack([positions[1] / ((width - 1) / 2), positions[0] / ((height - 1) / 2)], -1)[None]
    out = F.grid_sample(picture[None, None], grid, align_corners=True, padding_mode="border")[0, 0]
    return torch.where((grid[0].abs() <= 1).all(-1), out, torch.nan)


def _cell_centres(height: int, width: int, cell: int, device: torch.device | None = None) -> Tensor:
    """Return y and x of the centres of cells relative to the centre of the picture, (2, gy, gx)."""
    gy, gx = -(-height // cell), -(-width // cell)
    ys = torch.arange(gy, dtype=torch.float32, device=device) * cell + (cell - height) / 2
    xs = torch.arange(gx, dtype=torch.float32, device=device) * cell + (cell - width) / 2
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij"))


def _correlate(reference: Tensor, frame: Tensor) -> GlobalMotion:
    """Find the best rotation and shift in whole pixels; return no motion if there is no clear peak."""
    height, width = reference.shape
    # Twice the size, so that shifts do not wrap around; a multiple of 32, for a fast transform.
    sizes = [-(-2 * size // 32) * 32 for size in reference.shape]
    positions = _positions(height, width, reference.device)
    angles = [_MAX_ANGLE * (2 * k / (_ANGLES - 1) - 1) for k in range(_ANGLES)]
    rotated = torch.stack(
        [_sample(frame, _map_to_frame(positions, GlobalMotion(angle=angle))) for angle in angles]
    )
    rotated = torch.where(rotated.isnan(), frame.mean(), rotated)
    product = _whitened(_prepared(reference[None]), sizes).conj() * _whitened(_prepared(rotated), sizes)
    surfaces = torch.fft.irfft2(product, s=sizes)
    spread = surfaces.std()
    # Shifts of more than half the picture are not searched.
    surfaces[:, height // 2 : sizes[0] - height // 2] = -math.inf
    surfaces[:, :, width // 2 : sizes[1] - width // 2] = -math.inf
    score, index = surfaces.flatten().max(0)
    if float(score) < _MIN_PEAK * float(spread):
        return GlobalMotion()
    k, position = divmod(int(index), sizes[0] * sizes[1])
    row, col = divmod(position, sizes[1])
    row, col = (row - sizes[0] if row > height else row), (col - sizes[1] if col > width else col)
    # reference(p) = rotated(p + s) = frame(R (p + s)), so the shift in the frame is R s.
    shift = _map_to_frame(torch.tensor([float(row), float(col)]), GlobalMotion(angle=angles[k]))
    return GlobalMotion(float(shift[0]), float(shift[1]), angles[k])


def _prepared(pictures: Tensor) -> Tensor:
    """Compress highlights by a square root, subtract the mean, and fade out towards the border."""
    root = pictures.clamp(min=0).add(1e-3).sqrt()
    root = root - root.mean((-2, -1), keepdim=True)
    fades = []
    for size in pictures.shape[-2:]:
        ramp = (torch.arange(size, device=pictures.device) + 0.5) / size
        fades.append((torch.minimum(ramp, 1 - ramp) * 8).clamp(max=1))
    return root * fades[0][:, None] * fades[1]


def _whitened(pictures: Tensor, sizes: list[int]) -> Tensor:
    """Compute spectra of uniform magnitude, for a sharp correlation peak, and remove high frequencies."""
    spectra = torch.fft.rfft2(pictures, s=sizes)
    magnitude = spectra.abs()
    fy = torch.fft.fftfreq(sizes[0], device=pictures.device)[:, None]
    fx = torch.fft.rfftfreq(sizes[1], device=pictures.device)
    low_pass = torch.exp(-(fy**2 + fx**2) / (2 * _BANDWIDTH**2))
    return spectra * low_pass / (magnitude + magnitude.mean((-2, -1), keepdim=True)).clamp(min=1e-12)


def _fit_blocks(reference: Tensor, frame: Tensor, start: GlobalMotion) -> GlobalMotion:
    """Fit shift and rotation to the offsets of textured blocks by reweighted least squares.

    Args:
        reference: (h, w), noise of standard deviation about 1.
        frame: The same for the frame.
        start: First guess in pixels of these pictures.

    Returns:
        The motion, or `start` itself if the picture has too little texture.
    """
    height, width = reference.shape
    centres = _cell_centres(height, width, CELL, reference.device)
    guess = _map_to_frame(centres, start) - centres
    found = centres + match_blocks(reference[None, None], frame[None, None], guess[None]).offsets[0]

    detail = _detail(reference)
    limit = torch.tensor([height / 2, width / 2], device=found.device)[:, None, None] - CELL
    usable = (found.abs() < limit).all(0) & (centres.abs() < limit).all(0)
    trust = torch.where(usable, detail / (detail + 1), 0.0)
    if float(trust.sum()) < _MIN_TRUST:
        return start
    motion = start
    for k in range(_FIT_ROUNDS):
        # The first rounds are tolerant, because `start` may be wrong by several pixels.
        scale = _FIT_SCALE * max(1.0, 4.0 * 0.7**k)
        misfit = (found - _map_to_frame(centres, motion)).square().sum(0) / scale**2
        motion = _fit(centres, found, trust / (1 + misfit) ** 2)
    return motion


def _refine(reference: Tensor, frame: Tensor, start: GlobalMotion) -> GlobalMotion:
    """Refine a motion to fractions of a pixel by Gauss-Newton iterations with robust weights.

    The gradients are computed from the reference. Its noise is independent of that of the frame, so noise
    does not bias the result.

    Args:
        reference: (h, w), noise of standard deviation about 1.
        frame: The same for the frame.
        start: Initial motion, accurate to about a pixel of these pictures.

    Returns:
        The refined motion, or `start` if the pictures do not determine it.
    """
    reference, frame = _blurred(reference), _blurred(frame)
    noise = 1 / (2 * math.pi**0.5 * _REFINE_BLUR)  # noise variance after the blur, 1 before it
    gradient_y, gradient_x = torch.gradient(reference)
    positions = _positions(reference.shape[0], reference.shape[1], reference.device)
    y, x = positions
    # Derivatives of the value of the frame with respect to shift and angle, at the current motion.
    slopes = torch.stack([gradient_y, gradient_x, gradient_y * x - gradient_x * y]).flatten(1)
    motion, normal = start, torch.eye(3, dtype=torch.float64)
    for _ in range(_REFINE_ROUNDS):
        residual = (_sample(frame, _map_to_frame(positions, motion)) - reference).flatten()
        weight = 1 / (1 + (residual / (2 * _REFINE_OUTLIER * noise)).square()).square()
        weight = torch.where(residual.isnan(), 0.0, weight)
        weighted = slopes * weight
        normal = (weighted @ slopes.T).double().cpu()
        target = -(weighted @ residual.nan_to_num()).double().cpu()
        if not float(torch.linalg.cond(normal)) < 1e12:
            return start
        dy, dx, angle = torch.linalg.solve(normal, target).tolist()
        motion = GlobalMotion(motion.dy + dy, motion.dx + dx, motion.angle + angle)
        if max(abs(motion.dy - start.dy), abs(motion.dx - start.dx)) > _REFINE_LIMIT:
            return start
        if max(abs(dy), abs(dx), abs(angle) * max(reference.shape)) < _REFINE_DONE:
            break
    # Blurred noise is correlated over about 4 pi sigma^2 pixels.
    variance = torch.linalg.inv(normal)[:2, :2].diagonal() * 2 * noise**2 * 4 * math.pi * _REFINE_BLUR**2
    return motion if float(variance.max()) < _REFINE_ERROR**2 else start


def _blurred(picture: Tensor) -> Tensor:
    """Smooth with a Gaussian kernel; the picture is reflected at its border."""
    radius = math.ceil(3 * _REFINE_BLUR)
    offsets = torch.arange(-radius, radius + 1, device=picture.device)
    kernel = torch.exp(-0.5 * (offsets / _REFINE_BLUR).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(picture[None, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None])[0, 0]


def _detail(picture: Tensor) -> Tensor:
    """Return the gradient energy of each cell (gy, gx) in excess of noise with standard deviation 1."""
    padded = F.pad(picture[None, None], (1, 1, 1, 1), mode="replicate")
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    energy = dy.square() + dx.square()
    # For noise alone the mean is 1, with a standard deviation of 0.15 over a cell.
    return (F.avg_pool2d(energy, CELL, ceil_mode=True)[0, 0] - 1.5).clamp(min=0)


def _fit(points: Tensor, targets: Tensor, weights: Tensor) -> GlobalMotion:
    """Fit rotation and shift that move points (2, ...) to targets, by weighted least squares (Procrustes)."""
    weights = weights / weights.sum()
    centre = (points * weights).sum((-2, -1))
    target = (targets * weights).sum((-2, -1))
    y, x = points - centre[:, None, None]
    v, u = targets - target[:, None, None]
    angle = math.atan2(float((weights * (x * v - y * u)).sum()), float((weights * (y * v + x * u)).sum()))
    rotated = _map_to_frame(centre.cpu(), GlobalMotion(angle=angle))
    return GlobalMotion(float(target[0] - rotated[0]), float(target[1] - rotated[1]), angle)


def _correlation(reference: Tensor, frame: Tensor, motion: GlobalMotion, noise: Tensor) -> float:
    """Return the correlation of detail, 0 to 1, where the aligned pictures overlap, corrected for noise."""
    height, width = reference.shape
    aligned = _sample(frame, _map_to_frame(_positions(height, width, reference.device), motion))
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
    """Subtract the mean of the pixels in the neighbourhood that are in the mask."""
    weight = mask.float()
    sums = [
        F.avg_pool2d(plane[None, None], _DETAIL_SIDE, 1, _DETAIL_SIDE // 2, count_include_pad=False)[0, 0]
        for plane in (picture * weight, weight)
    ]
    return (picture - sums[0] / sums[1].clamp(min=1e-6)) * weight
