"""All commands in help texts and documents run on small data, except those listed in NOT_RUN."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.checkpoints import save_weights
from burstfix.checkpoints.upstream import import_two_stage
from burstfix.cli import app, main
from burstfix.engine import check
from burstfix.io import read_frame, write_cfa_dng
from tests.checkpoints.test_upstream import _coarse, _network, _save
from tests.scenes import draw_scene

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# Commands that tests cannot run: a part of the command, and the reason.
NOT_RUN = {
    "--watch": "runs until it is interrupted; tests/batch/test_watch.py tests it",
    "--minutes 60": "trains for an hour",
    "--recorrupted": "needs an exact noise profile; tests/evaluation/test_recorrupted.py draws one",
    "--resume": "continues a training run of an hour; tests/cli/test_train.py tests it",
    "tcp://head:8786": "needs a cluster; tests/batch/test_cluster.py starts one on this machine",
    "my_package.net:MyNet": "needs a package of the reader; tests/training/test_plugin.py makes one",
    "runs/ablations": "needs seven training runs; tests/training/test_recipe.py loads the recipes",
    "MyNet": "needs weights of the reader's own network",
}

RECIPE = """
[model]
name = "kpn"
config = { channels = 8, head_channels = 8, head_blocks = 1 }
[train]
steps = 1
batch = 1
patch = 16
frames = [2, 2]
precision = "float32"
"""


def help_examples() -> list[str]:
    """Return the example commands of all help texts."""
    ctx = app.group.make_context("burstfix", [], resilient_parsing=True)
    found: list[str] = []
    for name in ("", *app.COMMANDS):
        command = app.group.get_command(ctx, name) if name else app.group
        assert command is not None
        parts = [command, *getattr(command, "commands", {}).values()]
        for one in parts:
            found += re.findall(r"^  (burstfix .*)$", one.epilog or "", flags=re.MULTILINE)
    return found


def document_examples() -> list[str]:
    """Return the commands in indented blocks of the documents; tests/test_docs.py runs the others."""
    found: list[str] = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        if document.name == "cli.md":
            text = text.partition("burstfix COMMAND --help")[2]  # the overview above has no examples
        found += re.findall(r"^    (burstfix [a-z].*)$", text, flags=re.MULTILINE)
    return found


def reason_not_to_run(line: str) -> str:
    return next((reason for part, reason in NOT_RUN.items() if part in line), "")


EXAMPLES = list(dict.fromkeys(help_examples() + document_examples()))


@pytest.fixture(scope="module")
def material(example_burst: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the files and folders that the examples name, as small as possible."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("shots", "card/DCIM", "burst"):
        (folder / name).mkdir(parents=True)
        for number, path in enumerate(example_burst[:4], 1):
            frame = read_frame(path)
            metadata = replace(frame.metadata, height=176, width=240)
            write_cfa_dng(
                folder / name / f"IMG_{number:04}.dng", frame.mosaic[40:216, 60:300].copy(), metadata
            )
    shutil.copytree(folder / "card", folder / "CARD")
    shutil.copytree(folder / "shots", folder / "WINE")
    shutil.copytree(folder / "shots", folder / "STARS")
    scene = (draw_scene(400, 480, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    for name in ("photos", "photos/val", "val", "PHOTOS"):
        (folder / name).mkdir()
        Image.fromarray(scene).save(folder / name / "117.png")
    Image.fromarray(scene).save(folder / "photo.jpg")
    for name in ("clip", "REDS4/000", "clips/000", "CLIPS/000"):
        (folder / name).mkdir(parents=True)
        for number in range(18):
            Image.fromarray(scene[:160, number : number + 200]).save(folder / name / f"{number:03}.png")
    noise = np.random.default_rng(0).integers(0, 9, scene.shape, np.uint8)
    for name, picture in (("average.tif", scene), ("kpn.tif", scene // 2 + noise), ("truth.png", scene)):
        Image.fromarray(picture).save(folder / name)
    for name in ("recipes/kpn.toml", "RECIPE"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(RECIPE)
    for name in ("runs/kpn", "runs/a", "runs/b"):
        (folder / name).mkdir(parents=True)
        for suffix in (".safetensors", ".toml"):
            shutil.copy(ROOT / "weights" / f"kpn{suffix}", folder / name / f"kpn{suffix}")
    network, coarse = _save(folder, _network(), _coarse())
    save_weights(folder / "upstream.safetensors", import_two_stage(network, coarse), {})
    network.rename(folder / "G.pth")
    coarse.rename(folder / "DSNet.pth")
    (folder / "mine.toml").write_text('description = "warm"\nwhite_balance = [2.0, 1.0, 1.5]\n')
    (folder / "night.toml").write_text("gap = 1.0\n")
    (folder / "profiles.toml").write_text("")
    (folder / "pictures").mkdir()
    for picture, raws in (("night.tif", "shots"), ("pictures/card.tif", "card/DCIM")):
        assert main(["merge", str(folder / raws), "-o", str(folder / picture), "-q", "-m", "average"]) == 0
    return folder


def test_examples_when_collected_then_help_and_documents_have_some() -> None:
    assert len(help_examples()) > 40 and len(document_examples()) > 10
    unused = [part for part in NOT_RUN if not any(part in line for line in EXAMPLES)]
    assert unused == [], "these reasons belong to no example"


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in EXAMPLES if not reason_not_to_run(line)])
def test_example_when_run_then_it_succeeds(
    line: str,
    material: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    shutil.copytree(material, work)
    monkeypatch.chdir(work)
    monkeypatch.setattr(check, "cache_folder", lambda: tmp_path / "cache")
    before = torch.get_num_threads()
    _, command, *arguments = shlex.split(line, comments=True)
    for at, argument in enumerate(arguments[:-1]):
        if argument in ("-o", "--output", "--report", "--plot"):
            output = work / arguments[at + 1]
            if output.is_file():  # it is also the input of another example
                output.unlink()
                output.with_suffix(".toml").unlink(missing_ok=True)
    if command == "evaluate" and "--bursts" not in arguments:
        # Overrides earlier values.
        arguments += ["--crop", "48", "--max-windows", "1", "--per-photo", "1"]
    if command in ("train", "simulate"):
        shutil.rmtree(work / arguments[arguments.index("-o") + 1], ignore_errors=True)
    assert main([command, *arguments]) == 0, capsys.readouterr().err
    assert torch.get_num_threads() == before
