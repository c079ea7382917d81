"""A batch on a real Dask scheduler and workers, each in its own process, on the loopback interface."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from burstfix.batch.journal import read_entries
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from tests.batch.cards import burst

pytest.importorskip("distributed")

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = BatchSettings(model="average", device="cpu")
COUNT = 12
# Reading is slow enough to kill a worker during a job.
SLOW = "import time, burstfix.batch.job as j; r = j.read; j.read = lambda *a: (time.sleep(0.5), r(*a))[1]"

Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def processes(logs: Path) -> Iterator[Start]:
    """Provide a function that starts Python processes; they are killed after the body."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        with open(logs / f"process-{len(running)}.log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], stdout=log, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
                env=os.environ | {"DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "2s"},
            )  # fmt: skip
        running.append(process)
        return process

    try:
        yield begin
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with processes(tmp_path) as begin:
        yield begin


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler that all tests share, and return its address. Each test has its own workers."""
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    with processes(tmp_path_factory.mktemp("scheduler")) as begin:
        begin("-m", "distributed.cli.dask_scheduler", *where)
        yield f"tcp://127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_worker(start: Start, address: str, prepare: str = "pass", *options: str) -> subprocess.Popen[str]:
    command = ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *options]
    return start("-c", f"import sys; {prepare}; sys.argv[1:] = {command[1:]!r}; "
                       "from distributed.cli.dask_worker import main; main()")  # fmt: skip


def batch(card: Path, out: Path, address: str) -> subprocess.Popen[str]:
    command = ["batch", str(card), "-o", str(out), "-m", "average", "--device", "cpu", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "burstfix", *command, "--cluster", address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.fixture
def card(tmp_path: Path) -> Path:
    for k in range(COUNT):
        burst(tmp_path / "card", 10 * k + 1, 2, 100.0 * k)
    return tmp_path / "card"


@pytest.mark.slow
def test_cluster_when_a_worker_is_killed_during_a_job_then_every_burst_is_done_exactly_once(
    card: Path, start: Start, address: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    workers = [start_worker(start, address, SLOW) for _ in range(2)]
    client = batch(card, out, address)
    assert client.stdout is not None and client.stderr is not None
    events = []
    for line in client.stdout:
        events.append(json.loads(line))
        if sum(event["event"] == "done" for event in events) == 3:
            workers[0].kill()
    assert client.wait(timeout=60) == 0, client.stderr.read()
    done = Counter(event["output"] for event in events if event["event"] == "done")
    assert len(done) == COUNT and set(done.values()) == {1}
    assert {entry.state for entry in read_entries(out)} == {"done"}
    assert workers[0].wait() != 0 and workers[1].poll() is None
    # The pictures equal those made on this machine, and there are no other files.
    run_batch([card], tmp_path / "here", SETTINGS)
    pictures = {p.name: p.read_bytes() for p in out.rglob("*.tif")}
    assert pictures == {p.name: p.read_bytes() for p in (tmp_path / "here").rglob("*.tif")}
    assert not (out / ".burstfix-staging").exists()


@pytest.mark.slow
def test_cluster_when_a_worker_has_another_version_then_an_error_before_any_work(
    card: Path, start: Start, address: str, tmp_path: Path
) -> None:
    start_worker(start, address, "import burstfix._version; burstfix._version.__version__ = '0.0.9'")
    client = batch(card, tmp_path / "out", address)
    out, err = client.communicate(timeout=90)
    assert client.returncode == 2, err
    assert re.search(r"has burstfix 0\.0\.9, this machine has", err)
    assert not read_entries(tmp_path / "out") and '"started"' not in out


@pytest.mark.slow
def test_cluster_when_bursts_need_more_memory_than_workers_have_then_they_fail_and_say_so(
    card: Path, start: Start, address: str, tmp_path: Path
) -> None:
    start_worker(start, address, "pass", "--resources", "MEMORY=1e9")
    client = batch(card, tmp_path / "out", address)
    _, err = client.communicate(timeout=90)
    assert client.returncode == 8, err
    assert all("the largest worker has 1.0 GB" in (e.error or "") for e in read_entries(tmp_path / "out"))


@pytest.mark.slow
def test_cluster_when_no_scheduler_answers_then_an_error_says_so(card: Path, tmp_path: Path) -> None:
    code = "import sys, burstfix.batch.cluster as c; c._WAIT_SECONDS = 1\nfrom burstfix.cli import main\n"
    arguments = ["batch", str(card), "-o", str(tmp_path / "out"), "--cluster", f"127.0.0.1:{free_port()}"]
    command = [sys.executable, "-c", f"{code}sys.exit(main({arguments!r}))"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT)
    assert ran.returncode == 2 and "no Dask scheduler answers at this address" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("address", ["foo://x", "http://head:8786", "inproc://here"])
def test_cluster_when_the_address_is_malformed_then_it_ends_at_once_with_an_error(
    address: str, card: Path, tmp_path: Path
) -> None:
    client = batch(card, tmp_path / "out", address)
    _, err = client.communicate(timeout=30)
    assert client.returncode == 2 and "not the address of a Dask scheduler" in err


# Prints what other users of the machine can reach during the batch. Dask sends a greeting to every client.
STRANGER = """
import os, psutil, socket, ssl, sys, burstfix

def heard(port, secure, request):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            if secure:
                anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
                link = anybody.wrap_socket(link)
            link.settimeout(0.2)
            link.sendall(request)
            return link.recv(100)
    except OSError:
        return b""

def look(event):
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)) if event.kind == "plan" else ():
        for port in process.net_connections(kind="inet"):
            if port.status == "LISTEN":
                assert port.laddr.ip == "127.0.0.1", port
                for secure in (False, True):
                    for request in (b"", b"GET /info", b"GET /json"):
                        request += b" HTTP/1.0\\r\\n\\r\\n" if request else b""
                        print("heard", heard(port.laddr.port, secure, request)[:12], flush=True)

if __name__ == "__main__":
    settings = burstfix.BatchSettings(model="average", device="cpu")
    report = burstfix.run_batch([sys.argv[1]], sys.argv[2], settings, cluster="local", on_event=look)
    print("done", len(report.done), flush=True)
"""


@pytest.mark.slow
def test_cluster_when_local_then_no_other_user_can_run_code_or_read_pages(card: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER)
    command = [sys.executable, str(script), str(card), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)
    *heard, last = ran.stdout.splitlines() or [""]
    assert last == f"done {COUNT}", ran.stderr
    assert len(heard) >= 18 and set(heard) <= {
        "heard b''",
        "heard b'HTTP/1.1 404'",
        "heard b'HTTP/1.0 404'",
    }, heard
