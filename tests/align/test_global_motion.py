"""Global motion: known shifts and rotations under high noise, unrelated frames, scenes without detail."""

import math
from pathlib import Path

import pytest
import torch

from burstfix.align.blocks import gray_features, match_blocks
from burstfix.align.global_motion import initial_offsets
from burstfix.analysis.burst import gray_picture
from burstfix.io import read_frame
from burstfix.types import GlobalMotion
from tests.align.motions import HIGH_READ_VARIANCE, HIGH_SHOT_GAIN, motion_between, packed_frame, view
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
        GlobalMotion(0.9, 1.1, 0.0),
        GlobalMotion(-5.3, 3.6, 0.0),
    ],
)
def test_global_motion_when_noise_is_high_then_the_error_is_a_fraction_of_a_pixel(scene, motion):
    reference = packed_frame(view(scene, GlobalMotion(), HEIGHT, WIDTH), 1)[0].mean(0)
    frame = packed_frame(view(scene, motion, HEIGHT, WIDTH), 2)[0].mean(0)
    found = motion_between(reference, frame)
    assert abs(found.dy - motion.dy) < 0.2
    assert abs(found.dx - motion.dx) < 0.2
    assert abs(found.angle - motion.angle) < math.radians(0.02)
    assert found.confidence > 0.8


def test_global_motion_when_frames_are_unrelated_then_confidence_is_low(scene):
    reference = packed_frame(view(scene, GlobalMotion(), HEIGHT, WIDTH), 1)[0].mean(0)
    other = packed_frame(view(0.4 * draw_scene(HEIGHT, WIDTH, 77), GlobalMotion(), HEIGHT, WIDTH), 2)[0].mean(
        0
    )
    assert motion_between(reference, other).confidence < 0.4


def test_global_motion_when_the_scene_is_empty_then_there_is_no_motion_and_high_confidence():
    frames = [packed_frame(torch.full((3, 400, 500), 0.2), seed)[0].mean(0) for seed in (1, 2)]
    found = motion_between(*frames)
    assert (found.dy, found.dx, found.angle) == (0, 0, 0)
    assert found.confidence > 0.8


def test_global_motion_when_an_object_moves_on_its_own_then_the_motion_is_that_of_the_background(scene):
    motion = GlobalMotion(4.7, -3.1)
    reference, moved = view(scene, GlobalMotion(), HEIGHT, WIDTH), view(scene, motion, HEIGHT, WIDTH)
    moving_object = 0.4 * draw_scene(200, 240, 9)
    reference[:, 200:400, 300:540], moved[:, 212:412, 290:530] = moving_object, moving_object
    found = motion_between(*(packed_frame(rgb, k)[0].mean(0) for k, rgb in enumerate((reference, moved))))
    assert abs(found.dy - motion.dy) < 0.2 and abs(found.dx - motion.dx) < 0.2


def night_sky(dy: float, dx: float, seed: int) -> torch.Tensor:
    """Return a grey packed picture (160, 200) of faint stars, shifted by packed pixels."""
    generator = torch.Generator().manual_seed(5)
    ys, xs, peaks = (torch.rand(60, generator=generator) for _ in range(3))
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(200.0), indexing="ij")
    light = torch.full((160, 200), 0.01)
    for star_y, star_x, peak in zip(ys * 160, xs * 200, peaks**3, strict=True):
        light += 0.3 * peak * torch.exp(-((y - star_y - dy) ** 2 + (x - star_x - dx) ** 2) / (2 * 0.8**2))
    noise = torch.randn(light.shape, generator=torch.Generator().manual_seed(seed))
    return light + 0.003 * noise


@pytest.mark.parametrize(("dy", "dx"), [(-2.66, -1.79), (1.26, 0.02), (0.5, -0.5), (-5.12, -7.98)])
def test_global_motion_when_there_are_only_stars_then_fractional_shifts_are_found(dy, dx):
    found = motion_between(night_sky(0, 0, 1), night_sky(dy, dx, 2))
    assert (found.dy, found.dx) == (pytest.approx(2 * dy, abs=0.2), pytest.approx(2 * dx, abs=0.2))


def test_global_motion_when_real_stars_are_aligned_then_errors_are_below_a_fifth_of_a_pixel(
    shared_data: Path,
):
    folder = shared_data / "bursts" / "stars"
    rows = [line.split("\t") for line in (folder / "shifts.tsv").read_text().splitlines()[1:]]
    grays = {name: gray_picture(read_frame(folder / name)) for name, *_ in rows}
    for name, dy, dx in rows:
        found = motion_between(grays["stars_05.dng"], grays[name])
        # The file lists shifts from the frame to the reference.
        assert found.dy == pytest.approx(-float(dy), abs=0.2), name
        assert found.dx == pytest.approx(-float(dx), abs=0.2), name


def test_initial_offsets_when_the_frame_is_shifted_then_they_are_half_the_shift_everywhere():
    field = initial_offsets(GlobalMotion(dy=20, dx=-8), 30, 41, 8)
    assert field.shape == (1, 2, 4, 6)
    torch.testing.assert_close(field, torch.tensor([10.0, -4.0]).reshape(1, 2, 1, 1).expand_as(field))


def test_initial_offsets_when_the_frame_is_rotated_then_points_move_as_documented():
    angle = math.radians(2)
    field = initial_offsets(GlobalMotion(angle=angle), 160, 160, 8)
    # On both axes, the centre of the top left cell is 76 packed pixels from the centre of the picture.
    expected = torch.tensor(
        [-76 * (math.cos(angle) + math.sin(angle)) + 76, -76 * (math.cos(angle) - math.sin(angle)) + 76]
    )
    torch.testing.assert_close(field[0, :, 0, 0], expected)


@pytest.mark.parametrize("degrees", [-1.5, 1.5])
def test_initial_offsets_when_a_frame_is_rotated_then_blocks_are_found_there(degrees):
    motion = GlobalMotion(6.0, -10.0, math.radians(degrees))
    scene = 0.4 * draw_scene(500, 560, 2)
    reference, frame = (
        packed_frame(view(scene, m, 320, 400), k) for k, m in enumerate((GlobalMotion(), motion))
    )
    expected = initial_offsets(motion, 160, 200)
    grays = [gray_features(planes, HIGH_SHOT_GAIN, HIGH_READ_VARIANCE) for planes in (reference, frame)]
    found = match_blocks(grays[0], grays[1], torch.zeros_like(expected)).offsets
    # Ignore the border, where blocks lie partly outside the picture.
    error = (found - expected)[..., 3:-3, 3:-3].abs()
    assert float(error.median()) < 0.6 and float((error < 1.5).float().mean()) > 0.9
