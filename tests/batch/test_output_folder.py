"""No file outside the output folder is written or removed, and raws are never replaced."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from burstfix.batch.journal import read_entries
from burstfix.batch.output_folder import OutputFolder
from burstfix.batch.report import BatchReport
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from burstfix.errors import OutputError
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu")
links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    burst(tmp_path / "card" / "DCIM", 1, 2, 0.0)
    return tmp_path / "card"


def run(card: Path, settings: BatchSettings = SETTINGS) -> BatchReport:
    return run_batch([card], card.parent / "out", settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_batch_when_pictures_would_have_the_names_of_raws_then_no_raw_is_replaced(card: Path) -> None:
    before = contents(card)
    settings = replace(SETTINGS, layout="{folder}/{first}.dng", overwrite=True)
    report = run_batch([card], card, settings)
    assert (
        "never overwritten" in report.failed["DCIM/IMG_0001.dng"]
        or "a frame of the burst" in (report.failed["DCIM/IMG_0001.dng"])
    )
    after = contents(card)
    assert {name: after[name] for name in before} == before


def test_batch_when_another_raw_has_the_name_then_it_is_not_replaced(card: Path, tmp_path: Path) -> None:
    (precious,) = burst(tmp_path / "out" / "DCIM", 9, 1, 900.0)
    precious = precious.rename(precious.with_name("IMG_0001.dng"))
    before = precious.read_bytes()
    settings = replace(SETTINGS, layout="{folder}/{first}.dng", overwrite=True)
    assert "never overwritten" in run(card, settings).failed["DCIM/IMG_0001.dng"]
    assert precious.read_bytes() == before


@pytest.mark.parametrize("kind", ["input", "other"])
def test_merge_when_the_default_name_is_a_raw_then_it_is_not_replaced(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = burst(tmp_path / "shots", 1, 2, 0.0)
    target = first.with_name("IMG_0001_merged.dng")
    frames = [str(first)] if kind == "other" else [str(first), str(target)]
    second.rename(target)
    before = target.read_bytes()
    monkeypatch.chdir(target.parent)
    options = [
        "-m",
        "average",
        "--device",
        "cpu",
        "--format",
        "dng",
        "--overwrite",
        "--reference",
        str(first),
    ]
    assert main(["merge", *frames, *options]) == 5
    assert target.read_bytes() == before


def test_merge_when_its_own_dng_exists_then_overwrite_replaces_it(tmp_path: Path) -> None:
    frames = [str(path) for path in burst(tmp_path / "shots", 1, 2, 0.0)]
    command = ["merge", *frames, "-m", "average", "--device", "cpu", "-o", str(tmp_path / "out.dng")]
    assert main(command) == 0 and main(command) == 5 and main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize("output", ["../escaped.tif", "/tmp/escaped.tif", "a/../../escaped.tif"])
@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_batch_when_the_journal_names_a_picture_outside_then_no_file_outside_is_changed(
    output: str, state: str, card: Path, tmp_path: Path
) -> None:
    run(card)
    outside = tmp_path / "escaped.tif"
    outside.write_bytes(b"precious")
    with sqlite3.connect(tmp_path / "out" / "burstfix.sqlite") as db:
        db.execute("UPDATE bursts SET output=?, state=?", (output, state))
        db.execute("UPDATE bursts SET stamp=?", (f"8:{outside.stat().st_mtime_ns}",))
    burst(card / "DCIM", 3, 1, 0.4, scene=1)  # the burst gains a frame, so its earlier picture is superseded
    run(card)
    run(card, replace(SETTINGS, exposure=1.0, overwrite=True))
    assert outside.read_bytes() == b"precious" and not Path("/tmp/escaped.tif").exists()


@links
def test_batch_when_a_folder_in_out_is_a_link_then_the_burst_fails_and_nothing_is_written_outside(
    card: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "DCIM").symlink_to(outside)
    report = run(card)
    assert "outside" in report.failed["DCIM/IMG_0001.dng"] and not list(outside.iterdir())


@links
@pytest.mark.parametrize("name", [".burstfix-staging", "burstfix.log", "burstfix.sqlite"])
def test_batch_when_one_of_its_own_files_is_a_link_then_it_stops_before_any_work(
    name: str, card: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(outside / "file")
    with pytest.raises(OutputError, match="is a link"):
        run(card)
    assert not list(outside.iterdir()) and not read_entries(outside)


def test_contains_when_a_path_stays_inside_then_true(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    assert folder.contains("a/b.tif") and folder.contains("b.tif")
    assert not folder.contains("") and not folder.contains("..") and not folder.contains("../a/b.tif")
