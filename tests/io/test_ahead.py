"""Reading in a thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import burstfix.io.read.ahead as ahead_module
from burstfix.errors import InputError
from burstfix.io.read.ahead import ReadAhead
from burstfix.io.read.frames import ReadFrames

NO_FRAMES = ReadFrames(())


def test_read_ahead_when_reading_succeeds_then_result_and_progress_arrive(monkeypatch):
    def read(paths, *, skip_bad, opcodes, progress):
        progress("decode", 1, 1)
        assert (paths, skip_bad, opcodes) == ([Path("a.dng")], True, "skip")
        return NO_FRAMES

    monkeypatch.setattr(ahead_module, "read_frames", read)
    seen: list[tuple[str, int, int]] = []
    with ReadAhead(
        [Path("a.dng")], skip_bad=True, opcodes="skip", progress=lambda *step: seen.append(step)
    ) as ahead:
        assert ahead.result() is NO_FRAMES
    assert seen == [("decode", 1, 1)]


def test_read_ahead_when_reading_fails_then_result_raises(monkeypatch):
    def read(*_: object, **__: object) -> ReadFrames:
        raise InputError("a.dng: damaged")

    monkeypatch.setattr(ahead_module, "read_frames", read)
    with ReadAhead(["a.dng"]) as ahead, pytest.raises(InputError, match="damaged"):
        ahead.result()


def test_read_ahead_when_the_main_thread_fails_then_the_rest_is_not_read(monkeypatch):
    started = threading.Event()
    files: list[int] = []

    def read(*_: object, progress, **__: object) -> ReadFrames:
        for file in range(1000):
            progress("decode", file, 1000)
            files.append(file)
            started.set()
            time.sleep(0.01)
        return NO_FRAMES

    monkeypatch.setattr(ahead_module, "read_frames", read)
    with pytest.raises(KeyboardInterrupt), ReadAhead(["a.dng"]):
        started.wait(10)
        raise KeyboardInterrupt
    assert len(files) < 1000
    assert not any(thread.name == "burstfix-read" for thread in threading.enumerate())
