"""Files and folders that are unreadable temporarily, permanently, or because they were removed."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from burstfix.batch import raw_info
from burstfix.batch.journal import Journal
from burstfix.batch.plan import find_bursts
from burstfix.batch.report import BatchReport
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from burstfix.errors import InputError
from burstfix.settings import file_layers, settings_files
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu")


def run(card: Path) -> BatchReport:
    return run_batch([card], card.parent / "out", SETTINGS)


@pytest.mark.parametrize("reads", ["read_metadata", "read_frame"])
def test_batch_when_a_frame_could_not_be_read_once_then_the_next_run_includes_it(
    reads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(tmp_path / "card", 1, 3, 0.0)
    read = getattr(raw_info, reads)
    requested: list[Path] = []

    def refused(path: Path) -> object:
        if path.name == "IMG_0002.dng":
            requested.append(path)
            raise InputError(f"{path}: may not be read (permissions)")
        return read(path)

    monkeypatch.setattr(raw_info, reads, refused)
    report = run(tmp_path / "card")
    assert list(report.unreadable.values()) == ["may not be read (permissions)"] and report.exit_code == 8
    assert len(requested) == 1
    monkeypatch.undo()
    report = run(tmp_path / "card")
    assert report.exit_code == 0 and report.done == ["IMG_0001.dng"]


def test_journal_when_its_version_stored_errors_then_they_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put_value(tmp_path / "a.dng", "1:1", "facts", '{"error": "may not be read"}')
    journal._db.execute("PRAGMA user_version=1")
    journal.close()
    journal = Journal(tmp_path)
    assert journal.get_value(tmp_path / "a.dng", "1:1", "facts") is None
    journal.close()


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """Make folders with this name fail to list. Permissions would have no effect on tests run by root."""
    real = {"scandir": os.scandir, "listdir": os.listdir}

    def listed(function: str, path: str | int) -> object:
        if not isinstance(path, int) and os.path.basename(path) == name:
            error.filename = str(path)
            raise error
        return real[function](path)

    for function in real:
        monkeypatch.setattr(os, function, partial(listed, function))


def test_batch_when_a_subfolder_cannot_be_listed_then_it_is_reported_and_the_rest_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(tmp_path / "card" / "a", 1, 2, 0.0)
    burst(tmp_path / "card" / "b", 1, 2, 0.0, scene=5)
    refuse(monkeypatch, "b", PermissionError(errno.EACCES, "Permission denied"))
    report = run(tmp_path / "card")
    assert report.unreadable == {str(tmp_path / "card" / "b"): "Permission denied"}
    assert report.exit_code == 8 and report.done == ["a/IMG_0001.dng"]


@pytest.mark.parametrize("command", ["merge", "group"])
def test_command_when_the_given_folder_cannot_be_listed_then_one_line_and_exit_code_3(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    burst(tmp_path / "card", 1, 2, 0.0)
    refuse(monkeypatch, "card", PermissionError(errno.EACCES, "Permission denied"))
    assert main([command, str(tmp_path / "card")]) == 3
    output = capsys.readouterr().err
    assert "card: cannot be read (Permission denied)" in output and len(output.splitlines()) == 1


def test_plan_when_the_status_of_a_file_cannot_be_read_then_it_is_unreadable_and_not_a_broken_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(tmp_path, 1, 3, 0.0)
    (tmp_path / "IMG_0009.dng").symlink_to("nowhere.dng")
    status = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.name == "IMG_0003.dng":
            raise PermissionError(errno.EACCES, "Permission denied")
        return status(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    plan = find_bursts([tmp_path])
    assert [(a.path.name, a.reason) for a in plan.unreadable] == [("IMG_0003.dng", "Permission denied")]
    assert [(a.path.name, a.reason) for a in plan.ignored] == [("IMG_0009.dng", "a link to a missing file")]
    assert [len(g.paths) for g in plan.bursts] == [2]


def test_plan_when_a_copy_is_removed_while_it_is_read_then_the_rest_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(tmp_path, 1, 2, 0.0)
    (tmp_path / "copy.dng").write_bytes((tmp_path / "IMG_0001.dng").read_bytes())
    read = raw_info.hash_file

    def gone(path: Path) -> str:
        if path.name == "copy.dng":
            path.unlink()
        return read(path)

    monkeypatch.setattr(raw_info, "hash_file", gone)
    plan = find_bursts([tmp_path])
    assert [[p.name for p in g.paths] for g in plan.bursts] == [["IMG_0001.dng", "IMG_0002.dng"]]


@pytest.mark.parametrize(("start", "step", "exposure"), [(None, 0.2, 0.05), (0.0, 3.1, 3.0)])
@pytest.mark.parametrize("kept", [0, 3000, 10000])
def test_plan_when_a_frame_in_the_middle_is_damaged_then_its_neighbours_stay_one_burst(
    start: float | None, step: float, exposure: float, kept: int, tmp_path: Path
) -> None:
    paths = burst(tmp_path, 1, 5, start, step=step, exposure=exposure)
    paths[2].write_bytes(paths[2].read_bytes()[:kept])
    plan = find_bursts([tmp_path])
    assert [a.path for a in plan.unreadable] == [paths[2]]
    assert [g.paths for g in plan.bursts] == [(*paths[:2], *paths[3:])]


def test_batch_when_dngs_are_written_among_the_raws_then_the_next_run_does_not_merge_them(
    tmp_path: Path,
) -> None:
    burst(tmp_path, 1, 4, 0.0)
    settings = BatchSettings(model="average", device="cpu", format="dng", max_frames=2)
    before = None
    for _ in range(3):
        report = run_batch([tmp_path], tmp_path, settings)
        pictures = sorted(path.name for path in tmp_path.rglob("*-*.dng"))
        assert report.exit_code == 0 and len(pictures) == 2 and pictures == (before or pictures)
        before = pictures
    # A run with another output folder also ignores them.
    assert len(find_bursts([tmp_path]).ignored) >= 2
    assert {len(g.paths) for g in find_bursts([tmp_path]).groups} == {4}


def test_settings_when_a_folder_cannot_be_read_then_only_the_search_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.stat

    def stat(path: str | Path, **options: Any) -> os.stat_result:
        if os.path.basename(path) == "burstfix.toml":
            raise PermissionError(errno.EACCES, "Permission denied")
        return status(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert file_layers(settings_files([tmp_path])) == []
