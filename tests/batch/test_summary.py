"""The table and the contact sheet at the end of a batch."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from burstfix.batch.journal import Entry, State
from burstfix.batch.summary import write_summary
from burstfix.batch.superseded import superseded_key

ORANGE = (230, 140, 20)


def entry(number: int, state: State = "done", error: str | None = None, **facts: object) -> Entry:
    name, began = f"{number:05d}", float(number)
    picture, frames = f"{name}.tif", (f"{name}.dng",)
    return Entry(name, frames[0], "", "", "", state, picture, None, began, None, error, None, frames, facts)


def thumb(color: tuple[int, int, int]) -> str:
    held = io.BytesIO()
    Image.new("RGB", (240, 160), color).save(held, "JPEG", quality=95)
    return base64.b64encode(held.getvalue()).decode("ascii")


def test_summary_when_a_burst_failed_then_the_table_has_the_reason_and_the_sheet_only_the_other(
    tmp_path: Path,
) -> None:
    merged = entry(1, thumb=thumb(ORANGE), left_out=["a.dng: blurred", "b.dng: dark"], used=3)
    earlier = replace(entry(1), key=superseded_key("00001", "before.tif"), output="before.tif")
    write_summary(tmp_path, [merged, earlier, entry(2, "failed", "no burst, alas")], {})
    with open(tmp_path / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["state"], row["error"]) for row in rows] == [
        ("00001.dng", "done", ""), ("00002.dng", "failed", "no burst, alas"),
    ]  # fmt: skip
    assert rows[0]["left_out"] == "a.dng: blurred; b.dng: dark" and rows[0]["used"] == "3"
    with Image.open(tmp_path / "summary.jpg") as sheet:
        pixels = np.asarray(sheet).astype(int)
    assert sheet.size == (2 * 250 + 10, 278 + 10)
    like = np.abs(pixels - ORANGE).max(axis=2) < 24
    # The picture fills the width of its cell. The other cell has no picture.
    assert like[60:190, 15:245].all() and not like[:, 260:].any()


def test_summary_when_there_are_thousands_of_bursts_then_the_sheet_shows_the_newest(tmp_path: Path) -> None:
    older = [entry(k, thumb=thumb(ORANGE)) for k in range(300)]
    write_summary(tmp_path, older + [entry(k) for k in range(300, 1500)], {})
    with open(tmp_path / "summary.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 1500
    with Image.open(tmp_path / "summary.jpg") as sheet:
        assert sheet.size == (6 * 250 + 10, 10 + 28 + 200 * 278)
        top = np.asarray(sheet.crop((0, 0, sheet.width, 300))).astype(int)
    assert (top[:28].max() > 150) and not (np.abs(top - ORANGE).max(axis=2) < 24).any()


def test_summary_when_cells_are_hostile_then_a_spreadsheet_shows_plain_text(tmp_path: Path) -> None:
    formula = entry(1, "failed", "=cmd|' /C calc'!A0", reference="-1+1\x1b[2J")
    write_summary(tmp_path, [formula], {"/card/@SUM(A1)\n.dng": "is damaged", "+1.dng": "is damaged"})
    with open(tmp_path / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["error"] == "'=cmd|' /C calc'!A0" and rows[0]["reference"] == r"'-1+1\x1b[2J"
    assert [row["name"] for row in rows[1:]] == [r"/card/@SUM(A1)\n.dng", "'+1.dng"]
    assert [row["state"] for row in rows[1:]] == ["unreadable"] * 2
