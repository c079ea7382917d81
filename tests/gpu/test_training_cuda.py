"""Training on CUDA: stop, resume, and validation on the same bursts as on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.models.catalog import build
from burstfix.training.recipe import Recipe, recipe_from_dict
from burstfix.training.run import Run, Trained
from burstfix.training.schedule import Schedule
from burstfix.training.validation import Validator, load_validation_photos
from tests.scenes import draw_scene

pytestmark = pytest.mark.gpu

SMALL = {
    "kpn": {"channels": 8, "head_channels": 8, "head_blocks": 1},
    "deformable-3d": {"channels": 8, "head_channels": 8, "head_blocks": 1},
    "deformable-2d": {"channels": 8, "head_channels": 8, "head_blocks": 1},
    "two-stage": {"channels": 16, "groups": 4, "head_channels": 8, "head_blocks": 1},
    "two-stage-paper": {
        "channels": 16,
        "groups": 4,
        "feature_blocks": 1,
        "unet": [8, 8, 8],
        "base": "kernels",
    },
}
PATCHES = {
    "blocks": {"coarse": "blocks"},
    "dpbm": {"coarse": "dpbm"},
    **{name: {} for name in SMALL if name != "two-stage-paper"},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(2):
        scene = draw_scene(420, 440, seed) ** (1 / 2.2)
        Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(folder / f"{seed}.png")
    return folder


def recipe(kind: str, steps: int) -> Recipe:
    name = kind if kind in SMALL else "two-stage-paper"
    settings = {"batch": 2, "patch": 32, "margin": 8, "border": 0.5, "frames": [1, 3], "log_every": 1}
    return recipe_from_dict(
        {
            "model": {"name": name, "config": SMALL[name] | PATCHES[kind]},
            "train": {"steps": steps, "save_every": 2, "validate_every": 2, **settings},
        }
    )


@pytest.mark.parametrize("kind", PATCHES)
def test_train_when_on_cuda_then_it_stops_and_resumes(kind: str, photos: Path, tmp_path: Path, monkeypatch):
    def run(**options) -> Trained:
        return Run(recipe(kind, 6), [photos], tmp_path, validation=[photos], device="cuda", **options).train()

    monkeypatch.setattr(Schedule, "progress", lambda self, step, seconds: 1.0 if step == 3 else step / 6)
    first = run()
    monkeypatch.undo()
    assert first.step == 3
    trained = run(resume=True)
    assert trained.step == 6 and set(trained.psnr) == {"high", "low"}
    assert all(torch.isfinite(value).all() and not value.is_cuda for value in trained.model.parameters())


def test_validation_when_on_cuda_then_it_uses_the_same_bursts_as_the_cpu(photos: Path):
    settings = recipe("kpn", 1).simulate
    validator = Validator(load_validation_photos([photos], settings), settings, bursts=4)
    model = build("average")
    model.register_parameter("place", torch.nn.Parameter(torch.zeros(1)))
    on_cpu = validator.run(model).psnr
    assert validator.run(model.to("cuda")).psnr == pytest.approx(on_cpu, abs=0.05)
