from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.noise_estimate import estimate_from_burst, estimate_from_frame
from burstfix.raw.cfa import pack
from burstfix.sim.motion import warp
from burstfix.sim.recording import RecordingSettings, record_photo
from burstfix.sim.sources import read_picture
from burstfix.types import ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

HIGH, MID, LOW = (6.4e-3, 4e-4), (1.5e-3, 5e-5), (2e-4, 2e-6)
HEIGHT, WIDTH, MARGIN = 640, 800, 16
QUANTISATION = 1 / (16383 - 512) ** 2 / 12  # variance of rounding to 14 bits
# Misalignment in sensor pixels that remains after alignment to whole packed pixels.
SHIFTS = ((0.0, 0.0), (0.7, -0.4), (-0.9, 0.95))


def shoot(
    noise: tuple[float, float], *, brightness: float, bits: int, clip: bool, seed: int = 1
) -> list[Tensor]:
    """Return noisy packed frames of a moving synthetic scene, followed by the reference without noise."""
    size = (HEIGHT + 2 * MARGIN) // 2, (WIDTH + 2 * MARGIN) // 2
    # Blur as a lens does, to avoid aliasing.
    scene = F.interpolate(draw_scene(*size, seed)[None], scale_factor=2, mode="bicubic").clamp(0, 0.9)
    frames, steps = [], 2**bits - 1
    for k, (dy, dx) in enumerate(SHIFTS):
        transform = torch.eye(2, 3)[None]
        transform[0, :, 2] = torch.tensor([2 * dx / scene.shape[-1], 2 * dy / scene.shape[-2]])
        grid = F.affine_grid(transform, list(scene.shape), align_corners=False)
        view = F.grid_sample(scene, grid, mode="bicubic", align_corners=False)[0]
        view = view[:, MARGIN:-MARGIN, MARGIN:-MARGIN].clone()
        view[:, 200 + 60 * k : 320 + 60 * k, 100:260] = torch.tensor([0.5, 0.3, 0.1])[:, None, None]
        clean = mosaic_of(view * brightness)
        noisy = add_noise(clean, *noise, seed=100 * seed + k).clamp(max=1)
        noisy = (noisy.clamp(min=0) if clip else noisy).mul(steps).round() / steps
        frames.append(pack(noisy))
        if k == 0:
            reference = pack(clean)
    return [*frames, reference]


def busy_scene(height: int, width: int, seed: int) -> Tensor:
    """Return (3, height, width) in 0.01..0.9: texture at all scales, without flat areas."""
    generator = torch.Generator().manual_seed(seed)
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    frequency = torch.sqrt(fy**2 + fx**2)

    def field(low: float, high: float) -> Tensor:
        """Return noise of variance 1 with amplitude 1 / frequency from `low` to `high`, as in photographs."""
        band = torch.exp(-((frequency / high) ** 2)) / frequency.clamp(min=low)
        white = torch.randn(height, width, generator=generator)
        drawn = torch.fft.irfft2(torch.fft.rfft2(white) * band, s=(height, width))
        return (drawn - drawn.mean()) / drawn.std()

    shape, strength = field(0.003, 0.02), torch.exp(1.5 * field(0.003, 0.01) - 3)
    # Brightness is uniformly distributed in stops.
    stops = [1.2 * shape + 0.3 * field(0.003, 0.02) + strength * field(0.05, 0.4) for _ in range(3)]
    return (0.18 * torch.exp2(torch.stack(stops))).clamp(0.01, 0.9)


def shaken_frames(scene: Tensor, count: int, noise: tuple[float, float], seed: int) -> list[Frame]:
    """Return 14-bit frames of a scene with shifts, rotations and a moving object."""
    levels = Levels(np.array([[512.0]], np.float32), 16383.0)
    color = ColorProfile(np.eye(3), np.ones(3))
    height, width = scene.shape[-2] - 2 * MARGIN, scene.shape[-1] - 2 * MARGIN
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for k in range(count):
        angle, dy, dx = (torch.rand(3, generator=generator) * 2 - 1) * torch.tensor([0.004, 6.0, 6.0])
        motion = GlobalMotion(float(dy), float(dx), float(angle))
        matrix = torch.eye(3)
        matrix[0, 1], matrix[1, 0] = -motion.angle, motion.angle
        matrix[0, 2], matrix[1, 2] = motion.dx, motion.dy
        view = warp(scene[None], matrix[None, None], height, width, mode="bicubic")[0, 0].clamp(0, 1)
        view[:, 100 + 20 * k : 190 + 20 * k, 60:150] = torch.tensor([0.5, 0.3, 0.1])[:, None, None]
        noisy = add_noise(mosaic_of(view), *noise, seed=50 * seed + k)
        values = (512 + noisy * (16383 - 512)).round().clamp(0, 16383).numpy().astype(np.uint16)
        frames.append(
            Frame(values, FrameMetadata(Path(f"busy{k}.dng"), height, width, "RGGB", levels, color))
        )
    return frames


