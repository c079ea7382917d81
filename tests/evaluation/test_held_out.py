"""Estimation of the error of a merge from held-out frames, for any noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.cli import main
from burstfix.errors import BurstError, InputError
from burstfix.evaluation import held_out
from burstfix.evaluation.held_out import (
    _score_pair,
    choose_pairs,
    evaluate_held_out,
    even_shift,
    find_regions,
    residual,
)
from burstfix.evaluation.held_out_tables import difference, estimate
from burstfix.evaluation.held_out_tables import noise as noise_of
from burstfix.evaluation.methods import Method
from burstfix.pipeline import read_burst
from burstfix.sim.files import write_recording
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import Recording, RecordingSettings, record_photo
from burstfix.types import Burst, GlobalMotion
from tests.engine.bursts import make_burst
from tests.scenes import draw_scene

SHOT_GAIN, READ_VARIANCE = 2e-3, 1e-4
ERROR = 0.02  # error of the inexact method


def record(folder: Path, frames: int, shift: float = 0.0) -> Recording:
    motion = MotionSettings(shift=shift, jitter=0.0, rotation=0.0, zoom=0.0, perspective=0.0, least=1.0)
    settings = RecordingSettings(
        frames=frames,
        cfa="GRBG",
        bits=14,
        shot_gain=SHOT_GAIN,
        read_variance=READ_VARIANCE,
        motion=motion,
        moving_object=False,
    )
    recording = record_photo(0.3 + 0.5 * draw_scene(320, 340, seed=3), settings)
    write_recording(recording, folder)
    return recording


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recording]:
    folder = tmp_path_factory.mktemp("held") / "burst"
    return folder, record(folder, 5)


def wrong_by(truth: torch.Tensor, error: float) -> Method:
    checks = ((torch.arange(truth.shape[1])[:, None] // 8 + torch.arange(truth.shape[2]) // 8) % 2) * 2 - 1
    picture = (truth + error * checks).numpy()
    return Method(f"wrong by {error}", None, lambda burst: picture)


def test_evaluate_held_out_when_the_error_is_known_then_the_estimate_matches(still):
    folder, recording = still
    methods = [wrong_by(recording.truth, error) for error in (0.0, ERROR)]
    scores = evaluate_held_out(methods, [folder])
    right, wrong = (estimate(scores, method.label, "burst", "all") for method in methods)
    burst = read_burst(sorted(folder.glob("*.dng")), keep_all=True)
    expected = float((ERROR / find_regions(burst).std).square().mean())
    assert abs(right.mean) < 0.02
    assert wrong.mean == pytest.approx(expected, rel=0.1)
    assert noise_of(scores, "burst", "all").mean == pytest.approx(1.0, abs=0.05)
    gain = difference(scores, methods[1].label, methods[0].label, "burst", "all")
    assert gain.mean == pytest.approx(expected, rel=0.1) and gain.low > 0


def test_residual_when_frames_moved_between_pixels_then_the_shift_is_fitted(tmp_path):
    recording = record(tmp_path / "burst", 2, shift=3.3)
    burst = read_burst(
        sorted((tmp_path / "burst").glob("*.dng")),
        reference=recording.settings.reference_index,
        keep_all=True,
    )
    motions = recording.motions()
    assert motions is not None and abs(motions[0].dy) + abs(motions[0].dx) > 1
    found = residual(recording.truth, burst.frames[0], burst.motions[0], find_regions(burst).std)
    inside = found[24:-24, 24:-24]
    assert float(inside.square().mean()) == pytest.approx(1.0, abs=0.06)


def test_choose_pairs_when_frames_move_then_the_nearest_come_first(still):
    burst = read_burst(sorted(still[0].glob("*.dng")), keep_all=True)
    pairs = choose_pairs(burst, 3)
    assert len(pairs) == 3
    assert all(len({pair.first, pair.second, pair.reference}) == 3 for pair in pairs)


def test_score_pair_when_frames_moved_by_even_numbers_then_fine_errors_are_measured():
    # The error of the merge differs from pixel to pixel, so residuals have to be compared at the same point.
    side, step, frames = 192, 4, 4
    burst = make_burst(side, side, frames, "GRBG", shift=step, noise=(SHOT_GAIN, READ_VARIANCE))
    reach = step * frames
    scene = draw_scene(side + 2 * reach, side + 2 * reach, seed=3)
    noise = 0.03 * torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))

    def merge(reduced: Burst) -> np.ndarray:
        found = reduced.frames[reduced.reference].mosaic
        k = next(k for k, frame in enumerate(burst.frames) if np.array_equal(frame.mosaic, found))
        start = reach - step * (k - burst.reference)
        return (scene[:, start : start + side, start : start + side] + noise).numpy()

    chosen = choose_pairs(burst, 3)
    assert all(pair.rest < 1e-6 for pair in chosen)
    std = find_regions(burst).std
    for pair in chosen:
        scores = _score_pair([Method("noisy", None, merge)], "burst", burst, 0, pair)
        expected = float((0.03 / std).square().mean())
        assert estimate(scores, "noisy", "burst", "all").mean == pytest.approx(expected, rel=0.15)
        assert noise_of(scores, "burst", "all").mean == pytest.approx(1.0, abs=0.1)


def test_choose_pairs_when_frames_rotate_then_the_rest_is_that_at_the_corners():
    burst = make_burst(100, 100, 2, shift=0)
    turned = replace(
        burst, motions=(GlobalMotion(0.0, 0.0), GlobalMotion(2.0, -4.0, 0.02)), frames=burst.frames * 2
    )
    turned = replace(turned, motions=turned.motions * 2)
    rests = [round(pair.rest, 2) for pair in choose_pairs(turned, 6)]
    assert rests == [0.0, 0.0, 1.41, 1.41, 1.41, 1.41]  # 0.02 * 50 * sqrt(2)
    assert even_shift(GlobalMotion(3.2, -0.9)) == (4, 0)
    assert even_shift(GlobalMotion(3.2, -0.9), GlobalMotion(0.9, 0.9)) == (2, -2)


def test_evaluate_held_out_when_all_frames_rotate_then_the_burst_is_refused(tmp_path, monkeypatch):
    record(tmp_path / "burst", 4)
    burst = read_burst(sorted((tmp_path / "burst").glob("*.dng")), keep_all=True)
    turned = replace(burst, motions=tuple(GlobalMotion(0.0, 0.0, 0.02 * k) for k in range(4)))
    monkeypatch.setattr(held_out, "read_folder", lambda folder, least: turned)
    with pytest.raises(BurstError, match="no two frames can be compared"):
        evaluate_held_out([], [tmp_path / "burst"])


def test_evaluate_held_out_when_no_burst_is_usable_then_the_error_gives_the_reason(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        evaluate_held_out([], [tmp_path / "none"])
    record(tmp_path / "short", 3)
    with pytest.raises(BurstError, match="expected 4 or more Bayer raws"):
        evaluate_held_out([], [tmp_path / "short"])


def test_evaluate_when_bursts_are_given_then_a_document_with_parts(still, capsys):
    arguments = ["--bursts", str(still[0]), "-m", "menon", "-m", "average", "--device", "cpu", "--json"]
    assert main(["evaluate", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    found = {(row["model"], row["part"]): row for row in rows}
    assert set(found) == {(m, p) for m in ("menon", "average") for p in ("all", "edges", "middle", "flat")}
    assert found["menon", "all"]["error"]["mean"] == pytest.approx(1.0, abs=0.1)  # the noise of the reference
    assert found["average", "all"]["error"]["mean"] < 0.5
    assert found["average", "all"]["difference"]["high"] < 0
    assert np.isfinite(found["average", "flat"]["noise"]["mean"])
