"""A model outside the package, named by `module:Class`: merge, training and evaluation."""

import json

import numpy as np
import pytest
from PIL import Image

from burstfix.checkpoints import load_model
from burstfix.cli import main
from burstfix.errors import UsageError
from burstfix.models import catalog
from tests.scenes import draw_scene

# The whole network in one file.
MODULE = """
from dataclasses import dataclass

import torch
from torch import nn

from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.raw.demosaic import bilinear


@dataclass(frozen=True, slots=True)
class TinyConfig:
    gain: float = 0.5


class Tiny(BurstModel):
    config_class = TinyConfig
    lr_scale = {"offset": 0.0}

    def __init__(self, config=None):
        super().__init__()
        self.config = config or TinyConfig()
        self.info = ModelInfo("tiny", 8, 8, bytes_per_pixel=50)
        self.gain = nn.Parameter(torch.full((4, 1, 1), self.config.gain))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, frames, shot_gain, read_variance, reference):
        mosaic = self.gain * frames.mean(1) + self.offset
        return Merged(rgb=bilinear(mosaic), mosaic=mosaic)


class NoModel:
    pass
"""
NAME = "burstfix_test_plugin:Tiny"
RECIPE = f"""
[model]
name = "{NAME}"
config = {{ gain = 0.6 }}
[train]
steps = 3
batch = 1
patch = 16
frames = [2, 2]
warmup = 0
precision = "float32"
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "burstfix_test_plugin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    photos = tmp_path / "photos"
    photos.mkdir()
    scene = draw_scene(180, 200) ** (1 / 2.2)
    picture = Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    picture.save(photos / "scene.png")
    return photos


def test_plugin_when_named_then_it_trains_merges_and_is_evaluated(plugin, tmp_path, capsys):
    recipe, run = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    assert main(["train", str(recipe), "--photos", str(plugin), "-o", str(run), "--device", "cpu"]) == 0
    weights = run / "Tiny.safetensors"
    model = load_model(weights)
    assert model.config.gain == 0.6
    assert (model.gain > 0.6).all()  # changed by training
    assert model.offset == 0  # its learning rate is zero

    burst = tmp_path / "burst"
    arguments = ["--frames", "2", "--size", "64x64", "-o", str(burst)]
    assert main(["simulate", str(plugin / "scene.png"), *arguments]) == 0
    frames = [str(path) for path in sorted(burst.glob("*.dng"))]
    for name in (NAME, str(weights)):
        picture = tmp_path / "merged.png"
        options = ["-m", name, "-o", str(picture), "--device", "cpu", "--overwrite"]
        assert main(["merge", *frames, *options]) == 0, capsys.readouterr().err

    capsys.readouterr()
    options = ["--photos", str(plugin), "--crop", "64", "--noise-level", "low", "--frames", "2", "--json"]
    models = ["-m", NAME, "-m", f"{NAME}:1", "-m", str(weights)]
    assert main(["evaluate", *options, *models, "--device", "cpu"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["model"] for row in rows][:2] == [NAME, f"{NAME}:1"]
    assert rows[0]["psnr"] < rows[2]["psnr"]  # trained weights are better


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("burstfix_test_plugin:Missing", "Missing"),
        ("burstfix_test_plugin:NoModel", "expected a subclass"),
    ],
)
def test_plugin_when_it_cannot_be_used_then_usage_error_gives_the_reason(plugin, name, words):
    with pytest.raises(UsageError, match=words):
        load_model(name)


def test_plugin_when_declared_as_an_entry_point_then_it_is_found_by_its_name(plugin, monkeypatch):
    class Point:
        name, value = "tiny", NAME

    monkeypatch.setattr(catalog, "entry_points", lambda group: [Point] if group == "burstfix.models" else [])
    model = load_model("tiny")
    assert type(model).__name__ == "Tiny"
    assert catalog.name_of(model) == "tiny"
