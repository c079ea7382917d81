from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.hot_pixels import find_hot_pixels
from burstfix.cfa import CFA_PATTERNS
from burstfix.io import read_frame
from burstfix.types import ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

LEVELS = Levels(np.array([[64, 60], [66, 63]], np.float32), 1023.0)
NOISE = NoiseProfile((2e-3,) * 4, (1e-4,) * 4)
HEIGHT, WIDTH, REACH = 560, 180, 24  # more rows than in one strip


def frame_of(mosaic: torch.Tensor, cfa: str) -> Frame:
    height, width = mosaic.shape
    black = np.tile(LEVELS.black, (-(-height // 2), -(-width // 2)))[:height, :width]
    values = np.clip(np.rint(black + mosaic.numpy() * (LEVELS.white - black)), 0, 1023).astype(np.uint16)
    color = ColorProfile(np.eye(3), np.ones(3))
    return Frame(values, FrameMetadata(Path("drawn.dng"), height, width, cfa, LEVELS, color))


def shoot(count: int, step: int, cfa: str = "RGGB", defects: dict[tuple[int, int], float] | None = None):
    """Return frames of a synthetic scene that moves by `step` pixels per frame, all with the defects."""
    scene = draw_scene(HEIGHT + 2 * REACH, WIDTH + 2 * REACH, seed=5)
    frames, motions = [], []
    for k in range(count):
        move = step * (k - count // 2)
        view = scene[:, REACH - move : REACH - move + HEIGHT, REACH - move : REACH - move + WIDTH]
        mosaic = add_noise(mosaic_of(view, cfa), 2e-3, 1e-4, seed=k)
        for place, value in (defects or {}).items():
            mosaic[place] += value
        frames.append(frame_of(mosaic, cfa))
        motions.append(GlobalMotion(float(move), float(move)))
    return frames, motions


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_find_hot_pixels_when_the_camera_moves_then_exactly_the_defects_are_found(cfa):
    places = [(7, 9), (100, 50), (255, 31), (511, 77), (512, 120), (513, 60), (555, 170)]
    frames, motions = shoot(5, 5, cfa, dict.fromkeys(places, 0.5))
    found = find_hot_pixels(frames, NOISE, motions)
    assert found.dtype == np.int32
    assert [tuple(place) for place in found.tolist()] == places


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_find_hot_pixels_when_they_lie_at_the_border_then_they_are_found(cfa):
    bottom, right = HEIGHT - 1, WIDTH - 1
    places = [(0, 0), (0, 91), (1, 40), (1, right), (70, 0), (90, 1), (200, right), (300, right - 1)]
    places += [(bottom - 1, 60), (bottom, 1), (bottom, 120)]
    frames, motions = shoot(5, 5, cfa, dict.fromkeys(places, 0.5))
    assert [tuple(place) for place in find_hot_pixels(frames, NOISE, motions).tolist()] == places


def test_find_hot_pixels_when_the_burst_is_long_then_defects_in_all_frames_are_found():
    places = [(60, 60), (300, 90)]
    frames, motions = shoot(15, 3, defects=dict.fromkeys(places, 0.5))
    assert [tuple(place) for place in find_hot_pixels(frames, NOISE, motions).tolist()] == places


def test_find_hot_pixels_when_the_size_is_odd_then_the_last_row_and_column_are_searched():
    frames, motions = shoot(5, 5, "GBRG", {(558, 60): 0.5, (90, 178): 0.5})
    cut = []
    for frame in frames:
        mosaic = np.ascontiguousarray(frame.mosaic[:559, :179])
        cut.append(Frame(mosaic, replace(frame.metadata, height=559, width=179)))
    assert find_hot_pixels(cut, NOISE, motions).tolist() == [[90, 178], [558, 60]]


def test_find_hot_pixels_when_a_dead_pixel_is_in_a_bright_area_then_it_is_found():
    frames, motions = shoot(5, 5)
    frames_lit = [Frame(np.maximum(f.mosaic, 300), f.metadata) for f in frames]
    for frame in frames_lit:
        frame.mosaic[60, 60] = 64
    assert find_hot_pixels(frames_lit, NOISE, motions).tolist() == [[60, 60]]


@pytest.mark.parametrize(("count", "step"), [(1, 0), (2, 4), (3, 4), (7, 3), (5, 0)])
def test_find_hot_pixels_when_there_are_no_defects_then_texture_edges_and_noise_are_not_flagged(count, step):
    frames, motions = shoot(count, step)
    assert len(find_hot_pixels(frames, NOISE, motions)) == 0


def sky(count: int, width: float, move: int = 0) -> tuple[list[Frame], list[GlobalMotion]]:
    """Return a night sky: Gaussian stars of the given full width at half maximum, in sensor pixels."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[0:300, 0:300].astype(np.float32)
    frames, motions = [], []
    stars = [(y + rng.uniform(-0.4, 0.4), x + rng.uniform(-0.4, 0.4), rng.uniform(0.2, 0.9))
             for y in range(40, 270, 17) for x in range(40, 270, 17)]  # fmt: skip
    for k in range(count):
        light = np.full((300, 300), 0.02, np.float32)
        for y, x, peak in stars:
            squared = (ys - y - k * move) ** 2 + (xs - x - k * move) ** 2
            light += peak * np.exp(-squared * (4 * np.log(2) / width**2)).astype(np.float32)
        frames.append(frame_of(add_noise(torch.from_numpy(light), 2e-3, 1e-4, seed=k), "RGGB"))
        motions.append(GlobalMotion(float(k * move), float(k * move)))
    return frames, motions


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_find_hot_pixels_when_stars_are_seen_from_a_tripod_then_they_are_not_flagged(count):
    frames, motions = sky(count, 1.1)
    assert len(find_hot_pixels(frames, NOISE, motions)) == 0


def test_find_hot_pixels_when_stars_move_with_the_camera_then_only_the_defect_is_found():
    frames, motions = sky(5, 0.6, move=4)
    for frame in frames:
        frame.mosaic[151, 133] = 700
    assert find_hot_pixels(frames, NOISE, motions).tolist() == [[151, 133]]


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_find_hot_pixels_when_defects_form_pairs_and_clusters_then_all_are_found(cfa):
    pair_of_one_colour = [(100, 50), (100, 52)]
    pair_side_by_side = [(200, 80), (200, 81)]
    diagonal = [(300, 120), (301, 121)]
    square = [(400, 60), (400, 61), (401, 60), (401, 61)]
    three_in_a_row = [(500, 140), (500, 142), (500, 144)]
    places = [*pair_of_one_colour, *pair_side_by_side, *diagonal, *square, *three_in_a_row]
    frames, motions = shoot(5, 5, cfa, dict.fromkeys(places, 0.6))
    assert [tuple(place) for place in find_hot_pixels(frames, NOISE, motions).tolist()] == places


def add_lines(frames: list[Frame], rows: slice, cols: slice, step: int) -> list[Frame]:
    changed = []
    for frame in frames:
        mosaic = frame.mosaic.copy()
        mosaic[rows, cols] = np.clip(mosaic[rows, cols].astype(int) + step, 0, 1023)
        changed.append(replace(frame, mosaic=mosaic))
    return changed


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("step", [80, -80])
def test_find_hot_pixels_when_a_column_is_bad_then_all_its_pixels_are_found(cfa, step):
    frames, motions = shoot(5, 5, cfa)
    found = find_hot_pixels(add_lines(frames, slice(None), slice(101, 102), step), NOISE, motions)
    assert found.tolist() == [[row, 101] for row in range(HEIGHT)]


@pytest.mark.parametrize("col", [0, 1, WIDTH - 2, WIDTH - 1])
def test_find_hot_pixels_when_a_column_at_the_border_is_bad_then_no_other_column_is_found(col):
    frames, motions = shoot(5, 5)
    found = find_hot_pixels(add_lines(frames, slice(None), slice(col, col + 1), 90), NOISE, motions)
    assert set(found[:, 1].tolist()) == {col} and len(found) == HEIGHT


def test_find_hot_pixels_when_a_row_is_bad_then_all_its_pixels_are_found():
    frames, motions = shoot(5, 5)
    found = find_hot_pixels(add_lines(frames, slice(333, 334), slice(None), 90), NOISE, motions)
    assert found.tolist() == [[333, col] for col in range(WIDTH)]


def test_find_hot_pixels_when_part_of_a_column_is_bad_then_that_part_is_found():
    frames, motions = shoot(5, 5)
    found = find_hot_pixels(add_lines(frames, slice(280, None), slice(60, 61), 90), NOISE, motions)
    assert set(found[:, 1].tolist()) == {60}
    assert found[:, 0].min() == 280 and len(found) == HEIGHT - 280


def test_find_hot_pixels_when_the_camera_moves_only_along_columns_then_scene_lines_are_not_flagged():
    frames, motions = shoot(5, 5)
    still = [GlobalMotion(motion.dy, 0.0) for motion in motions]
    assert len(find_hot_pixels(add_lines(frames, slice(None), slice(101, 102), 80), NOISE, still)) == 0


def test_find_hot_pixels_when_a_bright_line_of_the_scene_moves_then_it_is_not_flagged():
    frames, motions = shoot(5, 5)
    lit = []
    for k, frame in enumerate(frames):
        col = 101 + round(motions[k].dx)
        lit += add_lines([frame], slice(None), slice(col, col + 1), 150)
    assert len(find_hot_pixels(lit, NOISE, motions)) == 0


def test_prepare_burst_when_real_stars_drift_then_none_is_flagged_as_a_hot_pixel(shared_data: Path):
    frames = [read_frame(path) for path in sorted((shared_data / "bursts" / "stars").glob("*.dng"))]
    burst = prepare_burst(frames, reference=5)
    assert len(burst.frames) == 10
    assert len(burst.hot_pixels) == 0
