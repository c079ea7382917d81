"""Simulate batches of noisy packed bursts with ground truth for training, on any device."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from burstfix.raw.cfa import mosaic, pack
from burstfix.sim.camera import Camera, random_camera, unprocess
from burstfix.sim.motion import MotionSettings, blob_masks, camera_path, warp


@dataclass(frozen=True, slots=True)
class SimSettings:
    """Distributions of the random properties of a burst. Pairs are ranges.

    Attributes:
        motion: Motion of the camera.
        object_probability: Probability of an independently moving object.
        object_speed: Largest motion of the object between frames, in sensor pixels.
        magnify: Source pixels per sensor pixel.
        darkening: Range of the exposure factor, log-uniform. It applies to half of the bursts.
        shot_gain: Range of the shot gain, log-uniform, in normalised units.
        read_std: Range of the standard deviation of read noise, log-uniform, in normalised units.
        clip_black_probability: Probability that values below black are clipped.
    """

    motion: MotionSettings = field(default_factory=MotionSettings)
    object_probability: float = 0.5
    object_speed: float = 5.0
    magnify: tuple[float, float] = (0.9, 1.6)
    darkening: tuple[float, float] = (0.08, 1.0)
    shot_gain: tuple[float, float] = (1e-4, 1e-2)
    read_std: tuple[float, float] = (1e-3, 10**-1.5)
    clip_black_probability: float = 0.6


@dataclass(frozen=True, slots=True)
class SimulatedBurst:
    """A batch of bursts.

    Attributes:
        clean: (B, N, 3, H, W) linear camera RGB in 0..1, RGGB phase.
        noisy: (B, N, 4, H/2, W/2) packed; at most 1, and below 0 only if black is not clipped.
        shot_gain, read_variance: (B, 1, 4, 1, 1) noise profiles.
        camera: Colour of the B cameras.
        reference: Index of the reference.
    """

    clean: Tensor
    noisy: Tensor
    shot_gain: Tensor
    read_variance: Tensor
    camera: Camera
    reference: int

    def to(self, device: torch.device) -> SimulatedBurst:
        """Copy the bursts to another device."""
        camera = Camera(self.camera.rgb_to_camera.to(device), self.camera.gains.to(device))
        return SimulatedBurst(
            self.clean.to(device),
            self.noisy.to(device),
            self.shot_gain.to(device),
            self.read_variance.to(device),
            camera,
            self.reference,
        )


def simulate_burst(
    pictures: Tensor,
    objects: Tensor,
    *,
    frames: int,
    reference: int,
    height: int,
    width: int,
    settings: SimSettings,
    generator: torch.Generator,
) -> SimulatedBurst:
    """Render bursts with random cameras, motion, exposure and noise.

    Args:
        pictures: (B, 3, Hs, Ws) display RGB in 0..1, larger than the frames times `settings.magnify`.
        objects: Pictures of the same shape that are used as textures of the moving objects.
        frames: Number of frames in each burst.
        reference: Index of the reference.
        height, width: Size of a frame in sensor pixels, even.
        settings: Distributions.
        generator: Source of all random numbers. The computation runs on its device.
    """
    batch = pictures.shape[0]
    device = generator.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    camera = random_camera(batch, generator)
    tone = uniform(batch) < 0.7
    source = unprocess(pictures, camera, tone)
    exposure = log_uniform(settings.darkening, uniform(batch))
    exposure = torch.where(uniform(batch) < 0.5, exposure, torch.ones_like(exposure))
    magnify = settings.magnify[0] + (settings.magnify[1] - settings.magnify[0]) * uniform(batch)

    path = camera_path(batch, frames, reference, settings.motion, generator)
    clean = warp(source, path, height, width, magnify)

    mask = blob_masks(batch, pictures.shape[-1], generator)
    mask = mask * (uniform(batch) < settings.object_probability).float()[:, None, None, None]
    layer = torch.cat([unprocess(objects, camera, tone) * mask, mask], 1)
    time = torch.arange(frames, device=device).float() - reference
    own = settings.object_speed * uniform(batch, 1, 1) * _directions(uniform(batch))[:, None]
    object_path = path.clone()
    object_path[..., :2, 2] += own * time[None, :, None]
    moved = warp(layer, object_path, height, width, magnify)
    clean = clean * (1 - moved[:, :, 3:]) + moved[:, :, :3]
    clean = (clean * exposure[:, None, None, None, None]).clamp(0, 1)

    shot = log_uniform(settings.shot_gain, uniform(batch))
    read = log_uniform(settings.read_std, uniform(batch)) ** 2
    shot_gain = shot.reshape(batch, 1, 1, 1, 1).expand(batch, 1, 4, 1, 1)
    read_variance = read.reshape(batch, 1, 1, 1, 1).expand(batch, 1, 4, 1, 1)
    noisy = add_noise(mosaic_packed(clean), shot_gain, read_variance, generator)
    clipped = (uniform(batch) < settings.clip_black_probability)[:, None, None, None, None]
    noisy = torch.where(clipped, noisy.clamp(min=0), noisy)
    return SimulatedBurst(clean, noisy, shot_gain, read_variance, camera, reference)


def mosaic_packed(rgb: Tensor) -> Tensor:
    """Sample (..., 3, H, W) like an RGGB sensor, and pack the result: (..., 4, H/2, W/2)."""
    return pack(mosaic(rgb))


def add_noise(packed: Tensor, shot_gain: Tensor, read_variance: Tensor, generator: torch.Generator) -> Tensor:
    """Add normal noise of variance shot_gain * x + read_variance; clip at white, but not at black."""
    std = torch.sqrt(packed.clamp(min=0) * shot_gain + read_variance)
    noise = torch.randn(packed.shape, generator=generator, device=packed.device)
    return (packed + std * noise).clamp(max=1)


def log_uniform(bounds: tuple[float, float], uniform: Tensor) -> Tensor:
    """Map uniform numbers in 0..1 to log-uniform numbers within the bounds."""
    low, high = bounds
    return low * (high / low) ** uniform


def _directions(uniform: Tensor) -> Tensor:
    angle = 2 * torch.pi * uniform
    return torch.stack([torch.cos(angle), torch.sin(angle)], -1)
