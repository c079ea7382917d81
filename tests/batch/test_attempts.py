"""A burst that kills the process is retried last, alone and with smaller tiles, and finally fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from burstfix.batch.journal import Journal, read_entries
from burstfix.batch.run import MAX_ATTEMPTS, run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.errors import BurstfixError
from burstfix.io.read.decoder_client import DecoderClient
from tests.batch.cards import burst

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = BatchSettings(model="average", device="cpu")

# Kills the process while it merges one burst, as the system does if memory runs out.
DYING = """
import os, signal, sys
import burstfix.batch.local as local
from burstfix.cli import main
merge = local.timed_merge
def dying(job, burst, model, tile, report):
    print(job.burst.name, tile, flush=True)
    if job.burst.name == "IMG_0001.dng":
        os.kill(os.getpid(), signal.SIGKILL)
    return merge(job, burst, model, tile, report)
local.timed_merge = dying
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    for k in range(4):
        burst(tmp_path / "card", 10 * k + 1, 2, 100.0 * k)
    return tmp_path / "card"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_batch_when_a_burst_kills_every_run_then_it_finally_fails_and_the_others_are_done(
    card: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["batch", str(card), "-o", str(out), "-m", "average", "--device", "cpu", "-q"]
    tiles, codes = [], []
    for _ in range(MAX_ATTEMPTS + 1):
        ran = subprocess.run(
            [sys.executable, "-c", DYING, *command], capture_output=True, text=True, cwd=ROOT, timeout=120
        )
        codes.append(ran.returncode)
        merged = [line.split() for line in ran.stdout.splitlines() if line.startswith("IMG_")]
        merged = [words for words in merged if len(words) == 2]
        tiles += [int(tile) for name, tile in merged if name == "IMG_0001.dng"]
        if len(codes) == 2:  # the other bursts are merged first and are done when the process is killed
            assert merged[-1][0] == "IMG_0001.dng"
            assert {e.name for e in read_entries(out) if e.state == "done"} == {
                f"IMG_00{k}1.dng" for k in (1, 2, 3)
            }
    assert codes == [-9] * MAX_ATTEMPTS + [8]
    assert len(tiles) == MAX_ATTEMPTS and tiles == sorted(tiles, reverse=True) and tiles[-1] < tiles[0]
    (failed,) = [e for e in read_entries(out) if e.state == "failed"]
    assert failed.exit_code == 6 and "--retry-failed" in (failed.error or "")
    report = run_batch([card], out, SETTINGS, retry_failed=True)
    assert report.done == ["IMG_0001.dng"] and report.exit_code == 0


def test_batch_when_it_is_interrupted_then_attempts_are_not_counted(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("burstfix.batch.local.timed_merge", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_batch([card], tmp_path / "out", SETTINGS)
    journal = Journal(tmp_path / "out")
    assert journal._db.execute("SELECT * FROM attempts").fetchall() == []
    journal.close()


def test_attempts_when_inputs_change_then_the_count_starts_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for inputs in ("one", "one", "two"):
        journal.begin_attempt("a", inputs)
    assert journal.attempts("a", "two") == 1 and journal.attempts("a", "one") == 0
    journal.end_attempts("a")
    assert journal.attempts("a", "two") == 0
    journal.close()


@pytest.mark.parametrize("failing", [1, 12, 20])
def test_batch_when_the_decoder_fails_to_start_once_then_only_one_burst_fails(
    failing: int, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, calls = DecoderClient._running, 0

    def start(self: DecoderClient) -> object:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise BurstfixError("the raw decoder did not start (no reason given)")
        return running(self)

    monkeypatch.setattr(DecoderClient, "_running", start)
    report = run_batch([card], tmp_path / "out", SETTINGS)
    assert calls > failing and report.exit_code == 8
    assert len(report.failed) + len(report.unreadable) == 1 and len(report.done) == 3
