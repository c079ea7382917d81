"""`burstfix simulate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from burstfix.cli import main
from burstfix.io import read_frame
from burstfix.pipeline import read_burst
from tests.scenes import draw_scene


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = (draw_scene(120, 150, seed=4) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_simulate_when_given_a_photo_then_the_burst_matches_the_options(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--frames 3 --reference 1 --shift 5 --cfa bggr --bits 10 --iso 3200 --size 64x48 --seed 9 --json"
    )
    assert main(["simulate", str(photo), "-o", str(tmp_path / "b"), *options.split()]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["height"], document["width"], document["reference"]["number"]) == (48, 64, 1)
    frames = [read_frame(Path(frame["path"])).metadata for frame in document["frames"]]
    assert {(f.cfa, f.levels.white, f.iso) for f in frames} == {("BGGR", 1023.0, 3200.0)}
    facts = json.loads((tmp_path / "b" / "simulation.json").read_text())
    assert facts["frames"][0]["motion"]["dx"] == 0 and facts["frames"][2]["motion"]["dx"] != 0
    assert max(abs(f["motion"][k]) for f in facts["frames"] for k in ("dx", "dy")) * 2**0.5 >= 2.5


def test_simulate_when_given_a_clip_then_its_frames_are_recorded(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for k in range(4):
        Image.new("RGB", (64, 48), (40 * k, 90, 90)).save(clip / f"{k}.png")
    assert main(["simulate", str(clip), "-o", str(tmp_path / "b"), "--frames", "2", "--first", "3"]) == 0
    facts = json.loads((tmp_path / "b" / "simulation.json").read_text())
    assert "homography" not in facts["frames"][0] and "motion" not in facts["settings"]
    assert "2 frames of 64x48" in capsys.readouterr().out


def test_simulate_when_read_as_a_burst_then_motion_and_noise_match_the_json_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = (draw_scene(420, 480, seed=4) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    options = "--no-object --shift 30 --rotation 0.6 --noise-level low --cfa GRBG --hot-pixels 8"
    assert main(["simulate", str(tmp_path / "photo.png"), "-o", str(tmp_path / "b"), *options.split()]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "b"), "--reference", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"]
    burst = read_burst(sorted((tmp_path / "b").glob("*.dng")), reference=2)
    facts = json.loads((tmp_path / "b" / "simulation.json").read_text())
    for found, frame in zip(burst.motions, facts["frames"], strict=True):
        true = frame["motion"]
        assert (found.dy, found.dx) == pytest.approx((true["dy"], true["dx"]), abs=1.5)
        # Blocks are matched to whole packed pixels; the tolerance is half of one at the edge of this picture.
        assert found.angle == pytest.approx(true["angle"], abs=5e-3)
    assert burst.noise.shot_gain == pytest.approx((2.5e-3,) * 4)
    assert burst.dropped == ()
    shared = set(map(tuple, burst.hot_pixels.tolist())) & set(map(tuple, facts["hot_pixels"]))
    assert len(shared) >= 6  # of 8, because noise may hide the faintest


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{photo}", "--noise-level", "low", "--iso", "400"], 2, "give one of them"),
        (["{photo}", "--reference", "6"], 2, "reference 6: expected 1 to 5"),
        (["{photo}", "--first", "2"], 2, "is a photograph"),
        (["{photo}", "--shift", "200"], 2, "too small for motion"),
        (["{folder}", "--shift", "5"], 2, "applies to photographs"),
        (["{photo}", "--size", "8"], 2, "WIDTHxHEIGHT"),
        (["{photo}", "--bits", "10", "--black-level", "2000"], 2, "black level"),
        (["{folder}/none.png"], 3, "no such file"),
        (["{folder}/none.mp4"], 3, "no such file or folder"),
    ],
)
def test_simulate_when_arguments_are_wrong_then_error_states_the_reason_and_nothing_is_written(
    arguments: list[str],
    code: int,
    message: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [a.format(photo=photo, folder=tmp_path) for a in arguments]
    assert main(["simulate", *given, "-o", str(tmp_path / "b")]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_simulate_when_folder_contains_other_files_then_exit_5_even_with_overwrite(
    photo: Path, tmp_path: Path
) -> None:
    assert main(["simulate", str(photo), "-o", str(tmp_path), "--shift", "3", "--overwrite"]) == 5
    assert photo.exists()
