"""Training under torchrun: separate bursts, shared gradients, and a single writing process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.checkpoints import load_model
from burstfix.models.catalog import build
from burstfix.training.batches import draw_burst
from burstfix.training.checkpoint import load_checkpoint
from burstfix.training.distributed import Processes
from burstfix.training.photos import PhotoStore
from burstfix.training.recipe import recipe_from_dict
from burstfix.training.run import CHECKPOINT, LOG
from tests.scenes import draw_scene

RECIPE = """
[model]
name = "kpn"
config = { channels = 8, head_channels = 8, head_blocks = 1 }
[train]
steps = 3
batch = 1
patch = 16
frames = [2, 2]
precision = "float32"
log_every = 1
save_every = 2
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's gloo rendezvous is not supported there")
def test_train_when_run_by_two_processes_then_one_checkpoint_and_one_log(tmp_path):
    scene = draw_scene(180, 180) ** (1 / 2.2)
    Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(tmp_path / "scene.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    run = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [
        "-m",
        "burstfix",
        "train",
        str(tmp_path / "tiny.toml"),
        "--photos",
        str(tmp_path / "scene.png"),
    ]
    done = subprocess.run(
        [*launcher, *command, "-o", str(run), "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    steps = [json.loads(line)["step"] for line in (run / LOG).read_text().splitlines()]
    assert steps == [0, 1, 2, 3]
    assert load_checkpoint(run / CHECKPOINT)["step"] == 3
    assert load_model(str(run / "kpn.safetensors")).info.name == "kpn"


def test_average_gradients_when_two_processes_are_summed_then_each_weight_gets_its_mean(monkeypatch):
    model = build("kpn", {"channels": 8, "head_channels": 8, "head_blocks": 1})
    parameters = list(model.parameters())
    for i, parameter in enumerate(parameters[:-1]):  # the last weight is not used in this step
        parameter.grad = torch.full_like(parameter, float(i))
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(3))
    Processes(0, 2, torch.device("cpu")).average_gradients(model)
    for i, parameter in enumerate(parameters[:-1]):
        assert parameter.grad is not None and (parameter.grad == 1.5 * i).all()
    assert parameters[-1].grad is None


def test_draw_burst_when_processes_differ_then_frame_counts_are_equal_but_pictures_differ():
    store = PhotoStore([torch.randint(0, 255, (3, 150, 150), dtype=torch.uint8)], ["a"], [])
    recipe = recipe_from_dict({"model": {"name": "kpn"}, "train": {"batch": 1, "patch": 8, "frames": [1, 6]}})
    counts = set()
    for step in range(5):
        first, second = (draw_burst(store, recipe, step, rank, 2) for rank in (0, 1))
        assert first.noisy.shape == second.noisy.shape and first.reference == second.reference
        assert not torch.equal(first.noisy, second.noisy)
        counts.add(first.noisy.shape[1])
    assert len(counts) > 1
