"""Averaging of weights files."""

import tomllib

import pytest
import torch

from burstfix.checkpoints import load_model, save_weights
from burstfix.cli import main
from burstfix.models.catalog import build

CONFIG = {"channels": 8, "head_channels": 8, "head_blocks": 1}


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, value in (("a", 1.0), ("b", 4.0)):
        model = build("kpn", CONFIG)
        for parameter in model.parameters():
            parameter.data.fill_(value)
        paths.append(tmp_path / f"{name}.safetensors")
        save_weights(paths[-1], model, {})
    save_weights(tmp_path / "other.safetensors", build("kpn", {**CONFIG, "head_blocks": 2}), {})
    return paths


def test_weights_average_when_given_two_files_then_it_writes_their_mean_and_a_card(files, tmp_path):
    out = tmp_path / "mean.safetensors"
    assert main(["weights", "average", *map(str, files), "-o", str(out)]) == 0
    assert all(torch.all(value == 2.5) for value in load_model(out).state_dict().values())
    assert tomllib.loads(out.with_suffix(".toml").read_text())["sources"] == [
        "a.safetensors",
        "b.safetensors",
    ]
    assert main(["weights", "average", *map(str, files), "-o", str(out)]) == 5


def test_weights_average_when_models_differ_then_usage_error_names_the_file(files, tmp_path, capsys):
    arguments = [str(files[0]), str(tmp_path / "other.safetensors"), "-o", str(tmp_path / "mean.safetensors")]
    assert main(["weights", "average", *arguments]) == 2
    assert "other.safetensors: its model or" in capsys.readouterr().err


def test_weights_average_when_there_is_one_file_then_usage_error(files, tmp_path):
    assert main(["weights", "average", str(files[0]), "-o", str(tmp_path / "mean.safetensors")]) == 2
