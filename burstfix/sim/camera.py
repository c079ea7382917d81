"""Convert display pictures to linear camera RGB ("unprocessing") and back.

Source: Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019). The default camera is that
of the protocol of the two-stage paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# XYZ to camera RGB of the camera of the test protocol, and linear sRGB (D65) to XYZ (IEC 61966-2-1).
XYZ_TO_CAMERA = ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406))
RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
PROTOCOL_RED_GAIN = 2.0
PROTOCOL_BLUE_GAIN = 1.7
GAMMA = 2.2
GAIN_KNEE = 0.9  # if the mean of the channels is higher, inverse gains approach 1


@dataclass(frozen=True, slots=True)
class Camera:
    """Colour of a batch of simulated cameras.

    Attributes:
        rgb_to_camera: (B, 3, 3) from linear sRGB to white-balanced camera RGB; rows sum to one.
        gains: (B, 3) white balance gains for red, green and blue; green is 1.
    """

    rgb_to_camera: Tensor
    gains: Tensor


def protocol_camera(batch: int = 1, device: torch.device | str = "cpu") -> Camera:
    """Return the camera of the REDS4 protocol: fixed matrix, gains 2.0, 1 and 1.7."""
    matrix = _normalise_rows(
        torch.tensor(XYZ_TO_CAMERA, dtype=torch.float64) @ torch.tensor(RGB_TO_XYZ, dtype=torch.float64)
    )
    gains = torch.tensor([PROTOCOL_RED_GAIN, 1.0, PROTOCOL_BLUE_GAIN])
    return Camera(
        matrix.float().expand(batch, 3, 3).contiguous().to(device),
        gains.expand(batch, 3).contiguous().to(device),
    )


def neutral_camera() -> Camera:
    """Return a camera whose RGB is linear sRGB, with gains of 1."""
    return Camera(torch.eye(3)[None], torch.ones(1, 3))


def random_camera(batch: int, generator: torch.Generator) -> Camera:
    """Return random variants of the protocol camera: gains 1.5..2.6 (red) and 1.2..2.3 (blue)."""
    device = generator.device
    base = protocol_camera(batch, device)
    disturbed = base.rgb_to_camera + 0.06 * torch.randn((batch, 3, 3), generator=generator, device=device)
    low = torch.tensor([1.5, 1.0, 1.2], device=device)
    span = torch.tensor([1.1, 0.0, 1.1], device=device)
    gains = low + span * torch.rand((batch, 3), generator=generator, device=device)
    return Camera(_normalise_rows(disturbed), gains)


def unprocess(display: Tensor, camera: Camera, tone: Tensor | bool = True) -> Tensor:
    """Convert display RGB to linear camera RGB before white balance.

    Args:
        display: (B, ..., 3, H, W) display RGB in 0..1.
        camera: Colour of the B cameras.
        tone: True to invert a smoothstep tone curve; a bool, or (B,) bools.

    Returns:
        Tensor of the same shape, in 0..1.
    """
    x = display.clamp(0, 1)
    inverse_tone = 0.5 - torch.sin(torch.asin(1 - 2 * x) / 3)
    chosen = torch.as_tensor(tone, device=x.device)
    x = torch.where(_broadcast(chosen, x), inverse_tone, x) if chosen.ndim else (inverse_tone if tone else x)
    x = x.clamp(min=0) ** GAMMA
    x = _mix(x, camera.rgb_to_camera)
    mask = (torch.clamp(x.mean(-3, keepdim=True) - GAIN_KNEE, min=0) / (1 - GAIN_KNEE)) ** 2
    inverse_gain = 1 / _per_channel(camera.gains, x)
    return (x * torch.maximum(mask + (1 - mask) * inverse_gain, inverse_gain)).clamp(0, 1)


def to_display(linear: Tensor, camera: Camera, floor: float = 0.0) -> Tensor:
    """Convert linear camera RGB to display RGB: gains, clip, inverse matrix, clip, power 1/2.2.

    Args:
        linear: (B, ..., 3, H, W) linear camera RGB.
        camera: Colour of the B cameras.
        floor: Smallest value before the power function. A positive value limits the gradient in training.

    Returns:
        Tensor of the same shape, in 0..1.
    """
    x = (linear * _per_channel(camera.gains, linear)).clamp(0, 1)
    # Unlike inv, inv_ex does not synchronise with a GPU to check for a singular matrix.
    x = _mix(x, torch.linalg.inv_ex(camera.rgb_to_camera.double()).inverse.float())
    return x.clamp(floor, 1) ** (1 / GAMMA)


def _normalise_rows(matrix: Tensor) -> Tensor:
    return matrix / matrix.sum(-1, keepdim=True)


def _broadcast(per_item: Tensor, x: Tensor) -> Tensor:
    return per_item.reshape(-1, *([1] * (x.ndim - 1)))


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).reshape(values.shape[0], *([1] * (x.ndim - 4)), 3, 1, 1)


def _mix(x: Tensor, matrices: Tensor) -> Tensor:
    return torch.einsum("bij,b...jhw->b...ihw", matrices.to(x.dtype), x)