def worst_ratio(profile: NoiseProfile, noise: tuple[float, float], clean: Tensor) -> float:
    """Return the largest ratio of estimated and true standard deviation at the signals of all planes."""
    worst = 1.0
    for plane, gain, read in zip(clean, profile.shot_gain, profile.read_variance, strict=True):
        for signal in plane.flatten()[::5].quantile(torch.tensor([0.02, 0.25, 0.5, 0.75, 0.98])).tolist():
            ratio = ((gain * signal + read) / (noise[0] * signal + noise[1])) ** 0.5
            worst = max(worst, ratio, 1 / ratio)
    return worst


CASES = [
    pytest.param(
        noise, brightness, bits, clip, id=f"{name}-{brightness}-{bits}bit-{'clipped' if clip else 'whole'}"
    )
    for name, noise in (("high", HIGH), ("mid", MID), ("low", LOW))
    for brightness, bits, clip in ((1.0, 14, False), (0.1, 12, True), (0.03, 12, True), (0.1, 10, True))
]


@pytest.mark.parametrize(("noise", "brightness", "bits", "clip"), CASES)
def test_estimates_when_the_burst_is_simulated_then_they_are_close_to_the_truth(
    noise, brightness, bits, clip
):
    *frames, clean = shoot(noise, brightness=brightness, bits=bits, clip=clip)
    burst = estimate_from_burst(frames[0], torch.stack(frames[1:])).profile
    assert burst.source == "burst"
    assert worst_ratio(burst, noise, clean) < 1.2
    single = estimate_from_frame(frames[0]).profile
    assert single.source == "frame"
    assert worst_ratio(single, noise, clean) < 1.35


def night_sky(count: int, noise: tuple[float, float], black: float) -> list[Tensor]:
    """Return packed frames of a sky with stars that drift, followed by the first frame without noise.

    Args:
        count: Number of noisy frames.
        noise: Shot gain and read variance.
        black: Signal of an unexposed pixel: error of the black level.
    """
    height, width = 160, 240
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(60, 2, generator=generator) * torch.tensor([height, width])
    peaks = (0.004 / torch.rand(60, generator=generator)).clamp(max=0.5)
    sky = torch.tensor([0.0090, 0.0113, 0.0113, 0.0082])[:, None, None]
    frames = []
    for k in range(count):
        offset = torch.tensor([0.37, 0.71]) * k % 1 - 0.5
        down = torch.arange(height) - (places + offset)[:, :1]
        right = torch.arange(width) - (places + offset)[:, 1:]
        stars = torch.einsum(
            "n,ny,nx->yx", peaks, torch.exp(-down.square() / 3), torch.exp(-right.square() / 3)
        )
        clean = sky + stars
        noisy = add_noise(clean - black, *noise, seed=k) + black
        frames.append(noisy)
        if k == 0:
            first = clean
    return [*frames, first]


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("black", [0.0, 0.0026])
def test_estimate_from_burst_when_the_scene_is_a_night_sky_then_the_variance_of_the_sky_is_right(
    count, black
):
    gain, read = 2e-4, 1e-7
    *frames, clean = night_sky(count, (gain, read), black)
    found = estimate_from_burst(frames[0], torch.stack(frames[1:])).profile
    for plane in range(4):
        sky = float(clean[plane].median())
        measured = found.shot_gain[plane] * sky + found.read_variance[plane]
        assert measured / (gain * (sky - black) + read) == pytest.approx(1, abs=0.15)


