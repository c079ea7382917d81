"""The response of each loss term to errors."""

import math

import pytest
import torch

from burstfix.models.base import Merged
from burstfix.models.losses import CHARBONNIER, LossSettings, TrainingBatch, kernel_losses, picture_losses
from burstfix.sim import to_display
from burstfix.sim.camera import protocol_camera

NOTHING = CHARBONNIER**0.5  # value of a Charbonnier loss without errors


def batch_at(level: float, read_std: float = 1e-4, step: int = 0, **settings: float) -> TrainingBatch:
    truth, camera = torch.full((2, 3, 4, 4), level), protocol_camera(2)
    return TrainingBatch(
        frames=torch.zeros(2, 1, 4, 2, 2),
        clean_frames=None,
        truth=truth,
        truth_mosaic=torch.full((2, 4, 2, 2), level),
        shot_gain=torch.full((2, 1, 4, 1, 1), 1e-5),
        read_variance=torch.full((2, 1, 4, 1, 1), read_std**2),
        reference=0,
        display=lambda linear, floor: to_display(linear, camera, floor),
        white_balance=camera.gains,
        margin=2,
        step=step,
        progress=0.0,
        settings=LossSettings(**settings),
    )


def losses_at(level: float, error: float, read_std: float = 1e-4, **settings: float) -> dict[str, float]:
    batch = batch_at(level, read_std, **settings)
    found = picture_losses(batch.truth + error, batch)
    return {name: value.item() for name, value in found.items()}


def test_picture_losses_when_deep_shadows_are_wrong_then_only_the_raised_loss_grows():
    found = losses_at(3e-4, 1e-4, raised=1.0)
    assert found["linear"] == pytest.approx(NOTHING, rel=0.01)
    assert found["display"] == pytest.approx(NOTHING, rel=0.01)
    assert found["raised"] > 10 * NOTHING


def test_picture_losses_when_shadows_are_only_noise_then_they_are_not_brightened():
    found = losses_at(3e-3, 1e-3, read_std=0.05, raised=1.0)
    assert found["raised"] == pytest.approx(found["display"])
    assert losses_at(3e-3, 1e-3, raised=1.0)["raised"] > 2 * found["display"]


def test_picture_losses_when_the_patch_is_bright_then_the_raised_loss_equals_the_display_loss():
    found = losses_at(0.3, 0.05, raised=0.5)
    assert found["display"] > 10 * NOTHING
    assert found["raised"] == pytest.approx(0.5 * found["display"])


def test_picture_losses_when_the_raised_weight_is_zero_then_the_term_is_missing():
    assert set(losses_at(3e-4, 1e-4)) == {"linear", "display"}


def test_picture_losses_when_under_bfloat16_autocast_then_small_errors_still_count():
    with torch.autocast("cpu", torch.bfloat16):
        mixed = losses_at(0.5, 5e-4, raised=1.0)
    assert mixed == losses_at(0.5, 5e-4, raised=1.0)


@pytest.mark.parametrize("error", [0.01, 0.1])
def test_picture_losses_when_psnr_has_a_weight_then_the_loss_is_its_difference_to_60_db(error):
    found = losses_at(0.3, error, psnr=0.1)
    right, wrong = (
        to_display(torch.full((2, 3, 4, 4), level), protocol_camera(2)) for level in (0.3, 0.3 + error)
    )
    lacking = 60 + 10 * math.log10((wrong - right).square().mean().item())
    assert found["psnr"] == pytest.approx(0.1 * lacking, rel=0.01)


def test_picture_losses_when_the_error_is_a_tenth_then_the_psnr_gradient_is_ten_times_as_large():
    def slope(error: float) -> float:
        step = 0.01 * error
        return (
            losses_at(0.5, error + step, psnr=1.0)["psnr"] - losses_at(0.5, error, psnr=1.0)["psnr"]
        ) / step

    assert slope(3e-3) == pytest.approx(10 * slope(3e-2), rel=0.1)


@pytest.mark.parametrize(("step", "weight"), [(0, 3.0), (50, 0.3), (100, 0.03), (1000, None)])
def test_kernel_losses_when_steps_pass_then_the_loss_of_single_parts_fades(step, weight):
    batch = batch_at(0.25, step=step, annealing=3.0, annealing_steps=100)
    right = batch.truth_mosaic
    alone = torch.stack([right, right * 0.5], 1)  # one of two parts is wrong
    found = kernel_losses(Merged(rgb=batch.truth, mosaic=right, extra={"alone": alone}), batch)
    assert found["mosaic"].item() == pytest.approx(batch.settings.mosaic * NOTHING)
    if weight is None:
        assert "alone" not in found
    else:
        error = 0.25 ** (1 / 2.2) - 0.125 ** (1 / 2.2)
        assert found["alone"].item() == pytest.approx(weight * (error + NOTHING) / 2, rel=1e-3)
