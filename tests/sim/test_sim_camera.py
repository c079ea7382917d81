"""Unprocessing, compared with values computed by hand from the published settings of the REDS4 protocol."""

from __future__ import annotations

import math

import pytest
import torch

from burstfix.sim.camera import protocol_camera, random_camera, to_display, unprocess


def pixel(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).reshape(1, 3, 1, 1)


def test_protocol_camera_when_created_then_its_matrix_is_the_product_with_rows_that_sum_to_one() -> None:
    # XYZ2CAM x RGB2XYZ by hand: the first row, (0.354584, 0.126606, -0.052108), sums to 0.429082, and so on.
    expected = torch.tensor(
        [[0.826378, 0.295062, -0.121440], [0.109196, 0.917753, -0.026949], [0.035224, 0.244491, 0.720285]]
    )
    camera = protocol_camera()
    torch.testing.assert_close(camera.rgb_to_camera[0], expected, atol=2e-6, rtol=0)
    assert camera.gains[0].tolist() == pytest.approx([2.0, 1.0, 1.7])


def test_unprocess_when_grey_then_only_power_and_gains_apply() -> None:
    # smoothstep maps 0.5 to 0.5; 0.5 ** 2.2 = 0.217638; divided by 2, 1 and 1.7.
    linear = unprocess(pixel(0.5, 0.5, 0.5), protocol_camera()).flatten()
    assert linear.tolist() == pytest.approx([0.108819, 0.217638, 0.128022], abs=2e-6)


def test_unprocess_when_pure_red_then_the_result_is_the_first_column_over_the_gains() -> None:
    linear = unprocess(pixel(1.0, 0.0, 0.0), protocol_camera()).flatten()
    assert linear.tolist() == pytest.approx([0.413189, 0.109196, 0.020720], abs=2e-6)


def test_unprocess_when_near_white_then_gains_approach_one() -> None:
    # For linear grey 0.95, m = (0.05 / 0.1)^2 = 0.25; the factors are 0.25 + 0.75 / 2 = 0.625 and 0.25 + 0.75
    # / 1.7.
    v = 0.95 ** (1 / 2.2)
    x = 3 * v**2 - 2 * v**3
    linear = unprocess(pixel(x, x, x), protocol_camera()).flatten()
    assert linear.tolist() == pytest.approx([0.95 * 0.625, 0.95, 0.95 * 0.691176], abs=2e-5)


def test_unprocess_when_white_or_black_then_unchanged() -> None:
    for value in (0.0, 1.0):
        linear = unprocess(pixel(value, value, value), protocol_camera()).flatten()
        assert linear.tolist() == pytest.approx([value] * 3, abs=1e-6)


def test_unprocess_when_without_tone_curve_then_only_the_power_applies() -> None:
    linear = unprocess(pixel(0.3, 0.3, 0.3), protocol_camera(), tone=False).flatten()
    assert linear[1].item() == pytest.approx(0.3**2.2, abs=1e-6)


def test_unprocess_when_tone_differs_in_the_batch_then_each_has_its_own() -> None:
    both = unprocess(pixel(0.3, 0.3, 0.3).repeat(2, 1, 1, 1), protocol_camera(2), torch.tensor([True, False]))
    curve = 0.5 - math.sin(math.asin(1 - 2 * 0.3) / 3)
    assert both[:, 1, 0, 0].tolist() == pytest.approx([curve**2.2, 0.3**2.2], abs=1e-6)


def test_to_display_when_grey_then_the_result_equals_gains_and_power_by_hand() -> None:
    # to_display applies no smoothstep.
    shown = to_display(pixel(0.05, 0.1, 0.1 / 1.7), protocol_camera()).flatten()
    assert shown.tolist() == pytest.approx([0.1 ** (1 / 2.2)] * 3, abs=1e-6)


def test_to_display_when_red_clips_after_white_balance_then_clip_comes_before_the_matrix() -> None:
    # (0.6, 0.9924, 0.5442) -> gains (1.2, 0.9924, 0.9252) -> clip (1, 0.9924, 0.9252) -> matrix -> power.
    camera = protocol_camera()
    shown = to_display(pixel(0.6, 0.9924, 0.9252 / 1.7), camera).flatten().double()
    assert shown.max() < 1  # the second clip has no effect here
    back = camera.rgb_to_camera[0].double() @ shown**2.2
    assert back.tolist() == pytest.approx([1.0, 0.9924, 0.9252], abs=1e-5)


def test_to_display_when_unprocessed_without_tone_then_colours_are_restored() -> None:
    generator = torch.Generator().manual_seed(2)
    camera = random_camera(4, generator)
    # In mid-tones, values are not clipped and gains are unchanged.
    colours = 0.3 + 0.3 * torch.rand(4, 3, 5, 5, generator=generator)
    back = to_display(unprocess(colours, camera, tone=False), camera)
    torch.testing.assert_close(back, colours, atol=1e-5, rtol=0)


def test_random_camera_when_grey_is_converted_then_it_stays_grey() -> None:
    camera = random_camera(16, torch.Generator().manual_seed(0))
    torch.testing.assert_close(camera.rgb_to_camera.sum(-1), torch.ones(16, 3))
    assert (camera.gains[:, 1] == 1).all()
    assert camera.gains[:, 0].min() >= 1.5 and camera.gains[:, 2].max() <= 2.3
