"""`burstfix batch`, `group` and `config show` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burstfix.cli import finding, main
from tests.batch.cards import burst, shoot


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a temporary config folder for the user."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setattr(finding, "user_folder", lambda: folder)
    return folder


@pytest.fixture
def card(tmp_path: Path) -> Path:
    burst(tmp_path / "card", 1, 3, 0.0)
    shoot(tmp_path / "card" / "IMG_0050.dng", 500.0, scene=50)
    (tmp_path / "card" / "broken.dng").write_bytes(b"")
    return tmp_path / "card"


def test_group_when_run_then_shows_the_plan_as_table_and_json(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["group", str(card)]) == 0
    text = capsys.readouterr().out
    assert "IMG_0001.dng" in text and "single frame" in text and "cannot be read, is empty" in text
    assert text.splitlines()[-1].startswith("1 bursts, 1 single frames, 1 unreadable")
    assert main(["group", str(card), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["counts"] == {"burst": 1, "single": 1, "bracket": 0, "short": 0}
    names = [Path(frame["path"]).name for frame in document["groups"][0]["frames"]]
    assert names == ["IMG_0001.dng", "IMG_0002.dng", "IMG_0003.dng"]


def test_batch_when_dry_run_then_shows_pictures_and_writes_nothing(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = card.parent / "out"
    layout = "{date}/{first}_{camera}_{count}_{model}.png"
    assert (
        main(["batch", str(card), "-o", str(out), "--dry-run", "--json", "--layout", layout, "-m", "kpn"])
        == 0
    )
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [g["output"] for g in groups] == [str(out / "2024-05-31/IMG_0001_Acme One_3_kpn.png"), None]
    assert not out.exists()


def test_batch_when_run_then_prints_json_lines(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = card.parent / "out"
    assert (
        main(["batch", str(card), "-o", str(out), "-m", "average", "--json", "--singles", "--skip-bad"]) == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "plan" and kinds[-1] == "tally" and kinds.count("done") == 2
    assert events[-1]["exit_code"] == 0 and len(events[-1]["unreadable"]) == 1


def test_batch_when_a_burst_fails_then_exit_8_and_a_line_for_it(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = card.parent / "out"
    out.mkdir()
    (out / "IMG_0001-IMG_0003.tif").write_text("a stranger")
    assert main(["batch", str(card), "-o", str(out), "-m", "average"]) == 8
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("IMG_0001.dng: failed: ") and "already exists" in lines[0]
    assert "0 merged, 0 merged earlier, 1 failed, 1 raws unreadable" in lines[-1]


def test_batch_when_another_batch_is_running_then_exit_5(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from burstfix.batch.lock import only_run

    out = card.parent / "out"
    out.mkdir()
    with only_run(out):
        assert main(["batch", str(card), "-o", str(out)]) == 5
    assert "another batch is running in this folder" in capsys.readouterr().err


def test_batch_when_settings_come_from_several_sources_then_command_line_overrides_folder_and_user(
    card: Path, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (user / "burstfix.toml").write_text('format = "png"\nmodel = "average"\ngap = 9.0\n')
    (card / "burstfix.toml").write_text('format = "jpeg"\nquality = 50\n')
    arguments = ["batch", str(card), "-o", str(card.parent / "out"), "--dry-run", "--json"]
    assert main([*arguments, "--quality", "60"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["format"] == "jpeg" and settings["quality"] == 60 and settings["gap"] == 9.0
    assert main(["config", "show", str(card), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["settings"]
    assert shown["quality"] == {"value": 50, "source": str(card / "burstfix.toml")}
    assert shown["gap"]["source"] == str(user / "burstfix.toml") and shown["jobs"]["source"] == "default"
    assert main(["config", "show"]) == 0
    assert "gap" in capsys.readouterr().out


def test_config_when_a_key_is_unknown_then_exit_2(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (card / "burstfix.toml").write_text("colour = 1\n")
    assert main(["config", "show", str(card)]) == 2
    assert "unknown setting 'colour'" in capsys.readouterr().err


def test_batch_when_folder_is_missing_then_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 3
    assert "this folder does not exist" in capsys.readouterr().err
