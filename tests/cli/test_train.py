"""`burstfix train`: its output files and its errors."""

import numpy as np
import pytest
from PIL import Image

from burstfix.checkpoints import load_model
from burstfix.cli import main
from tests.cli.documents import validated
from tests.scenes import draw_scene

RECIPE = """
[model]
name = "kpn"
config = { channels = 8, head_channels = 8, head_blocks = 1 }
[train]
steps = 2
batch = 1
patch = 16
frames = [2, 2]
precision = "float32"
log_every = 1
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "photos").mkdir()
    scene = draw_scene(180, 180) ** (1 / 2.2)
    picture = Image.fromarray((scene.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    picture.save(tmp_path / "photos" / "scene.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    paths = ["train", str(tmp_path / "tiny.toml"), "--photos", str(tmp_path / "photos")]
    return lambda *more: main([*paths, "-o", str(tmp_path / "run"), "--device", "cpu", *more])


def test_train_when_done_then_weights_load_and_card_and_log_exist(run, tmp_path, capsys):
    assert run("--json") == 0
    document = validated(capsys.readouterr().out, "train")
    assert (document["step"], document["steps"]) == (2, 2)
    model = load_model(document["weights"])
    assert model.info.name == "kpn"
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"checkpoint.pt", "log.jsonl", "kpn.safetensors", "kpn.toml"} <= made
    assert "steps = 2" in (tmp_path / "run" / "kpn.toml").read_text()


def test_train_when_started_again_then_the_error_names_resume(run, capsys):
    assert run() == 0
    assert run() == 2
    assert "resume" in capsys.readouterr().err
    assert run("--resume", "-q") == 0


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [("missing.toml", None, 2), ("typo.toml", "[model]\nname = 'kpn'\n[trian]\n", 2)],
)
def test_train_when_the_recipe_is_invalid_then_one_line_and_the_exit_code(tmp_path, capsys, name, text, code):
    if text:
        (tmp_path / name).write_text(text)
    (tmp_path / "p").mkdir()
    arguments = ["train", str(tmp_path / name), "--photos", str(tmp_path / "p"), "-o", str(tmp_path / "o")]
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1


def test_train_when_the_device_does_not_exist_then_exit_2_with_advice(run, tmp_path, capsys):
    assert run("--device", "cuda:77") == 2
    error = capsys.readouterr().err
    assert "cuda:77" in error and "use auto or cpu" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_train_when_there_are_no_photos_then_exit_3(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    arguments = ["train", str(tmp_path / "tiny.toml"), "--photos", str(tmp_path / "none")]
    assert main([*arguments, "-o", str(tmp_path / "o")]) == 3
    assert "no such file or folder" in capsys.readouterr().err
