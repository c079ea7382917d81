"""Training runs: learning, time limit, exact resume, and safe checkpoints."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.errors import OutputError, UsageError
from burstfix.models.catalog import build
from burstfix.training import checkpoint
from burstfix.training.batches import Patches, draw_burst, training_batch
from burstfix.training.photos import load_photos
from burstfix.training.recipe import Recipe, TrainSettings, recipe_from_dict
from burstfix.training.run import CHECKPOINT, LOG, Run, Trained
from burstfix.training.schedule import Clock, Schedule
from tests.scenes import draw_scene

RECIPE = recipe_from_dict(
    {
        "model": {"name": "kpn", "config": {"channels": 8, "head_channels": 8, "head_blocks": 1}},
        "train": {
            "steps": 6,
            "batch": 2,
            "patch": 16,
            "margin": 8,
            "frames": [2, 3],
            "warmup": 2,
            "precision": "float32",
            "log_every": 1,
            "save_every": 2,
            "validate_every": 100,
        },
    }
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        scene = draw_scene(200, 260, seed) ** (1 / 2.2)
        Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(folder / f"{seed}.png")
    return folder


def train(recipe: Recipe, photos: list[Path], out: Path, **options) -> Trained:
    return Run(recipe, photos, out, device="cpu", **options).train()


def with_train(**changes):
    return replace(RECIPE, train=replace(RECIPE.train, **changes))


def test_train_when_interrupted_and_resumed_then_the_result_equals_an_uninterrupted_run(
    photos, tmp_path, monkeypatch
):
    whole = train(RECIPE, [photos], tmp_path / "whole").model

    monkeypatch.setattr(Schedule, "progress", lambda self, step, seconds: 1.0 if step == 3 else step / 6)
    first = train(RECIPE, [photos], tmp_path / "split")
    assert first.step == 3
    monkeypatch.undo()
    second = train(RECIPE, [photos], tmp_path / "split", resume=True)

    assert second.step == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_train_when_time_is_up_then_it_ends_with_a_complete_checkpoint(photos, tmp_path):
    done = train(with_train(steps=1), [photos], tmp_path, minutes=0.02)
    content = checkpoint.load_checkpoint(tmp_path / CHECKPOINT)
    assert 1 < done.step < 100_000
    assert 1.2 <= done.seconds < 4
    assert content["minutes"] == 0.02
    assert content["step"] == done.step
    assert content["noise_convention"].startswith("variance")
    assert content["data"] == ["0.png", "1.png", "2.png"]
    assert content["seed"] == 0
    assert content["recipe"]["model"]["name"] == "kpn"


@pytest.mark.slow
def test_train_when_run_for_a_while_then_the_loss_falls(photos, tmp_path):
    recipe = with_train(steps=240, batch=4, learning_rate=2e-3, warmup=10, frames=(2, 2))
    steady = replace(recipe.simulate, shot_gain=(4e-3, 4e-3), read_std=(1e-2, 1e-2), darkening=(1.0, 1.0))
    recipe = replace(recipe, simulate=steady)
    trained = train(recipe, [photos], tmp_path).model
    data = load_photos([photos], Patches.of(recipe).crop, torch.device("cpu"))

    def loss(model) -> float:
        """Return the mean display loss on bursts that were not used for training."""
        losses = []
        for step in range(1000, 1020):
            burst = draw_burst(data, recipe, step, 0, 1)
            with torch.no_grad():
                losses.append(float(model.losses(training_batch(model, burst, recipe, step, 1.0))["display"]))
        return float(np.mean(losses))

    # With four seeds, the ratio was 0.75 to 0.87; without training it is 1.
    assert loss(trained) < 0.92 * loss(build(recipe.model.name, recipe.model.config).eval())


def test_train_when_validating_then_psnr_is_logged_and_samples_are_drawn(photos, tmp_path):
    big = tmp_path / "val"
    big.mkdir()
    scene = draw_scene(420, 420, 9) ** (1 / 2.2)
    Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(big / "v.png")
    done = train(with_train(steps=1), [photos], tmp_path / "run", validation=[big])
    assert set(done.psnr) == {"high", "low"}
    assert done.psnr["low"] > done.psnr["high"] > 5
    assert [p.suffix for p in (tmp_path / "run" / "samples").iterdir()] == [".png"]


def test_train_when_started_from_weights_then_they_are_the_initial_weights(photos, tmp_path):
    first = train(with_train(steps=2), [photos], tmp_path / "a").model
    warm = train(
        with_train(steps=1, learning_rate=1e-12, ema=0.0, weight_decay=0.0),
        [photos],
        tmp_path / "b",
        init_from=first,
    ).model
    for name, value in first.state_dict().items():
        assert torch.allclose(value, warm.state_dict()[name], atol=1e-6), name


def test_train_when_folder_contains_a_run_then_usage_error(photos, tmp_path):
    train(with_train(steps=1), [photos], tmp_path)
    with pytest.raises(UsageError, match="contains a checkpoint"):
        train(with_train(steps=1), [photos], tmp_path)


def test_train_when_resumed_with_another_recipe_then_usage_error(photos, tmp_path):
    train(with_train(steps=1), [photos], tmp_path)
    with pytest.raises(UsageError, match="another recipe"):
        train(with_train(steps=2), [photos], tmp_path, resume=True)


def test_train_when_the_model_has_no_parameters_then_usage_error(photos, tmp_path):
    recipe = recipe_from_dict({"model": {"name": "average"}})
    with pytest.raises(UsageError, match="'average' has no parameters to train"):
        train(recipe, [photos], tmp_path)


def test_train_when_a_part_has_an_lr_scale_then_its_learning_rate_is_scaled(photos, tmp_path):
    run = Run(with_train(steps=1, lr_scale={"head_out": 0.25}), [photos], tmp_path, device="cpu")
    run.train()
    rates = {group["lr_scale"]: group["lr"] for group in run.optimizer.param_groups}
    assert set(rates) == {1.0, 0.25}
    assert rates[0.25] == pytest.approx(0.25 * rates[1.0]) and rates[1.0] > 0


def test_train_when_lr_scale_names_an_unknown_part_then_usage_error(photos, tmp_path):
    with pytest.raises(UsageError, match="no part 'kernals'"):
        train(with_train(lr_scale={"kernals": 0.0}), [photos], tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK nonsense" * 50])
def test_resume_when_checkpoint_is_damaged_then_usage_error(photos, tmp_path, content):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(UsageError, match=CHECKPOINT):
        train(RECIPE, [photos], tmp_path, resume=True)


def test_resume_when_there_is_no_checkpoint_then_usage_error(photos, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint"):
        train(RECIPE, [photos], tmp_path, resume=True)


SAVE_FOREVER = """
import sys, torch
from pathlib import Path
from burstfix.training.checkpoint import save_checkpoint
from burstfix.training.recipe import recipe_from_dict
recipe = recipe_from_dict({"model": {"name": "kpn"}})
step = 0
while True:
    step += 1
    state = {"model": {"x": torch.full((4_000_000,), step)}}
    save_checkpoint(Path(sys.argv[1]), recipe, step=step, seconds=0.0, minutes=None, data=[], state=state)
    print(step, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by POSIX signals")
@pytest.mark.slow
def test_checkpoint_when_process_is_killed_while_saving_then_the_last_complete_one_is_intact(tmp_path):
    path = tmp_path / CHECKPOINT
    for wait in (0.0, 0.02):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = checkpoint.load_checkpoint(path)
        assert bool((content["model"]["x"] == content["step"]).all())


REST = {"seconds": 0.0, "minutes": None, "data": [], "state": {}}


def test_checkpoint_when_disk_is_full_then_output_error_and_the_old_one_is_kept(tmp_path, monkeypatch):
    path = tmp_path / CHECKPOINT
    checkpoint.save_checkpoint(path, RECIPE, step=1, **REST)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        checkpoint.save_checkpoint(path, RECIPE, step=2, **REST)
    monkeypatch.undo()
    assert checkpoint.load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_schedule_when_by_steps_then_the_rate_warms_up_and_then_falls_until_the_end():
    schedule = Schedule(TrainSettings(steps=100, warmup=10, learning_rate=1.0, final_rate=0.1))
    rates = [schedule.learning_rate(step, schedule.progress(step, 1e9)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0) == rates[10]
    assert rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize("seconds_per_step", [0.5, 5.0])
def test_schedule_when_by_the_clock_then_it_ends_at_the_final_rate_on_any_machine(seconds_per_step):
    schedule = Schedule(TrainSettings(warmup=3, learning_rate=1.0, final_rate=0.1), minutes=10)
    step, rates = 0, []
    while (progress := schedule.progress(step, seconds_per_step * step)) < 1:
        rates.append(schedule.learning_rate(step, progress))
        step += 1
    assert step == round(600 / seconds_per_step)
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) > 0.99
    assert rates[step // 2] == pytest.approx(0.55, abs=0.01)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_clock_when_on_a_cpu_then_pauses_do_not_count():
    clock = Clock(torch.device("cpu"), earlier=7.0)
    time.sleep(0.3)
    assert 7.0 <= clock.seconds() < 7.1
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
    assert clock.seconds() >= 7.2


def test_train_when_resumed_with_a_time_limit_then_earlier_time_counts(photos, tmp_path):
    first = train(RECIPE, [photos], tmp_path, minutes=0.01)
    second = train(RECIPE, [photos], tmp_path, resume=True)
    assert second.step == first.step  # the time limit was reached
    longer = train(RECIPE, [photos], tmp_path, resume=True, minutes=0.02)
    assert longer.step > first.step
    assert 1.2 <= longer.seconds < 4


TINY_TWO_STAGE = {"channels": 8, "groups": 2, "feature_convs": 2, "feature_blocks": 1, "unet": [8, 8, 8]}


@pytest.mark.parametrize(
    ("name", "config", "parts"),
    [
        ("two-stage-paper", TINY_TWO_STAGE, {"linear", "display", "interpolation", "matching"}),
        (
            "two-stage-paper",
            {**TINY_TWO_STAGE, "base": "average", "coarse": "blocks"},
            {"linear", "display", "interpolation"},
        ),
        (
            "two-stage-paper",
            {**TINY_TWO_STAGE, "base": "kernels", "coarse": "blocks"},
            {"linear", "display", "mosaic", "color", "alone"},
        ),
    ],
)
def test_train_when_two_stage_then_every_part_of_its_loss_is_logged(photos, tmp_path, name, config, parts):
    model = replace(RECIPE.model, name=name, config=config)
    recipe = replace(with_train(steps=1, patch=16, margin=16), model=model)
    train(recipe, [photos], tmp_path)
    record = json.loads((tmp_path / LOG).read_text().splitlines()[1])
    assert set(record["parts"]) == parts
    assert all(np.isfinite(value) for value in record["parts"].values())


def test_train_when_the_lr_scale_of_the_kernels_is_zero_then_only_other_parts_learn(photos, tmp_path):
    model = replace(
        RECIPE.model, name="two-stage-paper", config={**TINY_TWO_STAGE, "base": "kernels", "coarse": "blocks"}
    )
    recipe = replace(with_train(steps=2, patch=16, margin=16, lr_scale={"kernels": 0.0}), model=model)
    torch.manual_seed(recipe.train.seed)
    before = build("two-stage-paper", recipe.model.config).state_dict()
    after = train(recipe, [photos], tmp_path).model.state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == name.startswith("kernels."), name
    record = json.loads((tmp_path / LOG).read_text().splitlines()[1])
    assert set(record["parts"]) == {"linear", "display"}
