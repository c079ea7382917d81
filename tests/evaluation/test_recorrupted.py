"""Estimation of the error of a merge from recorrupted pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from burstfix.cli import main
from burstfix.errors import BurstError
from burstfix.evaluation.held_out import find_regions
from burstfix.evaluation.held_out_tables import difference, estimate
from burstfix.evaluation.methods import Method
from burstfix.evaluation.recorrupted import STRENGTH, evaluate_recorrupted, noise_ratio
from burstfix.pipeline import read_burst
from burstfix.raw.levels import normalise
from burstfix.sim.recording import Recording
from tests.evaluation.test_held_out import ERROR, record, wrong_by


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recording]:
    folder = tmp_path_factory.mktemp("pairs") / "burst"
    return folder, record(folder, 3)


def test_evaluate_recorrupted_when_the_error_is_known_then_the_estimate_matches(burst) -> None:
    folder, recording = burst
    methods = [wrong_by(recording.truth, error) for error in (0.0, ERROR)]
    scores = evaluate_recorrupted(methods, [folder])
    right, wrong = (estimate(scores, method.label, "burst", "all") for method in methods)
    std = find_regions(read_burst(sorted(folder.glob("*.dng")), keep_all=True)).std
    expected = float((ERROR / std).square().mean())
    assert abs(right.mean) < 0.15  # 1% of error in the noise counts 5%
    assert wrong.mean - right.mean == pytest.approx(expected, rel=0.1)
    gain = difference(scores, methods[1].label, methods[0].label, "burst", "all")
    assert gain.mean == pytest.approx(expected, rel=0.1) and gain.low > 0


def test_evaluate_recorrupted_when_a_method_returns_its_input_then_the_error_is_its_noise(burst) -> None:
    folder, recording = burst

    def noisy(case) -> torch.Tensor:
        frame = case.frames[case.reference]
        # All three colours are the mosaic, so sampling by the CFA returns the mosaic.
        return normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels).expand(3, -1, -1).numpy()

    scores = evaluate_recorrupted([Method("input", None, noisy)], [folder])
    assert estimate(scores, "input", "burst", "all").mean == pytest.approx(1 + STRENGTH**2, abs=0.15)


def test_noise_ratio_when_the_profile_is_wrong_then_it_shows_and_the_burst_is_refused(
    burst, monkeypatch
) -> None:
    folder, _ = burst
    found = read_burst(sorted(folder.glob("*.dng")), keep_all=True)
    regions = find_regions(found)
    frame = found.frames[found.reference]
    assert noise_ratio(frame, regions) == pytest.approx(1, abs=0.05)
    assert noise_ratio(frame, replace(regions, std=regions.std / 2**0.5)) == pytest.approx(2, abs=0.1)
    monkeypatch.setattr("burstfix.evaluation.recorrupted.TOLERANCE", 1e-9)
    with pytest.raises(BurstError, match="times that of the noise profile"):
        evaluate_recorrupted([], [folder])


def test_evaluate_command_when_recorrupted_without_bursts_then_usage_error(tmp_path, capsys) -> None:
    assert main(["evaluate", "--photos", str(tmp_path), "--recorrupted"]) == 2
    assert "--recorrupted can be used only with --bursts" in capsys.readouterr().err


def test_evaluate_command_when_recorrupted_then_both_tables_are_printed(burst, capsys) -> None:
    options = ["-m", "menon", "-m", "average", "--recorrupted"]
    assert main(["evaluate", "--bursts", str(burst[0]), *options]) == 0
    text = capsys.readouterr().out
    assert "mean squared error" in text and "difference to menon" in text
