"""Files and folders that cannot be read: now, for ever, or because they went away."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstfix.batch import facts
from burstfix.batch.journal import Journal
from burstfix.batch.run import BatchReport, run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.errors import InputError
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu")


def run(card: Path) -> BatchReport:
    return run_batch([card], card.parent / "out", SETTINGS)


@pytest.mark.parametrize("reads", ["read_metadata", "read_frame"])
def test_batch_when_a_frame_could_not_be_read_once_then_the_next_run_has_it(
    reads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(tmp_path / "card", 1, 3, 0.0)
    read = getattr(facts, reads)
    asked: list[Path] = []

    def refused(path: Path) -> object:
        if path.name == "IMG_0002.dng":
            asked.append(path)
            raise InputError(f"{path}: may not be read (permissions)")
        return read(path)

    monkeypatch.setattr(facts, reads, refused)
    report = run(tmp_path / "card")
    assert list(report.unreadable.values()) == ["may not be read (permissions)"] and report.exit_code == 8
    assert len(asked) == 1
    monkeypatch.undo()
    report = run(tmp_path / "card")
    assert report.exit_code == 0 and report.done == ["IMG_0001.dng"]


def test_journal_when_of_the_version_that_kept_errors_then_they_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep(tmp_path / "a.dng", "1:1", "facts", '{"error": "may not be read"}')
    journal._db.execute("PRAGMA user_version=1")
    journal.close()
    journal = Journal(tmp_path)
    assert journal.recall(tmp_path / "a.dng", "1:1", "facts") is None
    journal.close()
