from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.io import read_frames
from burstfix.io.read import frames as reading
from burstfix.raw.frame_source import FrameSource
from burstfix.scratch import Scratch, release


def test_scratch_when_the_limit_is_reached_then_new_arrays_are_stored_in_files():
    scratch = Scratch(limit=1000)
    arrays = [np.arange(300, dtype=np.uint16).reshape(15, 20) + k for k in range(4)]
    kept = [scratch.keep(array) for array in arrays]
    assert [isinstance(array, np.memmap) for array in kept] == [False, True, True, True]
    for array, original in zip(kept, arrays, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)


def test_release_when_the_array_is_in_a_file_then_its_memory_is_free_and_its_values_stay():
    size = 64_000_000
    array = Scratch(limit=0).keep(np.full(size, 7, np.uint8))
    part = array[10:]
    assert int(part.max()) == 7
    before = psutil.Process().memory_info().rss
    release(part)
    if sys.platform == "linux":
        assert psutil.Process().memory_info().rss < before - size / 2
    assert int(array.min()) == 7


def test_release_when_the_array_is_in_memory_then_it_is_unchanged():
    array = np.arange(5)
    release(array)
    assert array.tolist() == [0, 1, 2, 3, 4]


def test_scratch_when_there_is_no_folder_for_temporary_files_then_arrays_stay_in_memory(monkeypatch):
    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    array = np.arange(5)
    assert Scratch(limit=0).keep(array) is array


@pytest.mark.skipif(sys.platform != "linux", reason="lists open files in /proc")
def test_scratch_when_an_array_is_deleted_then_its_file_is_deleted():
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("(deleted)")

    before, files = mapped(), len(os.listdir("/proc/self/fd"))
    array = Scratch(limit=0).keep(np.zeros(5000))
    assert mapped() == before + 1
    del array
    assert mapped() == before and len(os.listdir("/proc/self/fd")) == files


def test_read_frames_when_a_burst_is_large_then_its_frames_are_in_files(monkeypatch, example_burst):
    monkeypatch.setattr(reading, "Scratch", lambda: Scratch(limit=1_000_000))
    frames = read_frames(example_burst[:3]).frames
    assert [isinstance(frame.mosaic, np.memmap) for frame in frames] == [False, True, True]
    monkeypatch.undo()
    for frame, other in zip(frames, read_frames(example_burst[:3]).frames, strict=True):
        source = FrameSource(frame)
        np.testing.assert_array_equal(source.read(source.whole), FrameSource(other).read(source.whole))
