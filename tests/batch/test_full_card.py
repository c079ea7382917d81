"""Plan, pictures and second run of a card with 40 bursts and many other files."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from burstfix.batch.plan import find_bursts
from burstfix.batch.planning import outputs_of
from burstfix.batch.report import BatchReport
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from tests.batch.cards import Card, full_card

SETTINGS = BatchSettings(model="average", device="cpu")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return full_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def merged(card: Card, tmp_path_factory: pytest.TempPathFactory) -> tuple[BatchReport, Path]:
    output = tmp_path_factory.mktemp("out")
    return run_batch([card.root], output, SETTINGS), output


def test_plan_when_the_card_has_unusual_files_then_the_groups_are_those_expected(card: Card) -> None:
    plan = find_bursts([card.root])
    outputs = outputs_of(plan, SETTINGS, "average", [], card.root / "out")
    found = [(g.name, g.kind, len(g.paths), outputs.get(g.key)) for g in plan.groups]
    assert found == list(card.expected)
    assert len(plan.bursts) == 40
    assert {a.path.relative_to(card.root).as_posix() for a in plan.unreadable} == card.unreadable
    assert {a.path.relative_to(card.root).as_posix() for a in plan.ignored} == card.ignored
    assert sorted(w.split(": ")[0].rsplit("/")[-1] for w in plan.warnings) == ["lost", "skewed"]
    assert "was set back by 2.0 h" in plan.warnings[1] and "have no capture time" in plan.warnings[0]


def test_batch_when_run_on_the_card_then_every_burst_has_a_picture(
    card: Card, merged: tuple[BatchReport, Path]
) -> None:
    report, output = merged
    pictures = {path.relative_to(output).as_posix() for path in output.rglob("*.tif")}
    assert pictures == {picture for *_, picture in card.expected if picture}
    assert len(report.done) == 40 and not report.failed
    assert {Path(p).relative_to(card.root).as_posix() for p in report.unreadable} == card.unreadable
    assert report.exit_code == 8 and replace(report, skip_bad=True).exit_code == 0
    assert all(tifffile.imread(output / picture).shape == (64, 96, 3) for picture in list(pictures)[:5])


def test_batch_when_run_again_then_nothing_is_merged_again(
    card: Card, merged: tuple[BatchReport, Path]
) -> None:
    _, output = merged
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.tif")}
    report = run_batch([card.root], output, SETTINGS)
    assert not report.done and len(report.skipped) == 40
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.tif")} == before


def test_batch_when_it_ends_then_the_summary_shows_every_burst(merged: tuple[BatchReport, Path]) -> None:
    _, output = merged
    with open(output / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    merged_rows = [row for row in rows if row["state"] == "done"]
    assert len(merged_rows) == 40 and len(rows) == 43
    unreadable = [row for row in rows if row["state"] == "unreadable"]
    assert all(row["name"].endswith(".dng") and row["error"] for row in unreadable)
    assert all((output / row["output"]).is_file() and row["model"] == "average" for row in merged_rows)
    with Image.open(output / "summary.jpg") as sheet:
        assert sheet.width == 6 * 250 + 10 and sheet.height > 7 * 250
    log = (output / "burstfix.log").read_text(encoding="utf-8")
    assert "clock was set back" in log and log.count("megapixels") == 40
