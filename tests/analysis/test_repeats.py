"""Detection of frames that were saved twice. Frames from a tripod are not repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.repeats import find_repeats
from burstfix.types import Frame
from tests.io.raw_files import make_metadata
from tests.scenes import add_noise, draw_scene, mosaic_of

HEIGHT, WIDTH = 300, 400
BLACK, WHITE = 64.0, 1023.0


def shot(seed: int, *, noise: float = 1.0, shift: int = 0, name: str | None = None) -> Frame:
    rgb = draw_scene(HEIGHT + 8, WIDTH + 8, seed=3)[:, shift : shift + HEIGHT, shift : shift + WIDTH]
    noisy = add_noise(mosaic_of(rgb, "RGGB"), 2e-3 * noise, 2e-5 * noise, seed).numpy()
    mosaic = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, WHITE).astype(np.uint16)
    metadata = make_metadata(HEIGHT, WIDTH)
    return Frame(mosaic, replace(metadata, path=Path(name or f"{seed}.dng"))).planned()


def saved_again(frame: Frame, step: int) -> Frame:
    """Return the frame with rounded values, as in a lossy format."""
    mosaic = (np.rint(frame.mosaic / step) * step).astype(np.uint16)
    return replace(frame, mosaic=mosaic, metadata=replace(frame.metadata, path=Path("again.dng")))


@pytest.mark.parametrize("step", [1, 4, 12])
@pytest.mark.parametrize("others", [0, 1, 4])
def test_find_repeats_when_a_frame_was_saved_again_then_it_is_found(step: int, others: int) -> None:
    frames = [shot(k, shift=k % 3) for k in range(others + 1)]
    assert find_repeats([*frames, saved_again(frames[0], step)]) == {others + 1: 0}


def test_find_repeats_when_all_frames_are_the_same_then_all_but_the_first_are_found() -> None:
    first = shot(1)
    assert find_repeats([first, saved_again(first, 1), saved_again(first, 1)]) == {1: 0, 2: 0}


@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("moves", [False, True])
def test_find_repeats_when_every_frame_has_its_own_noise_then_none_is_found(
    noise: float, count: int, moves: bool
) -> None:
    assert find_repeats([shot(k, noise=noise, shift=k % 3 if moves else 0) for k in range(count)]) == {}


def test_find_repeats_when_the_camera_stops_for_two_frames_then_none_is_found() -> None:
    assert find_repeats([shot(1), shot(2), shot(3, shift=4), shot(4, shift=7)]) == {}


def test_find_repeats_when_frames_are_empty_then_none_is_found() -> None:
    empty = replace(shot(1), mosaic=np.full((HEIGHT, WIDTH), 1023, np.uint16))
    assert find_repeats([empty, empty, empty]) == {}


def test_prepare_burst_when_a_frame_was_saved_again_then_it_is_left_out_unless_all_are_kept() -> None:
    frames = [shot(k) for k in range(3)]
    frames.append(saved_again(frames[1], 4))
    burst = prepare_burst(frames)
    assert len(burst.frames) == 3 and [left.index for left in burst.dropped] in ([3], [1])
    assert "copy" in burst.dropped[0].reason
    assert len(prepare_burst(frames, keep_all=True).frames) == 4
