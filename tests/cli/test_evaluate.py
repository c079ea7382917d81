"""`burstfix evaluate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from burstfix.cli import main
from tests.cli.documents import validated
from tests.scenes import draw_scene


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "walk"
    folder.mkdir()
    scene = (draw_scene(48, 60, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    for k in range(5):
        Image.fromarray(scene[:, k : k + 48]).save(folder / f"{k}.png")
    return folder


def test_evaluate_when_json_is_requested_then_stdout_and_the_file_have_the_document(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, pictures = tmp_path / "scores.json", tmp_path / "pictures"
    arguments = ["--clips", str(clip), "-m", "menon", "-m", "average", "--json", "-o", str(target)]
    assert main(["evaluate", *arguments, "--save-pictures", str(pictures), "--device", "cpu"]) == 0
    document = validated(capsys.readouterr().out, "evaluate")
    assert document == json.loads(target.read_text())
    rows = {(r["model"], r["noise_level"]): r["psnr"] for r in document["results"]}
    assert rows["average", "high"] > rows["menon", "high"] < rows["menon", "low"]
    assert sorted(p.name for p in pictures.iterdir()) == ["clips_walk_high.png", "clips_walk_low.png"]


def test_evaluate_when_markdown_is_requested_then_it_has_only_the_requested_levels(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--clips", str(clip), "-m", "menon", "--noise-level", "low", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| menon |" in out and "low: PSNR" in out and "high" not in out


def test_evaluate_when_a_real_burst_is_given_then_the_document_fits_its_schema(
    small_burst: list[Path], example_burst: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in example_burst[:4]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arguments = ["--bursts", str(tmp_path), "-m", "menon", "-m", "average", "--device", "cpu"]
    assert main(["evaluate", *arguments, "--json"]) == 0
    document = validated(capsys.readouterr().out, "held-out")
    assert {row["model"] for row in document["results"]} == {"menon", "average"}
    for row in document["results"]:
        assert (row["baseline"] is None) == (row["difference"] is None) == (row["model"] == "menon")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-m", "menon"], 2, "give --clips, --photos or --bursts"),
        (["--clips", "{clip}", "-m", "nonsense"], 2, "no model named"),
        (["--clips", "{clip}", "--frames", "9", "-m", "menon"], 2, "too short"),
        (["--clips", "{clip}", "--markdown", "--json"], 2, "cannot be used together"),
        (["--clips", "{clip}", "--crop", "8"], 2, "32 pixels"),
        (["--clips", "{clip}", "-m", "menon", "--baseline", "kpn"], 2, "choose from menon"),
        (["--clips", "{clip}/none", "-m", "menon"], 3, "no such folder"),
        (["--photos", "{clip}/none.png", "-m", "menon"], 3, "no photograph"),
        (["--clips", "{clip}", "-m", "{clip}/none.safetensors"], 7, "none.safetensors"),
        (["--clips", "{clip}", "-m", "menon", "-o", "{clip}/0.png"], 5, "already exists"),
    ],
)
def test_evaluate_when_arguments_are_wrong_then_error_states_the_reason(
    arguments: list[str], code: int, message: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(a.format(clip=clip) for a in arguments)]) == code
    assert message in capsys.readouterr().err
