"""Simulate the motion of camera and objects during a burst, and render the moved pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """Distribution of the motion of the camera.

    Attributes:
        shift: Largest translation of the smooth path relative to the reference, in sensor pixels.
        jitter: Standard deviation of the shake that is added to the smooth path, in sensor pixels.
        rotation: Standard deviation of the rotation of a frame, in degrees.
        zoom: Standard deviation of the relative change of scale of a frame.
        perspective: Standard deviation of the perspective terms: relative change of scale over 1000 pixels.
        least: Share of `shift` that every path reaches. With 0, small motion is the most common.
    """

    shift: float = 12.0
    jitter: float = 1.0
    rotation: float = 0.3
    zoom: float = 0.002
    perspective: float = 0.001
    least: float = 0.0


def camera_path(
    batch: int, frames: int, reference: int, settings: MotionSettings, generator: torch.Generator
) -> Tensor:
    """Return random homographies (B, N, 3, 3) from the reference to each frame.

    They apply to (x, y, 1) relative to the centre. The translation follows a smooth path with random velocity
    and acceleration, at most `settings.shift` from the reference, plus jitter. The homography of the
    reference is the identity.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device)

    time = torch.arange(frames, device=generator.device).float() - reference
    span = float(max(reference, frames - 1 - reference, 1))
    velocity = normal(batch, 1, 2)
    bend = 0.3 * normal(batch, 1, 2)
    path = velocity * (time / span)[None, :, None] + bend * ((time / span) ** 2)[None, :, None]
    length = path.norm(dim=-1).amax(1, keepdim=True)[..., None].clamp(min=1e-6)
    # With the square of a uniform number, small motion is common and large motion possible.
    reach = settings.least + (1 - settings.least) * uniform(batch, 1, 1) ** 2
    path = path / length * reach * settings.shift
    moving = (time != 0).float()[None, :, None]
    path = path + settings.jitter * normal(batch, frames, 2) * moving

    angle = math.radians(settings.rotation) * normal(batch, frames) * moving[..., 0]
    scale = 1 + settings.zoom * normal(batch, frames) * moving[..., 0]
    matrix = torch.zeros(batch, frames, 3, 3, device=generator.device)
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale * torch.cos(angle)
    matrix[..., 0, 1] = -scale * torch.sin(angle)
    matrix[..., 1, 0] = scale * torch.sin(angle)
    matrix[..., :2, 2] = path
    # Perspective is defined per 1000 pixels, so that it is the same for patches and whole pictures.
    matrix[..., 2, :2] = settings.perspective / 1000 * normal(batch, frames, 2) * moving
    matrix[..., 2, 2] = 1
    return matrix


def warp(
    source: Tensor,
    homographies: Tensor,
    height: int,
    width: int,
    magnify: Tensor | float = 1.0,
    mode: str = "bilinear",
) -> Tensor:
    """Render frames of a moving camera from a larger picture.

    Args:
        source: (B, C, Hs, Ws).
        homographies: (B, N, 3, 3), see `camera_path`. A point p of the reference appears at H p.
        height, width: Size of the frames.
        magnify: Source pixels per frame pixel, a number or (B,). For example, 1.5 reduces the picture.
        mode: "bilinear" or "bicubic". Bicubic keeps more detail, but takes longer and overshoots at edges.

    Returns:
        (B, N, C, height, width). The source is mirrored at its borders.
    """
    batch, frames = homographies.shape[:2]
    device = source.device
    ys = torch.arange(height, device=device) - (height - 1) / 2
    xs = torch.arange(width, device=device) - (width - 1) / 2
    grid = torch.stack([xs[None, :].expand(height, width), ys[:, None].expand(height, width)], -1)
    points = torch.cat([grid, torch.ones_like(grid[..., :1])], -1)  # (height, width, 3)
    inverse = torch.linalg.inv_ex(homographies.float()).inverse
    mapped = torch.einsum("bnij,hwj->bnhwi", inverse, points)
    mapped = mapped[..., :2] / mapped[..., 2:]
    scale = torch.as_tensor(magnify, device=device, dtype=torch.float32).reshape(-1, 1, 1, 1, 1)
    half = torch.tensor([source.shape[-1] / 2, source.shape[-2] / 2], device=device)
    normalised = (mapped * scale / half).reshape(batch, frames * height, width, 2)
    out = F.grid_sample(source, normalised, mode=mode, padding_mode="reflection", align_corners=False)
    return out.reshape(batch, -1, frames, height, width).transpose(1, 2)  # (B, N, C, height, width)


def blob_masks(batch: int, size: int, generator: torch.Generator) -> Tensor:
    """Return soft masks (B, 1, size, size) of random smooth objects that cover a tenth to a half."""
    device = generator.device
    coarse = torch.randn((batch, 1, 5, 5), generator=generator, device=device)
    field = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    cover = 0.1 + 0.4 * torch.rand((batch, 1), generator=generator, device=device)
    sorted_values = field[:, 0, ::4, ::4].reshape(batch, -1).sort(1).values
    index = ((1 - cover) * (sorted_values.shape[1] - 1)).long()
    threshold = sorted_values.gather(1, index)[:, 0]
    return torch.sigmoid((field - threshold[:, None, None, None]) * size / 4)


def object_mask(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return the soft mask (1, 1, height, width) of a random rounded object near the middle of the picture.

    Its centre lies in the middle half of the picture. Its mean radius is 10% to 20% of the shorter side, and
    the outline deviates by up to a third.
    """

    def uniform(count: int) -> Tensor:
        return torch.rand(count, generator=generator, device=generator.device)

    centre = (uniform(2) - 0.5) * torch.tensor([height / 2, width / 2], device=generator.device)
    radius = min(height, width) * (0.1 + 0.1 * uniform(1))
    phases = 2 * torch.pi * uniform(3)
    ys = torch.arange(height, device=generator.device)[:, None] - (height - 1) / 2 - centre[0]
    xs = torch.arange(width, device=generator.device)[None, :] - (width - 1) / 2 - centre[1]
    angle = torch.atan2(ys, xs)
    outline = 1 + sum(0.11 * torch.sin((k + 2) * angle + phases[k]) for k in range(3))
    # An edge of one pixel is the sharpest that the sensor resolves without aliasing.
    return (radius * outline - torch.hypot(ys, xs) + 0.5).clamp(0, 1)[None, None]
