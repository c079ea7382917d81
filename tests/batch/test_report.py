"""The report of a batch: each burst is counted once, and an error in a callback is not a failed burst."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from burstfix.batch.job import Job, timed_read
from burstfix.batch.journal import read_entries
from burstfix.batch.report import Event
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from burstfix.errors import InputError
from burstfix.types import Burst, Progress
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu")
COMMAND = ["-m", "average", "--device", "cpu"]


@pytest.fixture
def cards(tmp_path: Path) -> list[Path]:
    """Create two cards with one burst each; both bursts have the same name."""
    for k, name in enumerate("AB"):
        burst(tmp_path / name / "DCIM", 1, 2, 100.0 * k, scene=k)
    return [tmp_path / "A", tmp_path / "B"]


def test_batch_when_two_bursts_have_the_same_name_then_both_are_counted(
    cards: list[Path], tmp_path: Path
) -> None:
    report = run_batch(cards, tmp_path / "out", SETTINGS)
    other = f"{cards[1]}/DCIM/IMG_0001.dng@2024-05-31T21:01:40"
    assert report.done == ["DCIM/IMG_0001.dng", other]
    assert run_batch(cards, tmp_path / "out", SETTINGS).skipped == report.done


def test_batch_when_one_of_two_bursts_with_the_same_name_fails_then_the_failure_is_reported(
    cards: list[Path], tmp_path: Path
) -> None:
    foreign = tmp_path / "out" / "DCIM" / "IMG_0001-IMG_0002.tif"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"precious")
    report = run_batch(cards, tmp_path / "out", SETTINGS)
    assert list(report.failed) == ["DCIM/IMG_0001.dng"] and len(report.done) == 1 and report.exit_code == 8


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), InputError("mine")])
@pytest.mark.parametrize("kind", ["plan", "started", "done", "progress"])
def test_batch_when_a_callback_raises_then_it_ends_the_batch_and_no_burst_has_failed(
    kind: str, error: Exception, cards: list[Path], tmp_path: Path
) -> None:
    def on_event(event: Event) -> None:
        if event.kind == kind:
            raise error

    def on_progress(*_: object) -> None:
        if kind == "progress":
            raise error

    out = tmp_path / "out"
    with pytest.raises(type(error)) as raised:
        run_batch(cards, out, SETTINGS, on_event=on_event, on_progress=on_progress)
    assert raised.value is error
    assert "failed" not in {entry.state for entry in read_entries(out)}
    report = run_batch(cards, out, SETTINGS)
    assert len(report.done) + len(report.skipped) == 2 and report.exit_code == 0


def test_batch_when_frames_are_replaced_after_they_were_read_then_the_next_run_merges_them_again(
    cards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_replace(job: Job, progress: Progress | None) -> tuple[Burst, float]:
        result = timed_read(job, progress)
        if job.burst.root == cards[1]:
            for path in job.burst.paths:
                path.unlink()
            burst(cards[1] / "DCIM", 1, 2, 100.0, scene=7)
        return result

    monkeypatch.setattr("burstfix.batch.local.timed_read", read_and_replace)
    assert len(run_batch(cards, tmp_path / "out", SETTINGS).done) == 2
    monkeypatch.undo()
    report = run_batch(cards, tmp_path / "out", SETTINGS)
    assert len(report.done) == 1 and len(report.skipped) == 1


def test_batch_when_it_runs_then_progress_covers_the_search_and_all_stages_of_a_burst(
    cards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstfix.batch.local._POLL_SECONDS", 0.001)
    reports: list[tuple[str, str]] = []
    run_batch(cards, tmp_path / "out", SETTINGS, on_progress=lambda *report: reports.append(report[:2]))
    assert reports[0] == ("", "scan")
    merged = {burst: {stage for name, stage in reports if name == burst} for burst, _ in reports if burst}
    assert len(merged) == 2
    # The second burst may already be read when the batch begins to wait for it.
    assert {"decode", "prepare"} & next(iter(merged.values()))
    assert all({"merge", "write"} <= stages for stages in merged.values())


@pytest.mark.parametrize("name", ["summary.csv", "summary.jpg"])
def test_batch_when_the_summary_cannot_be_written_then_it_is_reported_and_bursts_are_merged(
    name: str, cards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    command = ["batch", str(cards[0]), "-o", str(out), *COMMAND]
    assert main(command) == 5
    output = capsys.readouterr()
    assert (
        f"the summary was not written: {out}/{name}: is a folder" in output.out and "1 merged" in output.out
    )
    assert "Traceback" not in output.err and len(list(out.rglob("*.tif"))) == 1
    (out / name).rmdir()
    assert main(command) == 0
