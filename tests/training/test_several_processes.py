"""Training under torchrun: processes draw their own bursts, share gradients, and one of them writes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.checkpoints import load_model
from burstfix.training.checkpoint import load_checkpoint
from burstfix.training.loop import CHECKPOINT, LOG
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
    assert load_checkpoint(run / CHECKPOINT, torch.device("cpu"))["step"] == 3
    assert load_model(str(run / "kpn.safetensors")).info.name == "kpn"
