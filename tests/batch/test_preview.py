"""`batch --preview`: a contact sheet of quickly merged small pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from burstfix.batch.preview import preview_folders
from burstfix.batch.report import Event
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from tests.batch.cards import Camera, burst

SETTINGS = BatchSettings(model="average", device="cpu", bit_depth=16, exposure="shared")
LARGE = Camera(height=128, width=192)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    burst(tmp_path / "card" / "A <b>", 1, 3, 0.0, camera=LARGE)
    burst(tmp_path / "card" / "B", 1, 2, 500.0, scene=3, camera=LARGE)
    return tmp_path / "card"


def pictures_of(sheet: Path) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', sheet.read_text(encoding="utf-8"))
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_preview_when_run_then_one_sheet_shows_every_burst_at_a_quarter_of_its_size(
    card: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    reports: list[tuple[str, str]] = []
    out = tmp_path / "out"
    report = preview_folders(
        [card], out, SETTINGS, on_event=events.append, on_progress=lambda *r: reports.append(r[:2])
    )
    assert [event.kind for event in events] == ["plan", "done", "done"] and reports[0] == ("", "scan")
    assert {stage for name, stage in reports if name} >= {"merge"}
    assert [picture.size for picture in pictures_of(report.output)] == [(48, 32)] * 2
    text = report.output.read_text(encoding="utf-8")
    assert "A &lt;b&gt;/IMG_0001.dng" in text and "3 of 3 frames" in text
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("preview.html", "burstfix.log", "burstfix.sqlite")
    }


def test_preview_when_a_burst_fails_then_the_sheet_shows_the_reason_and_exit_8(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from burstfix.batch import job as jobs
    from burstfix.errors import InputError

    read_burst = jobs.read_burst

    def read(paths: list[Path], **options: object) -> object:
        if paths[0].parent.name == "B":
            raise InputError("is odd")
        return read_burst(paths, **options)

    monkeypatch.setattr(jobs, "read_burst", read)
    out = tmp_path / "out"
    assert main(["batch", str(card), "-o", str(out), "--preview", "-m", "average", "--json"]) == 8
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == {"B/IMG_0001.dng": "is odd"} and len(document["bursts"]) == 1
    assert "failed: is odd" in (out / "preview.html").read_text(encoding="utf-8")


def test_preview_when_pictures_were_merged_before_then_they_are_kept(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = BatchSettings(model="average", device="cpu")
    run_batch([card], out, settings)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")}
    preview_folders([card], out, settings)
    assert len(before) == 2 and all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(run_batch([card], out, settings).skipped) == 2


@pytest.mark.parametrize("option", ["--dry-run", "--watch", "--retry-failed", "--cluster=local"])
def test_preview_when_combined_with_options_of_a_run_then_exit_2(
    option: str, card: Path, tmp_path: Path
) -> None:
    assert main(["batch", str(card), "-o", str(tmp_path / "out"), "--preview", option]) == 2
    assert not (tmp_path / "out").exists()
