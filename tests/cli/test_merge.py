"""`burstfix merge` and `burstfix inspect` on real files: results, errors, and the remaining files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from burstfix.cli import finding, main
from burstfix.color import preview, render
from burstfix.errors import InputError
from burstfix.models.kpn import Kpn


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def shots(burst: list[Path]) -> list[str]:
    return [str(path) for path in burst]


def test_merge_when_it_succeeds_then_writes_one_picture_and_one_line(
    small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *shots(small_burst), "-o", "night.tif", "--model", "average"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("night.tif: 3 of 3 frames, reference example_00") and out.count("\n") == 1
    assert "NoiseProfile" in out and " s\n" in out
    assert [path.name for path in workplace.iterdir()] == ["night.tif"]
    picture = iio.imread("night.tif")
    assert (picture.shape, str(picture.dtype)) == ((176, 240, 3), "uint16")


def test_merge_when_json_is_requested_then_prints_one_document(
    small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["merge", *shots(small_burst), "--json", "--model", "average", "--reference", "2"]
    assert main([*command, "--format", "png", "--bit-depth", "8", "--noise", "5e-3,3e-4"]) == 0
    document = json.loads(capsys.readouterr().out)
    reference = small_burst[1]
    assert document["output"] == str(workplace / f"{reference.stem}_merged.png")
    assert iio.imread(document["output"]).dtype == "uint8"
    assert document["reference"] == {"number": 2, "path": str(reference)}
    assert document["noise"] == {"source": "given", "shot_gain": [5e-3] * 4, "read_variance": [3e-4] * 4}
    assert (document["height"], document["width"], document["model"]) == (176, 240, "average")
    assert [frame["kept"] for frame in document["frames"]] == [True] * 3
    assert document["settings"]["render"]["look"] == "natural"
    assert document["seconds"]["total"] > 0


def test_merge_when_the_reference_is_a_file_then_the_output_is_named_after_it(
    small_burst: list[Path], workplace: Path
) -> None:
    command = ["merge", *shots(small_burst), "-q", "--model", "average", "--reference", str(small_burst[2])]
    assert main(command) == 0
    assert [path.name for path in workplace.iterdir()] == [f"{small_burst[2].stem}_merged.tif"]


def test_merge_when_a_settings_file_is_beside_the_raws_then_the_command_line_overrides_it(
    small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in small_burst:
        shutil.copy(path, workplace)
    # The file may contain settings of `batch`.
    Path("burstfix.toml").write_text('model = "average"\nformat = "png"\nlook = "vivid"\ngap = 3\n')
    assert main(["merge", ".", "--json", "--look", "plain", "--strength", "0.5"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["format"]) == ("average", "png")
    assert document["settings"]["render"]["look"] == "plain" and document["settings"]["strength"] == 0.5
    Path("burstfix.toml").write_text("looks = 1\n")
    assert main(["merge", "."]) == 2
    assert "unknown setting 'looks'" in capsys.readouterr().err


def test_merge_when_preview_is_requested_then_the_whole_picture_has_a_quarter_of_the_size(
    example_burst: list[Path], workplace: Path
) -> None:
    options = ["-q", "--model", "average", "--device", "cpu", "--reference", "2"]
    command = ["merge", *shots(example_burst[:3]), *options]
    assert main([*command, "--preview", "-o", "small.png"]) == 0
    assert main([*command, "-o", "whole.png"]) == 0
    small, whole = (iio.imread(name).astype(float) / 65535 for name in ("small.png", "whole.png"))
    assert small.shape == (150, 200, 3) and whole.shape == (600, 800, 3)
    means = whole.reshape(150, 4, 200, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - means).mean() < 0.02


@pytest.mark.parametrize(("model", "used"), [("auto", "average"), ("kpn", "kpn")])
def test_merge_when_preview_is_requested_then_auto_is_the_fastest_model(
    model: str, used: str, small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["merge", *shots(small_burst), "--device", "cpu", "-o", "small.png", "--preview", "--json"]
    assert main([*command, "--model", model]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == used


def test_merge_when_quiet_then_prints_nothing(
    small_burst: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *shots(small_burst), "-q", "--model", "average", "-o", "a.jpg"]) == 0
    assert capsys.readouterr() == ("", "")


def test_merge_when_compute_options_are_given_then_the_library_gets_them(
    small_burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: dict[str, object] = {}

    def merge(_burst: object, **options: object) -> None:
        requested.update(options)
        raise InputError("enough")

    monkeypatch.setattr("burstfix.pipeline.merge_burst", merge)
    how = {"model": "kpn", "device": "cpu", "tile": 512, "precision": "bfloat16", "strength": 0.5}
    given = [word for name, value in how.items() for word in (f"--{name}", str(value))]
    assert main(["merge", *shots(small_burst), *given, "--dng", "mosaic", "-o", "a.dng"]) == 3
    model = requested.pop("model")  # loaded before a raw is read
    assert isinstance(model, Kpn) and how.pop("model") == "kpn"
    assert how.items() <= requested.items() and requested["mosaic"] is True


def test_merge_when_the_output_is_a_dng_then_renders_its_preview_once(
    small_burst: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = []
    monkeypatch.setattr(preview, "render", lambda *a, **k: rendered.append(1) or render(*a, **k))
    assert main(["merge", *shots(small_burst), "--model", "average", "-o", "a.dng", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["height"], document["width"]) == (176, 240)
    assert document["output"] == str(Path.cwd() / "a.dng")
    assert "render" not in document["settings"] and document["settings"]["model"] == "average"
    assert rendered == [1]


def test_merge_when_the_output_exists_then_does_not_change_it(
    small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("night.tif").write_text("precious")
    assert main(["merge", *shots(small_burst), "-o", "night.tif"]) == 5
    assert Path("night.tif").read_text() == "precious"
    assert "--overwrite" in capsys.readouterr().err
    assert main(["merge", *shots(small_burst), "-o", "night.tif", "--overwrite", "--model", "average"]) == 0
    assert iio.imread("night.tif").shape == (176, 240, 3)


@pytest.mark.parametrize("output", ["missing/a.tif", "missing/"])
def test_merge_when_the_folder_is_missing_then_fails_before_reading(
    output: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.dng").write_text("never opened")
    assert main(["merge", "a.dng", "-o", output]) == 5
    assert "does not exist" in capsys.readouterr().err
    assert [path.name for path in workplace.iterdir()] == ["a.dng"]


@pytest.mark.parametrize("name", ["merge", "inspect"])
def test_command_when_a_file_is_not_a_raw_then_exits_3_and_writes_nothing(
    name: str, small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.dng").write_bytes(b"this is no raw at all" * 100)
    assert main([name, str(small_burst[0]), "bad.dng"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("burstfix: ") and "bad.dng" in err and err.count("\n") == 1
    assert [path.name for path in workplace.iterdir()] == ["bad.dng"]


def test_merge_when_skip_bad_is_given_then_names_the_frames_left_out(
    small_burst: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.dng").write_bytes(b"this is no raw at all" * 100)
    command = ["merge", *shots(small_burst), "bad.dng", "--skip-bad", "--json", "--model", "average"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    dropped = [frame for frame in document["frames"] if not frame["kept"]]
    assert [Path(frame["path"]).name for frame in dropped] == ["bad.dng"]
    assert dropped[0]["reason"]


def test_merge_when_frames_differ_in_size_then_exits_4_and_names_the_file(
    small_burst: list[Path], example_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *shots(small_burst), str(example_burst[5]), "-o", "a.tif"]) == 4
    assert "example_005.dng" in capsys.readouterr().err
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--reference", "9"], 2),
        (["--reference", "nowhere.dng"], 2),
        (["--device", "cuda:77"], 2),
        (["--model", "no-such-model"], 2),
        (["--model", "missing.safetensors"], 7),
    ],
)
def test_merge_when_an_argument_is_invalid_then_no_raw_is_read(
    options: list[str],
    code: int,
    small_burst: list[Path],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("burstfix.pipeline.read_burst", lambda *_, **__: pytest.fail("a raw was read"))
    assert main(["merge", *shots(small_burst), "-o", "a.tif", *options]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and options[1] in err
    assert list(workplace.iterdir()) == []


def test_merge_when_every_default_output_exists_then_no_raw_is_read(
    small_burst: list[Path],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("burstfix.pipeline.read_burst", lambda *_, **__: pytest.fail("a raw was read"))
    for path in small_burst:
        (workplace / f"{path.stem}_merged.tif").touch()
    assert main(["merge", *shots(small_burst)]) == 5
    assert "already exists" in capsys.readouterr().err


def test_merge_when_one_default_output_exists_then_another_reference_is_accepted(
    small_burst: list[Path], workplace: Path
) -> None:
    (workplace / f"{small_burst[0].stem}_merged.tif").touch()
    command = ["merge", *shots(small_burst), "-q", "--model", "average", "--reference", small_burst[1].name]
    assert main(command) == 0
    assert (workplace / f"{small_burst[1].stem}_merged.tif").exists()


def test_merge_when_a_preset_is_given_then_it_overrides_the_settings_of_the_folder(
    small_burst: list[Path],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(finding, "user_folder", lambda: workplace / "user")
    presets = workplace / "user" / "presets"
    presets.mkdir(parents=True)
    (presets / "party.toml").write_text('look = "vivid"\nmodel = "average"\nformat = "jpeg"\n')
    assert main(["merge", *shots(small_burst), "--preset", "party", "--format", "png", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["render"]["look"] == "vivid" and document["format"] == "png"
    assert main(["merge", *shots(small_burst), "--preset", "beach"]) == 2
    err = capsys.readouterr().err
    assert "beach.toml: this preset does not exist" in err and "party" in err
    assert main(["merge", *shots(small_burst), "--preset", "../x"]) == 2


def test_merge_when_a_shipped_preset_is_given_then_its_model_is_used_unless_the_user_replaces_it(
    small_burst: list[Path],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(finding, "user_folder", lambda: workplace / "user")
    command = ["merge", *shots(small_burst), "--preset", "fast", "--json", "--overwrite"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == "average" and document["settings"]["render"]["look"] == "natural"
    (workplace / "user" / "presets").mkdir(parents=True)
    (workplace / "user" / "presets" / "fast.toml").write_text('model = "average"\nlook = "vivid"\n')
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["render"]["look"] == "vivid"


def test_inspect_when_it_succeeds_then_prints_a_row_for_each_frame(
    small_burst: list[Path], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *shots(small_burst)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for path in small_burst:
        assert path.name in out
    assert "240x176" in out and "1/20 s" in out and "6400" in out
    assert out.count("reference") == 2  # once in its row, and once below the table
    assert list(workplace.iterdir()) == []


def test_inspect_when_json_is_requested_then_prints_shifts_and_noise(
    small_burst: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *shots(small_burst), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["noise"]["source"] == "file"
    reference = document["reference"]["number"] - 1
    assert document["frames"][reference]["motion"]["dy"] == 0
    moved = [frame["motion"] for frame in document["frames"] if not frame["reference"]]
    assert any(abs(motion["dy"]) + abs(motion["dx"]) > 0.5 for motion in moved)


def test_inspect_when_noise_is_measured_then_profiles_in_files_are_ignored(
    small_burst: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *shots(small_burst), "--json", "--noise", "measure"]) == 0
    assert json.loads(capsys.readouterr().out)["noise"]["source"] in ("burst", "frame")
    assert main(["inspect", *shots(small_burst), "--json", "--noise", "file"]) == 0
    assert json.loads(capsys.readouterr().out)["noise"]["source"] == "file"
    assert main(["inspect", *shots(small_burst), "--noise", "guess"]) == 2
    assert "expected S,O|file|measure" in capsys.readouterr().err


def test_command_when_given_a_folder_then_it_uses_its_raws(
    small_burst: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("shots").mkdir()
    for path in small_burst:
        shutil.copy(path, "shots")
    Path("shots/notes.txt").touch()
    assert main(["inspect", "shots", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_merge_when_interrupted_then_no_file_remains(
    signal_number: int, code: int, example_burst: list[Path], workplace: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "burstfix", "merge", *shots(example_burst), "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # In background jobs of a shell, SIGINT is ignored; restore its default.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    process.stderr.readline()  # with -v, this line names the reference before the merge starts
    os.killpg(process.pid, signal_number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err and out == ""
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "truncated.arw",
        "truncated.cr2",
        "truncated.dng",
        "truncated.nef",
        "unsupported_vc5.gpr",
        "headerless.raw",
    ],
)
def test_merge_when_given_a_damaged_raw_then_exits_3_with_one_line(
    name: str, shared_data: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(shared_data / "raws" / "bad" / name), "-o", "a.tif"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("burstfix: ") and name in err and err.count("\n") == 1
    assert list(workplace.iterdir()) == []
