"""Block matching: known motion under high noise, moving objects, flat areas, batches."""

import math

import pytest
import torch

from burstfix.align.blocks import gray_features, match_blocks
from burstfix.align.gather import gather_cells
from burstfix.align.global_motion import initial_offsets
from burstfix.types import GlobalMotion
from tests.align.motions import HIGH_READ_VARIANCE, HIGH_SHOT_GAIN, motion_between, packed_frame, view
from tests.scenes import add_noise, draw_scene

HEIGHT, WIDTH = 640, 800


def features(packed: torch.Tensor) -> torch.Tensor:
    return gray_features(packed, HIGH_SHOT_GAIN, HIGH_READ_VARIANCE)


@pytest.mark.parametrize("signal", [0.02, 0.1, 0.8])
def test_gray_features_when_signal_varies_then_noise_has_deviation_one(signal):
    planes = add_noise(torch.full((1, 4, 200, 200), signal), HIGH_SHOT_GAIN, HIGH_READ_VARIANCE, 0)
    per_plane = torch.full((1, 1, 4, 1, 1), HIGH_SHOT_GAIN), torch.full((1, 1, 4, 1, 1), HIGH_READ_VARIANCE)
    assert float(features(planes).std()) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(gray_features(planes, *per_plane), features(planes))


def test_gray_features_when_there_is_no_shot_noise_then_finite_and_linear():
    planes = torch.linspace(-0.1, 1, 64).reshape(1, 1, 8, 8).expand(1, 4, 8, 8)
    torch.testing.assert_close(gray_features(planes, 0.0, 1e-4), planes[:, :1] / 0.005)


@pytest.mark.parametrize(
    "motion", [GlobalMotion(200, -150, math.radians(1)), GlobalMotion(-90, 200, math.radians(-1))]
)
def test_match_when_a_noisy_frame_is_shifted_and_rotated_then_the_field_is_accurate(motion):
    scene = 0.4 * draw_scene(HEIGHT + 200, WIDTH + 200, 1)
    reference = packed_frame(view(scene, GlobalMotion(), HEIGHT, WIDTH), 1)
    frame = packed_frame(view(scene, motion, HEIGHT, WIDTH), 2)
    found = motion_between(reference[0].mean(0), frame[0].mean(0))
    start = initial_offsets(found, HEIGHT // 2, WIDTH // 2, 8)
    field = match_blocks(features(reference), features(frame), start).offsets[0]
    truth = initial_offsets(motion, HEIGHT // 2, WIDTH // 2, 8)[0]
    # Check only the cells that lie inside the frame.
    ys, xs = torch.meshgrid(torch.arange(40) * 8 + 4, torch.arange(50) * 8 + 4, indexing="ij")
    y, x = ys + truth[0], xs + truth[1]
    seen = (y > 12) & (y < HEIGHT / 2 - 12) & (x > 12) & (x < WIDTH / 2 - 12)
    error = (field - truth).abs().amax(0)[seen]
    # Fine periodic texture also matches at other offsets, and flat parts at any offset.
    assert (error <= 1.0).float().mean() > 0.85


def test_match_when_an_object_moves_in_front_of_a_static_background_then_both_motions_are_found():
    torch.manual_seed(3)
    texture = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 264, 264), 5, 1, 2) * 1.5 - 0.5
    moving_object = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 40, 40), 5, 1, 2) * 1.5 - 0.5
    clean = texture.clamp(0, 1).expand(1, 4, 264, 264).clone()
    moved = clean.clone()
    clean[..., 104:144, 104:144] = moving_object.clamp(0, 1)
    moved[..., 111:151, 98:138] = moving_object.clamp(0, 1)
    noisy = [add_noise(x, HIGH_SHOT_GAIN, HIGH_READ_VARIANCE, k) for k, x in enumerate((clean, moved))]
    field = match_blocks(features(noisy[0]), features(noisy[1]), torch.zeros(1, 2, 33, 33)).offsets[0]
    inside = field[:, 14:17, 14:17].flatten(1).t().tolist()
    assert inside == [[7, -6]] * 9
    assert (field[:, :10] == 0).float().mean() > 0.98


def test_match_when_there_is_only_noise_then_the_field_is_smooth():
    pictures = torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    field = match_blocks(pictures[:1], pictures[1:], torch.full((1, 2, 32, 32), 5.0)).offsets
    jumps = torch.cat([field.diff(dim=-1).abs().flatten(), field.diff(dim=-2).abs().flatten()])
    assert jumps.float().mean() < 0.5


def test_match_when_pictures_are_batched_then_results_equal_those_of_single_pictures():
    pictures = torch.nn.functional.avg_pool2d(torch.randn(4, 1, 70, 62), 3, 1) * 3
    moved = pictures.roll((2, -3), (2, 3))
    start = torch.zeros(4, 2, 9, 8)
    together = match_blocks(pictures, moved, start).offsets
    assert together.shape == (4, 2, 9, 8)
    for k in range(4):
        assert torch.equal(
            together[k : k + 1], match_blocks(pictures[k : k + 1], moved[k : k + 1], start[:1]).offsets
        )
    aligned = gather_cells(moved, together, 8)[..., 16:48, 16:48]
    torch.testing.assert_close(aligned, pictures[..., 16:48, 16:48])
