"""The batched simulator for training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from burstfix.sim import SimSettings, SimulatedBurst, add_noise, mosaic_packed, simulate_burst, to_display
from burstfix.sim.motion import MotionSettings, blob_masks
from tests.scenes import draw_scene

STILL = MotionSettings(shift=0, jitter=0, rotation=0, zoom=0, perspective=0)


def simulate(settings: SimSettings, seed: int = 0, batch: int = 4, frames: int = 3) -> SimulatedBurst:
    pictures = torch.stack([draw_scene(96, 96, seed=k) ** (1 / 2.2) for k in range(batch)])
    generator = torch.Generator().manual_seed(seed)
    return simulate_burst(
        pictures,
        pictures.flip(3),
        frames=frames,
        reference=1,
        height=48,
        width=40,
        settings=settings,
        generator=generator,
    )


def test_simulate_burst_when_simulated_then_shapes_and_ranges_are_valid() -> None:
    burst = simulate(SimSettings())
    assert burst.clean.shape == (4, 3, 3, 48, 40)
    assert burst.noisy.shape == (4, 3, 4, 24, 20)
    assert burst.shot_gain.shape == burst.read_variance.shape == (4, 1, 4, 1, 1)
    assert burst.clean.min() >= 0 and burst.clean.max() <= 1 and burst.noisy.max() <= 1
    assert (burst.shot_gain >= 1e-4).all() and (burst.shot_gain <= 1e-2).all()
    assert (burst.read_variance.sqrt() >= 1e-3).all() and (
        burst.read_variance.sqrt() <= 10**-1.5 + 1e-6
    ).all()


def test_simulate_burst_when_the_seed_is_equal_then_bursts_are_equal() -> None:
    one, again, other = simulate(SimSettings(), 3), simulate(SimSettings(), 3), simulate(SimSettings(), 4)
    assert torch.equal(one.noisy, again.noisy) and torch.equal(one.clean, again.clean)
    assert not torch.equal(one.noisy, other.noisy)


def test_simulate_burst_when_nothing_moves_then_frames_are_equal() -> None:
    burst = simulate(SimSettings(motion=STILL, object_probability=0))
    for k in (0, 2):
        torch.testing.assert_close(burst.clean[:, k], burst.clean[:, 1])


def test_simulate_burst_when_an_object_moves_then_part_of_the_picture_changes() -> None:
    burst = simulate(SimSettings(motion=STILL, object_probability=1, object_speed=8), batch=8)
    changed = ((burst.clean[:, 2] - burst.clean[:, 1]).abs().amax(1) > 0.01).float().mean((1, 2))
    # Objects cover a tenth to a half of the source, so the batch has pixels with and without them.
    assert (changed > 0.02).float().mean() > 0.5 and changed.min() < 0.9


def test_simulate_burst_when_exposure_is_full_then_display_shows_the_photograph() -> None:
    settings = SimSettings(motion=STILL, object_probability=0, darkening=(1, 1), magnify=(1, 1))
    burst = simulate(settings)
    shown = to_display(burst.clean[:, 1], burst.camera)
    for k in range(4):
        source = draw_scene(96, 96, seed=k)[:, 24:72, 28:68] ** (1 / 2.2)
        curve = 0.5 - torch.sin(torch.asin(1 - 2 * source) / 3)  # for bursts with an inverted tone curve
        assert min((shown[k] - source).abs().mean(), (shown[k] - curve).abs().mean()) < 0.01


def test_simulate_burst_when_black_is_clipped_then_nothing_is_negative() -> None:
    dark = SimSettings(darkening=(0.01, 0.01), read_std=(0.03, 0.03))
    assert simulate(replace(dark, clip_black_probability=1.0)).noisy.min() == 0
    assert simulate(replace(dark, clip_black_probability=0.0)).noisy.min() < 0


def test_mosaic_packed_when_each_channel_is_flat_then_planes_are_in_rggb_order() -> None:
    rgb = torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand(3, 4, 6)
    assert mosaic_packed(rgb)[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.2, 0.3])


def test_add_noise_when_measured_then_variance_follows_the_model_and_black_is_not_clipped() -> None:
    packed = torch.tensor([0.0, 0.2, 0.5, 0.8])[:, None, None].expand(4, 300, 300)
    noisy = add_noise(packed, torch.tensor(6.4e-3), torch.tensor(4e-4), torch.Generator().manual_seed(1))
    expected = 6.4e-3 * packed[:, 0, 0] + 4e-4
    torch.testing.assert_close(noisy.var((1, 2)), expected, rtol=0.03, atol=0)
    assert noisy[0].min() < -0.05  # add_noise does not clip at black


def test_blob_masks_when_random_then_they_cover_a_tenth_to_a_half() -> None:
    cover = blob_masks(32, 96, torch.Generator().manual_seed(0)).mean((1, 2, 3))
    assert cover.min() > 0.07 and cover.max() < 0.53
