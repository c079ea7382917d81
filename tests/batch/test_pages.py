"""`batch --report`: a page for each burst, and an index with relative links."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from burstfix.batch.layout import page_of
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from burstfix.errors import UsageError
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu", format="jpeg", report=True)


def links_of(page: Path) -> list[str]:
    return list(dict.fromkeys(re.findall(r'href="([^"]*)"', page.read_text(encoding="utf-8"))))


def test_batch_when_report_is_set_then_the_index_links_to_a_page_for_each_burst(tmp_path: Path) -> None:
    burst(tmp_path / "card" / "A & <b>", 1, 3, 0.0)
    burst(tmp_path / "card" / "50% #1?", 1, 2, 500.0, scene=3)
    out = tmp_path / "out"
    report = run_batch([tmp_path / "card"], out, SETTINGS)
    assert len(report.done) == 2
    links = links_of(out / "report.html")
    assert len(links) == 2
    for link in links:
        assert not link.startswith(("/", "file:")) and (out / unquote(link)).is_file()
    page = (out / page_of("A & <b>/IMG_0001-IMG_0003.jpg")).read_text(encoding="utf-8")
    assert "3 of 3" in page and "before-and-after" not in page and "burstfix merge" in page
    assert "--layout" not in page and "--report" not in page
    assert not list(out.glob(".burstfix-staging/*"))


def test_batch_when_bursts_failed_or_were_merged_without_report_then_the_index_lists_them(
    tmp_path: Path,
) -> None:
    card, out = tmp_path / "card", tmp_path / "out"
    burst(card / "A", 1, 2, 0.0)
    run_batch([card], out, replace(SETTINGS, report=False))
    assert not (out / "report.html").exists()
    burst(card / "B", 1, 2, 500.0, scene=3)
    (out / "B").mkdir()
    (out / "B" / "IMG_0001-IMG_0002.jpg").write_text("a stranger")
    run_batch([card], out, SETTINGS)
    text = (out / "report.html").read_text(encoding="utf-8")
    assert links_of(out / "report.html") == []
    assert "no report: merged without --report" in text and "already exists" in text
    assert "Pictures: 1, failed bursts: 1" in text


def test_batch_when_a_burst_gains_a_frame_then_the_page_of_the_superseded_picture_is_removed(
    tmp_path: Path,
) -> None:
    card, out = tmp_path / "card", tmp_path / "out"
    *_, late = burst(card, 1, 3, 0.0)
    late.rename(tmp_path / late.name)
    run_batch([card], out, SETTINGS)
    first = out / page_of("IMG_0001-IMG_0002.jpg")
    assert first.exists()
    (tmp_path / late.name).rename(late)
    run_batch([card], out, SETTINGS)
    assert (out / page_of("IMG_0001-IMG_0003.jpg")).exists() and not first.exists()
    assert links_of(out / "report.html") == ["report/IMG_0001-IMG_0003.jpg.html"]


def test_batch_when_the_report_folder_is_a_link_then_nothing_is_written_outside(tmp_path: Path) -> None:
    card, out, outside = tmp_path / "card", tmp_path / "out", tmp_path / "outside"
    burst(card, 1, 2, 0.0)
    out.mkdir()
    outside.mkdir()
    (out / "report").symlink_to(outside)
    report = run_batch([card], out, SETTINGS)
    assert "would be written outside" in report.failed["IMG_0001.dng"]
    assert list(outside.iterdir()) == []


def test_batch_when_reports_of_mosaics_are_requested_then_usage_error() -> None:
    with pytest.raises(UsageError, match="report needs demosaicked pictures"):
        BatchSettings(format="dng", dng="mosaic", report=True)


def test_page_of_when_the_name_is_long_then_the_page_has_a_valid_unique_name() -> None:
    pages = {page_of(f"a/{'x' * 240}{n}.tif") for n in range(3)}
    assert len(pages) == 3 and all(len(Path(page).name) <= 255 for page in pages)
    assert page_of("a/b.tif") == "report/a/b.tif.html" != page_of("a/b.jpg")


def test_batch_when_report_is_given_on_the_command_line_then_events_name_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    burst(tmp_path / "card", 1, 2, 0.0)
    arguments = ["batch", str(tmp_path / "card"), "-o", str(tmp_path / "out"), "-m", "average"]
    assert main([*arguments, "--report", "--json"]) == 0
    page = tmp_path / "out" / "report" / "IMG_0001-IMG_0002.tif.html"
    assert f'"report": "{page}"' in capsys.readouterr().out and page.exists()
