"""Bursts in a folder that is being filled are merged once they are complete."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from burstfix.batch import watch
from burstfix.batch.journal import read_entries
from burstfix.batch.plan import Plan, find_bursts
from burstfix.batch.raw_info import InfoReader
from burstfix.batch.report import BatchReport, Event
from burstfix.batch.run import run_batch
from burstfix.batch.scan import ScanResult, scan
from burstfix.batch.settings import BatchSettings
from burstfix.batch.watch import Arrivals, complete, watch_folders
from tests.batch.cards import burst, shoot

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = BatchSettings(model="average", device="cpu", settle=0.6)


def test_complete_when_a_neighbour_is_arriving_then_the_burst_waits(tmp_path: Path) -> None:
    first, second = burst(tmp_path, 1, 3, 0.0), burst(tmp_path, 11, 2, 60.0)
    last = shoot(tmp_path / "IMG_0004.dng", 0.6, scene=1)
    raws = [*first, last, *second]
    plan = find_bursts([tmp_path], without=frozenset({last}))
    assert [g.name for g in complete(plan, raws, frozenset({last}))] == []
    far = tmp_path / "IMG_0050.dng"
    assert [g.name for g in complete(plan, [*raws, far], frozenset({far}))] == ["IMG_0001.dng"]
    assert len(complete(plan, raws, frozenset())) == 2


def test_arrivals_when_a_file_grows_then_it_settles_after_the_last_change(tmp_path: Path) -> None:
    now = 100.0
    arrivals = Arrivals(5.0, lambda: now)
    assert arrivals.update([]) == frozenset()
    path = tmp_path / "a.dng"
    path.write_bytes(b"1")
    assert arrivals.update([path]) == {path}
    now = 104.0
    path.write_bytes(b"12")
    assert arrivals.update([path]) == {path}
    now = 108.9
    assert arrivals.update([path]) == {path}
    now = 109.1
    assert arrivals.update([path]) == frozenset()


def plans(inbox: Path, made: list[Plan] | None = None) -> Iterator[Plan]:
    """Watch a folder for at most 20 s; record every requested plan in `made` if it is given."""
    end, reader = time.monotonic() + 20, InfoReader()

    def make_plan(arriving: frozenset[Path]) -> Plan:
        plan = find_bursts([inbox], without=arriving, reader=reader)
        if made is not None:
            made.append(plan)
        return plan

    return watch_folders([inbox], inbox.parent / "out", 0.1, make_plan, lambda: time.monotonic() > end)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(watch, "_WAIT_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
def test_watch_when_a_corrupt_raw_arrives_and_is_removed_then_plans_report_both(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = tmp_path / "inbox"
    first = burst(inbox, 1, 2, 0.0)
    found = plans(inbox)
    assert [g.paths for g in next(found).groups] == [tuple(first)]
    corrupt = inbox / "IMG_0050.dng"
    corrupt.write_bytes(first[0].read_bytes()[:3000])
    plan_with_corrupt = next(found)
    assert not plan_with_corrupt.groups and [a.path for a in plan_with_corrupt.unreadable] == [corrupt]
    assert [m for m in caplog.messages if "IMG_0050.dng: cannot be read: " in m] == caplog.messages
    corrupt.unlink()
    assert next(found) == Plan((inbox,), ())


@pytest.mark.usefixtures("impatient")
def test_watch_when_the_folder_is_missing_for_a_moment_then_the_watch_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox, away = tmp_path / "inbox", tmp_path / "away"
    first = burst(inbox, 1, 2, 0.0)
    found = plans(inbox)
    next(found)
    inbox.rename(away)
    second = burst(away, 11, 2, 60.0)
    threading.Timer(0.5, away.rename, [inbox]).start()
    back = [inbox / path.name for path in (*first, *second)]
    assert [path for g in next(found).groups for path in g.paths] == back
    assert caplog.messages == [f"{inbox}: this folder does not exist; waiting for it"]


@pytest.mark.usefixtures("impatient")
def test_watch_when_nothing_changes_then_nothing_is_planned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    burst(inbox, 1, 2, 0.0)
    made: list[Plan] = []
    looks: list[ScanResult] = []

    def counted(roots: Sequence[Path], leave_out: Path) -> ScanResult:
        if len(looks) == 5:
            raise InterruptedError
        looks.append(scan(roots, leave_out))
        return looks[-1]

    monkeypatch.setattr(watch, "scan", counted)
    monkeypatch.setattr(
        watch._Watcher, "_changes", lambda _: itertools.chain([True], itertools.repeat(False))
    )
    found = plans(inbox, made)
    assert len(next(found).groups) == 1
    looks.clear()
    made.clear()
    with pytest.raises(InterruptedError):
        next(found)
    assert not made


@pytest.mark.slow
def test_watch_when_files_arrive_in_pieces_then_each_burst_is_merged_once_and_whole(tmp_path: Path) -> None:
    camera, inbox, out = tmp_path / "camera", tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    early = burst(inbox / "early", 1, 2, 0.0)
    assert len(early) == 2
    shots = burst(camera, 1, 3, 100.0) + burst(camera, 11, 2, 200.0)
    stop, events, reports = threading.Event(), [], []

    def work() -> None:
        reports.append(run_batch([inbox], out, SETTINGS, watch=True, stop=stop, on_event=events.append))

    def done() -> list[str]:
        return [e.data["output"] for e in events if isinstance(e, Event) and e.kind == "done"]

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(done()) < count:
            assert time.monotonic() < deadline, f"only {done()}"
            assert thread.is_alive()
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(1)
    for path in shots:
        data = path.read_bytes()
        with open(inbox / path.name, "wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(0.3)  # longer than the debounce, shorter than the settling time
            file.write(data[len(data) // 2 :])
    wait_for(3)
    stop.set()
    thread.join(timeout=30)
    report: BatchReport = reports[0]
    assert done() == ["early/IMG_0001-IMG_0002.tif", "IMG_0001-IMG_0003.tif", "IMG_0011-IMG_0012.tif"]
    assert not report.failed and not report.unreadable and (out / "summary.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_watch_command_when_a_signal_arrives_then_it_ends_after_the_current_burst(
    number: signal.Signals, tmp_path: Path
) -> None:
    burst(tmp_path / "inbox", 1, 2, 0.0)
    out = tmp_path / "out"
    command = ["batch", str(tmp_path / "inbox"), "-o", str(out), "-m", "average", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "burstfix", *command, "--watch", "--settle", "0.1", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        lines = iter(process.stdout.readline, "")
        while json.loads(next(lines))["event"] != "done":
            pass
        process.send_signal(number)
        last = json.loads(list(lines)[-1])
        assert process.wait(timeout=20) == 0, process.stderr.read()
    assert last["event"] == "tally" and last["done"] == ["IMG_0001.dng"]
    assert [entry.state for entry in read_entries(out)] == ["done"]
    assert (out / "summary.jpg").is_file() and not (out / ".burstfix-staging").exists()
