"""The REDS4 protocol, compared step by step with values computed by hand."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.errors import InputError, UsageError
from burstfix.evaluation.protocol import (
    Case,
    Limits,
    clip_cases,
    distinct_names,
    find_clips,
    find_photos,
    photo_case,
    protocol_mosaic,
    references,
)
from burstfix.raw.levels import normalise
from burstfix.sim.camera import protocol_camera, to_display, unprocess
from burstfix.sim.recording import NOISE_LEVELS
from tests.scenes import draw_scene


def save_clip(folder: Path, count: int, height: int = 48, width: int = 64) -> Path:
    """Save a clip in which the scene moves one pixel to the left with every frame."""
    folder.mkdir(parents=True)
    scene = (draw_scene(height, width + count, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    for k in range(count):
        Image.fromarray(scene[:, k : k + width]).save(folder / f"{k:03d}.png")
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("data") / "walk", 7)


@pytest.fixture(scope="module")
def cases(clip_folder: Path) -> list[Case]:
    (clip,) = find_clips([clip_folder])
    return list(clip_cases(clip, "high", Limits()))


def test_noise_levels_when_read_then_they_match_the_protocol() -> None:
    assert NOISE_LEVELS == {"high": (6.4e-3, 2e-2), "low": (2.5e-3, 1e-2)}


def test_protocol_mosaic_when_noise_is_added_then_samples_equal_values_by_hand() -> None:
    # At 0.25 and high noise, the standard deviation is sqrt(0.0064 * 0.25 + 0.0004) = 0.0447.
    clean = torch.tensor([0.25, 0.5, 0.75])[:, None, None].expand(3, 4, 4)
    drawn = torch.randn((2, 2, 4), generator=torch.Generator().manual_seed(3))
    mosaic = protocol_mosaic(clean, "high", number=3)
    spread = {value: math.sqrt(0.0064 * value + 0.0004) for value in (0.25, 0.5, 0.75)}
    assert mosaic[0, 0].item() == pytest.approx(0.25 + spread[0.25] * drawn[0, 0, 0].item(), abs=1e-6)
    assert mosaic[0, 1].item() == pytest.approx(0.5 + spread[0.5] * drawn[0, 0, 1].item(), abs=1e-6)
    assert mosaic[3, 2].item() == pytest.approx(0.5 + spread[0.5] * drawn[1, 1, 2].item(), abs=1e-6)
    assert mosaic[3, 3].item() == pytest.approx(0.75 + spread[0.75] * drawn[1, 1, 3].item(), abs=1e-6)


def test_protocol_mosaic_when_dark_or_bright_then_it_is_clipped_at_black_and_white() -> None:
    for value in (0.0, 1.0):
        mosaic = protocol_mosaic(torch.full((3, 64, 64), value), "low", number=1)
        assert mosaic.min() >= 0 and mosaic.max() <= 1
        assert 0.4 < (mosaic == value).float().mean() < 0.6


def test_references_when_bursts_have_five_frames_then_first_and_last_two_are_omitted() -> None:
    assert references(100, Limits()) == list(range(2, 98))
    assert references(24, Limits()) == list(range(2, 22))
    assert references(7, Limits(frames=1)) == [2, 3, 4]
    assert references(9, Limits(frames=7)) == [3, 4, 5]


def test_references_when_limited_then_they_are_evenly_spaced() -> None:
    assert references(24, Limits(windows=4)) == [4, 9, 14, 19]
    assert references(24, Limits(windows=1)) == [12]
    assert references(24, Limits(windows=50)) == list(range(2, 22))


def test_references_when_clip_is_too_short_then_usage_error() -> None:
    with pytest.raises(UsageError, match="too short"):
        references(4, Limits())


def test_clip_cases_when_created_then_they_have_five_frames_around_each_reference(cases: list[Case]) -> None:
    assert [case.window for case in cases] == ["002", "003", "004"]
    assert all(len(case.burst.frames) == 5 and case.burst.reference == 2 for case in cases)
    # A frame has the same noise in all windows, because its seed is the number of the frame.
    assert np.array_equal(cases[0].burst.frames[3].mosaic, cases[1].burst.frames[2].mosaic)
    assert cases[0].burst.noise.shot_gain == (6.4e-3,) * 4
    assert cases[0].burst.noise.read_variance == pytest.approx((4e-4,) * 4)


def test_clip_cases_when_created_then_frames_equal_the_mosaics_of_the_protocol(
    cases: list[Case], clip_folder: Path
) -> None:
    pixels = np.array(Image.open(clip_folder / "004.png")).transpose(2, 0, 1)
    clean = unprocess(torch.from_numpy(pixels)[None].float() / 255, protocol_camera())[0]
    expected = protocol_mosaic(clean, "high", number=5)
    frame = cases[2].burst.frames[2]
    got = normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    # The truth is the clean linear frame after the same conversion to display RGB.
    torch.testing.assert_close(cases[2].truth, to_display(clean[None], protocol_camera())[0])


def test_case_when_the_merge_is_perfect_then_it_equals_the_truth(
    cases: list[Case], clip_folder: Path
) -> None:
    pixels = np.array(Image.open(clip_folder / "002.png")).transpose(2, 0, 1)
    clean = unprocess(torch.from_numpy(pixels)[None].float() / 255, protocol_camera())[0]
    assert torch.equal(cases[0].shown(clean.numpy()), cases[0].truth)


def test_clip_cases_when_cropped_then_the_middle_has_the_same_noise(
    cases: list[Case], clip_folder: Path
) -> None:
    (clip,) = find_clips([clip_folder])
    small = next(iter(clip_cases(clip, "high", Limits(crop=32))))
    assert small.truth.shape == (3, 32, 32)
    torch.testing.assert_close(small.truth, cases[0].truth[:, 8:40, 16:48])
    assert np.array_equal(small.burst.frames[0].mosaic, cases[0].burst.frames[0].mosaic[8:40, 16:48])


def test_clip_cases_when_frames_differ_in_size_then_input_error(tmp_path: Path) -> None:
    folder = save_clip(tmp_path / "odd", 5)
    Image.new("RGB", (80, 48)).save(folder / "001.png")
    (clip,) = find_clips([folder])
    with pytest.raises(InputError, match="its size differs"):
        list(clip_cases(clip, "low", Limits()))


def test_find_clips_when_given_a_folder_of_clips_then_each_is_found(tmp_path: Path) -> None:
    for name in ("020", "000"):
        save_clip(tmp_path / name, 5)
    (tmp_path / "empty").mkdir()
    assert [clip.name for clip in find_clips([tmp_path])] == ["000", "020"]
    assert [clip.name for clip in find_clips([tmp_path / "000"])] == ["000"]
    shutil.copytree(tmp_path / "000", tmp_path / "other" / "000")
    both = find_clips([tmp_path / "000", tmp_path / "other" / "000"])
    assert [clip.name for clip in both] == [f"{tmp_path.name}/000", "other/000"]
    assert distinct_names([Path("/a/1.png"), Path("/b/1.png"), Path("/b/2.png")]) == ["a/1", "b/1", "2"]
    with pytest.raises(InputError, match="no clip"):
        find_clips([tmp_path / "empty"])
    with pytest.raises(InputError, match="no such folder"):
        find_clips([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no photograph"):
        find_photos([tmp_path / "nowhere.png"])


def test_photo_case_when_numbers_differ_then_parts_and_motion_differ(tmp_path: Path) -> None:
    scene = (draw_scene(560, 640, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    path = tmp_path / "scene.png"
    Image.fromarray(scene).save(path)
    cases = [photo_case(path, "base", Limits(crop=64), number) for number in (0, 1, 2)]
    assert [case.window for case in cases] == ["0", "1", "2"]
    assert not torch.equal(cases[0].truth, cases[1].truth)
    assert not torch.equal(cases[1].truth, cases[2].truth)
    again = photo_case(path, "base", Limits(crop=64), 2)
    assert np.array_equal(again.burst.frames[0].mosaic, cases[2].burst.frames[0].mosaic)


def test_photo_case_when_created_twice_then_it_is_equal_and_levels_share_scene_and_motion(
    tmp_path: Path,
) -> None:
    scene = (draw_scene(260, 300, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    path = tmp_path / "scene.png"
    Image.fromarray(scene).save(path)
    one, again, low = (photo_case(path, level, Limits(crop=96)) for level in ("high", "high", "low"))
    assert np.array_equal(one.burst.frames[0].mosaic, again.burst.frames[0].mosaic)
    assert torch.equal(one.truth, low.truth)
    assert not np.array_equal(one.burst.frames[0].mosaic, low.burst.frames[0].mosaic)
    assert one.truth.shape == (3, 96, 96)
    # The protocol for photographs specifies motion of tens of pixels.
    reach = max(math.hypot(m.dx, m.dy) for m in one.burst.motions)
    assert 15 < reach < 45
