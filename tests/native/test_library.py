"""Which compiled loops are used, and how their work is divided."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import burstfix.native.library as library_module
from burstfix.native.library import in_threads, library


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.mark.skipif(
    sys.platform == "win32" or platform.machine() not in ("x86_64", "AMD64") or not shutil.which("cc"),
    reason="the loops are compiled only for x86, and by a compiler that knows vectors",
)
def test_library_when_there_is_a_compiler_then_it_was_built():
    assert library() is not None


@pytest.mark.parametrize(("limit", "most"), [("default", 0), ("avx2", 8)])
def test_lanes_when_torch_is_limited_then_loops_are_limited_too(limit, most):
    code = "from burstfix.native import lanes; print(lanes())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"ATEN_CPU_CAPABILITY": limit, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(found.stdout) <= most


@pytest.mark.parametrize("count", [1, 7, 24, 25, 100])
def test_in_threads_when_work_is_divided_then_each_item_is_done_once(threads, count):
    done = torch.zeros(count, dtype=torch.int64)

    def work(first: int, last: int) -> int:
        assert first % 8 == 0
        done[first:last] += 1
        return 0

    in_threads(work, count, 8)
    assert done.tolist() == [1] * count


def test_in_threads_when_no_thread_can_be_started_then_work_is_done_here(threads, monkeypatch):
    class Refuses:
        def submit(self, *_: object) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(library_module, "_pool", lambda _: Refuses())
    done: list[int] = []
    in_threads(lambda first, last: done.extend(range(first, last)) or 0, 50, 8)
    assert sorted(done) == list(range(50))


def test_in_threads_when_no_thread_can_be_started_then_no_part_is_done_again_later(threads, monkeypatch):
    pool = ThreadPoolExecutor(2)
    monkeypatch.setattr(library_module, "_pool", lambda _: pool)
    done: list[int] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        in_threads(lambda first, last: done.extend(range(first, last)) or 0, 50, 8)
    pool.submit(int).result()  # starts a thread, which finds the first call's part in the queue
    pool.shutdown()
    assert sorted(done) == list(range(50))


def test_in_threads_when_interrupted_then_no_thread_is_still_working(threads):
    began = threading.Event()
    working: set[int] = set()

    def work(first: int, last: int) -> int:
        if first == 0:
            began.wait(10)
            raise KeyboardInterrupt
        working.add(first)
        began.set()
        time.sleep(0.2)
        working.remove(first)
        return 0

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, 50, 8)
    assert began.is_set()
    assert not working


def test_in_threads_when_a_thread_fails_then_its_exception_is_raised(threads):
    caller = threading.current_thread()
    began = threading.Event()

    def work(first: int, last: int) -> int:
        if threading.current_thread() is caller:
            began.wait(10)
            return 0
        began.set()
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        in_threads(work, 50, 8)


def test_in_threads_when_a_part_fails_then_memory_error(threads):
    with pytest.raises(MemoryError):
        in_threads(lambda first, last: first > 0, 50, 8)
