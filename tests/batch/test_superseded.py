"""A superseded picture is removed once newer pictures contain all of its frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from burstfix.batch import job as jobs
from burstfix.batch.journal import read_entries
from burstfix.batch.report import BatchReport
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.errors import BurstError
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu", skip_bad=True, check_content=False)
BY_LAST = replace(SETTINGS, layout="{last}")


def run(card: Path, settings: BatchSettings = SETTINGS, *, retry_failed: bool = False) -> BatchReport:
    return run_batch([card], card.parent / "out", settings, retry_failed=retry_failed)


def pictures(card: Path) -> dict[str, bytes]:
    return {p.stem: p.read_bytes() for p in (card.parent / "out").rglob("*.tif")}


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read = jobs.read_burst

    def broken(paths: tuple[Path, ...], **options: object) -> object:
        if paths[0].name == name:
            raise BurstError("oh")
        return read(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "read_burst", broken)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    burst(tmp_path / "card", 1, 3, 0.0)
    return tmp_path / "card"


@pytest.fixture
def repaired(card: Path) -> Path:
    """Create a card; its first frame was unreadable in the first run and is repaired now."""
    first = card / "IMG_0001.dng"
    whole = first.read_bytes()
    first.write_bytes(whole[:3000])
    assert run(card).done == ["IMG_0002.dng"] and list(pictures(card)) == ["IMG_0002-IMG_0003"]
    first.write_bytes(whole)
    return card


def test_batch_when_the_first_frame_is_repaired_then_the_picture_without_it_is_removed(
    repaired: Path,
) -> None:
    assert run(repaired).done == ["IMG_0001.dng"]
    assert list(pictures(repaired)) == ["IMG_0001-IMG_0003"]
    assert [entry.name for entry in read_entries(repaired.parent / "out")] == ["IMG_0001.dng"]


def test_batch_when_the_picture_without_the_first_frame_was_edited_then_it_stays(repaired: Path) -> None:
    (repaired.parent / "out" / "IMG_0002-IMG_0003.tif").write_bytes(b"better")
    assert run(repaired).done == ["IMG_0001.dng"]
    assert pictures(repaired)["IMG_0002-IMG_0003"] == b"better" and len(pictures(repaired)) == 2


def test_batch_when_frames_have_other_content_then_the_picture_of_the_old_frames_stays(
    repaired: Path,
) -> None:
    before = pictures(repaired)
    for path in repaired.iterdir():
        path.unlink()
    burst(repaired, 1, 3, 0.0, scene=9)
    assert run(repaired).done == ["IMG_0001.dng"]
    assert len(pictures(repaired)) == 2 and pictures(repaired).items() >= before.items()


def test_batch_when_the_larger_burst_fails_then_the_earlier_picture_stays_until_it_is_merged(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(card)
    before = pictures(card)
    burst(card, 4, 1, 0.6, scene=1)
    fail_on(monkeypatch, "IMG_0001.dng")
    assert run(card).failed and pictures(card) == before
    monkeypatch.undo()
    assert run(card, retry_failed=True).done and list(pictures(card)) == ["IMG_0001-IMG_0004"]
    assert len(read_entries(card.parent / "out")) == 1


def test_batch_when_a_burst_is_split_then_its_picture_is_removed_once_both_parts_exist(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(card, 4, 3, 0.6, scene=1)
    run(card, BY_LAST)
    before = pictures(card)
    assert list(before) == ["IMG_0006"]
    fail_on(monkeypatch, "IMG_0004.dng")
    parts = replace(BY_LAST, max_frames=3)
    assert run(card, parts).failed == {"IMG_0004.dng": "oh"}
    assert pictures(card).items() >= before.items() and set(pictures(card)) == {"IMG_0003", "IMG_0006"}
    monkeypatch.undo()
    # Until then, the name belongs to the other burst.
    assert run(card, parts, retry_failed=True).done == ["IMG_0004.dng"]
    assert set(pictures(card)) == {"IMG_0003", "IMG_0006_dng"}
    assert len(run(card, parts).skipped) == 2
    # Without the limit, the first picture is written again.
    assert run(card, BY_LAST).done == ["IMG_0001.dng"] and pictures(card) == before


def test_batch_when_a_frame_is_removed_and_restored_then_the_burst_has_its_name_again(card: Path) -> None:
    run(card)
    before = pictures(card)
    last = card / "IMG_0003.dng"
    kept = last.read_bytes()
    last.unlink()
    assert run(card).done == ["IMG_0001.dng"]
    # Only the picture of all three frames contains the third frame.
    assert set(pictures(card)) == {"IMG_0001-IMG_0002", "IMG_0001-IMG_0003"}
    last.write_bytes(kept)
    assert run(card).done == ["IMG_0001.dng"] and pictures(card) == before


def test_batch_when_the_layout_changes_and_changes_back_then_its_pictures_are_recognised(
    card: Path,
) -> None:
    run(card)
    before = pictures(card)
    assert run(card, BY_LAST).done and set(pictures(card)) == {"IMG_0001-IMG_0003", "IMG_0003"}
    report = run(card)
    assert report.done and not report.failed and pictures(card).items() >= before.items()
