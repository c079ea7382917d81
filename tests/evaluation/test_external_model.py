"""The example of a network from another project (examples/external_model.py), with random weights."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from burstfix.cli import main
from burstfix.engine.infer import merge_tiled
from tests.engine.bursts import make_burst
from tests.evaluation.test_protocol import save_clip

EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = "external_model:External"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    found = importlib.import_module("external_model")
    torch.manual_seed(0)
    torch.save(found.Network().state_dict(), tmp_path / "network.pt")
    monkeypatch.setenv("NETWORK_WEIGHTS", str(tmp_path / "network.pt"))
    return found


def test_external_model_when_evaluated_then_it_has_its_own_row(
    module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = save_clip(tmp_path / "walk", 5)
    options = ["-m", NAME, "-m", "menon", "--noise-level", "low", "--device", "cpu", "--json"]
    for protocol in ("color", "grey"):
        assert main(["evaluate", "--clips", str(clip), "--protocol", protocol, *options]) == 0
        rows = json.loads(capsys.readouterr().out)["results"]
        assert [row["model"] for row in rows] == [NAME, "menon"]
        assert 0 < rows[0]["psnr"] < rows[1]["psnr"]  # its weights are random


def test_external_model_when_run_in_tiles_then_the_picture_is_that_of_one_tile(module: ModuleType) -> None:
    burst, model = make_burst(160, 320, frames=3), module.External()
    whole, tiled = (merge_tiled(burst, model, tile=tile).data for tile in (320, 160))
    assert whole.shape == (3, 160, 320)
    torch.testing.assert_close(torch.from_numpy(tiled), torch.from_numpy(whole), atol=1e-5, rtol=0)


@torch.no_grad()
def test_external_model_when_the_reference_is_not_in_the_middle_then_frames_are_repeated(
    module: ModuleType,
) -> None:
    assert module.frames_around(2, 5) == [0, 1, 2, 3, 4]
    assert module.frames_around(0, 1) == [0] * 5
    model, frames = module.External(), torch.rand(1, 3, 4, 16, 16)
    gain, read = torch.full((1, 1, 4, 1, 1), 1e-3), torch.full((1, 1, 4, 1, 1), 1e-4)
    padded = frames[:, [0, 1, 2, 2, 2]]
    expected = model.network(torch.cat([padded, torch.sqrt(padded * gain + read)], 2))
    torch.testing.assert_close(model(frames, gain, read, 2).rgb, expected)


def test_external_model_when_its_weights_are_missing_then_exit_code_7(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETWORK_WEIGHTS", str(tmp_path / "none.pt"))
    clip = save_clip(tmp_path / "walk", 5)
    assert main(["evaluate", "--clips", str(clip), "-m", NAME]) == 7
    assert "none.pt: cannot be loaded" in capsys.readouterr().err