def test_estimate_from_burst_when_planes_differ_then_each_gets_its_own_noise():
    gains, reads = torch.tensor([4e-3, 1e-3, 1e-3, 2e-3]), torch.tensor([1e-4, 2e-5, 2e-5, 6e-5])
    ramp = torch.linspace(0.05, 0.8, 300).expand(4, 240, 300)
    generator = torch.Generator().manual_seed(0)
    std = (gains[:, None, None] * ramp + reads[:, None, None]).sqrt()
    frames = [ramp + std * torch.randn(ramp.shape, generator=generator) for _ in range(3)]
    found = estimate_from_burst(frames[0], torch.stack(frames[1:])).profile
    for plane in range(4):
        for signal in (0.05, 0.4, 0.8):
            true = float(gains[plane] * signal + reads[plane])
            measured = found.shot_gain[plane] * signal + found.read_variance[plane]
            assert (measured / true) ** 0.5 == pytest.approx(1, abs=0.12)


def test_estimate_from_burst_when_noise_is_measured_then_the_points_lie_near_the_fitted_line():
    ramp = torch.linspace(0.05, 0.8, 300).expand(4, 240, 300)
    frames = [add_noise(ramp, 4e-3, 1e-4, seed) for seed in range(3)]
    found = estimate_from_burst(frames[0], torch.stack(frames[1:]))
    assert len(found.signal) == len(found.variance) > 40  # four planes with up to 20 ranges of signals each
    line = np.mean(found.profile.shot_gain) * found.signal + np.mean(found.profile.read_variance)
    assert np.median(np.abs(np.log(found.variance / line))) < 0.1


def test_estimate_from_burst_when_highlights_are_clipped_then_they_are_ignored():
    ramp = torch.linspace(0.02, 1.6, 400).expand(4, 200, 400)
    frames = [add_noise(ramp, 4e-3, 1e-4, seed).clamp(0, 1) for seed in range(3)]
    found = estimate_from_burst(frames[0], torch.stack(frames[1:])).profile
    assert worst_ratio(found, (4e-3, 1e-4), ramp.clamp(max=0.95)) < 1.2


@pytest.mark.parametrize(
    ("noise", "count"),
    [((2e-5, 1e-8), 5), ((5e-5, 9e-8), 3), ((1e-4, 2.5e-7), 2), ((1e-4, 2.5e-7), 8), ((1e-2, 9e-4), 2)],
)
def test_prepare_burst_when_the_scene_has_no_flat_areas_then_the_noise_is_close_to_the_truth(noise, count):
    scene = busy_scene(500 + 2 * MARGIN, 700 + 2 * MARGIN, seed=count)
    burst = prepare_burst(shaken_frames(scene, count, noise, seed=count), keep_all=True)
    assert burst.noise.source == "burst"
    clean = pack(mosaic_of(scene))
    assert worst_ratio(burst.noise, (noise[0], noise[1] + QUANTISATION), clean) < 1.2


@pytest.mark.parametrize("frame", [torch.zeros(4, 6, 40), torch.ones(4, 64, 64), torch.zeros(4, 64, 64)])
def test_estimates_when_noise_cannot_be_measured_then_they_raise_value_error(frame):
    with pytest.raises(ValueError, match="estimate noise"):
        estimate_from_burst(frame, frame[None])
    with pytest.raises(ValueError, match="estimate noise"):
        estimate_from_frame(frame)


@pytest.mark.parametrize(
    ("photo", "noise", "frames"),
    [
        ("045", (2e-5, 1e-8), 4),
        ("153", (5e-5, 9e-8), 5),
        ("171", (1e-4, 2.5e-7), 5),
        ("189", (4e-4, 1e-6), 3),
        ("009", (1e-4, 2.5e-7), 3),
        ("207", (1e-2, 9e-4), 2),
    ],
)
def test_prepare_burst_when_simulated_from_a_photograph_then_the_noise_is_close_to_the_truth(
    photo, noise, frames, shared_data
):
    settings = RecordingSettings(
        frames=frames,
        bits=14,
        shot_gain=noise[0],
        read_variance=noise[1],
        moving_object=True,
        seed=int(photo),
    )
    recording = record_photo(read_picture(shared_data / "photos" / "val" / f"{photo}.png"), settings)
    levels = Levels(np.array([[float(settings.black)]], np.float32), float(settings.white))
    color = ColorProfile(np.eye(3), np.ones(3))
    height, width = recording.mosaics.shape[1:]
    metadata = FrameMetadata(Path("photo.dng"), height, width, "RGGB", levels, color)
    burst = prepare_burst([Frame(mosaic, metadata) for mosaic in recording.mosaics], keep_all=True)
    clean = pack(mosaic_of(recording.truth)).clamp(max=0.95)
    assert worst_ratio(burst.noise, (noise[0], noise[1] + QUANTISATION), clean) < 1.2
