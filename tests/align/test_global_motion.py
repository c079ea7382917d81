"""Global motion: known shifts and rotations under high noise, unrelated frames, empty scenes."""

import math

import pytest
import torch

from burstfix.align.global_motion import estimate_global_motion, initial_offsets
from burstfix.types import GlobalMotion
from tests.align.motions import packed_frame, view
from tests.scenes import draw_scene

HEIGHT, WIDTH = 640, 800


@pytest.fixture(scope="module")
def scene():
    return 0.4 * draw_scene(HEIGHT + 200, WIDTH + 200, 1)


@pytest.mark.parametrize(
    "motion",
    [
        GlobalMotion(0.0, 0.0, 0.0),
        GlobalMotion(200.0, -150.0, math.radians(1.0)),
        GlobalMotion(-121.3, 200.0, math.radians(-1.0)),
        GlobalMotion(3.4, -2.6, math.radians(2.0)),
    ],
)
def test_global_motion_when_noise_is_high_then_recovered_to_a_pixel(scene, motion):
    reference = packed_frame(view(scene, GlobalMotion(), HEIGHT, WIDTH), 1)[0].mean(0)
    frame = packed_frame(view(scene, motion, HEIGHT, WIDTH), 2)[0].mean(0)
    found = estimate_global_motion(reference, frame)
    assert abs(found.dy - motion.dy) < 1
    assert abs(found.dx - motion.dx) < 1
    assert abs(found.angle - motion.angle) < math.radians(0.1)
    assert found.confidence > 0.8


def test_global_motion_when_frames_are_unrelated_then_confidence_is_low(scene):
    reference = packed_frame(view(scene, GlobalMotion(), HEIGHT, WIDTH), 1)[0].mean(0)
    other = packed_frame(view(0.4 * draw_scene(HEIGHT, WIDTH, 77), GlobalMotion(), HEIGHT, WIDTH), 2)[0].mean(
        0
    )
    assert estimate_global_motion(reference, other).confidence < 0.4


def test_global_motion_when_scene_is_empty_then_no_motion_and_nothing_against_it():
    frames = [packed_frame(torch.full((3, 400, 500), 0.2), seed)[0].mean(0) for seed in (1, 2)]
    found = estimate_global_motion(*frames)
    assert (found.dy, found.dx, found.angle) == (0, 0, 0)
    assert found.confidence > 0.8


def test_initial_offsets_when_frame_is_shifted_then_half_the_shift_everywhere():
    field = initial_offsets(GlobalMotion(dy=20, dx=-8), 30, 41, 8)
    assert field.shape == (1, 2, 4, 6)
    torch.testing.assert_close(field, torch.tensor([10.0, -4.0]).reshape(1, 2, 1, 1).expand_as(field))


def test_initial_offsets_when_frame_is_rotated_then_points_move_as_the_type_says():
    angle = math.radians(2)
    field = initial_offsets(GlobalMotion(angle=angle), 160, 160, 8)
    # The cell in the top left corner has its centre 76 packed pixels from the picture's on both axes.
    expected = torch.tensor(
        [-76 * (math.cos(angle) + math.sin(angle)) + 76, -76 * (math.cos(angle) - math.sin(angle)) + 76]
    )
    torch.testing.assert_close(field[0, :, 0, 0], expected)
