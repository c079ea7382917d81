"""The memory of a batch, including the decoder, stays below its limit."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.batch.journal import read_entries
from burstfix.batch.memory import burst_bytes
from burstfix.batch.plan import FoundBurst
from burstfix.io import read_frame, write_cfa_dng
from tests.batch.cards import Camera, burst

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 800
REPEATS = 8


def large_card(folder: Path) -> Path:
    """Write 4 bursts of 3 frames of 2 megapixels. Frames are tiled from small scenes to save time."""
    for k in range(4):
        for path in burst(folder, 10 * k + 1, 3, 100.0 * k, camera=Camera(height=152, width=204)):
            frame = read_frame(path)
            mosaic = np.tile(frame.mosaic, (REPEATS, REPEATS))
            metadata = replace(frame.metadata, height=mosaic.shape[0], width=mosaic.shape[1])
            write_cfa_dng(path, mosaic, metadata, overwrite=True)
    return folder


def held(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold; 0 after the process has ended."""
    try:
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return 0


def test_burst_bytes_when_frames_are_demosaicked_then_three_times_the_frames_are_counted() -> None:
    mosaic = FoundBurst("burst", Path("/c"), (Path("/c/1.dng"),) * 10, "", None, None, None, 100, 100)
    assert burst_bytes(replace(mosaic, cfa="linear")) - burst_bytes(mosaic) == 2 * 10 * 100 * 100 * 4


@pytest.mark.slow
@pytest.mark.parametrize("model", ["average", "kpn"])
def test_batch_when_memory_is_limited_then_all_its_processes_stay_below(model: str, tmp_path: Path) -> None:
    card, out = large_card(tmp_path / "card"), tmp_path / "out"
    command = ["batch", str(card), "-o", str(out), "-m", model, "--device", "cpu", "-q"]
    # There are more readers than the limit permits, so that the budget has to delay them.
    with subprocess.Popen(
        [sys.executable, "-m", "burstfix", *command, "--jobs", "4", "--max-memory", f"{LIMIT_MB}MB"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        watched, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            most = max(most, held(watched))
            time.sleep(0.005)
        assert process.returncode == 0, process.stderr.read()
    assert [entry.state for entry in read_entries(out)] == ["done"] * 4
    assert 300 < most / 1e6 < LIMIT_MB, f"{most / 1e6:.0f} MB"
    print(f"{most / 1e6:.0f} MB of {LIMIT_MB} MB")  # noqa: T201
