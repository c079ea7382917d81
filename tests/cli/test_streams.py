"""Closed and full streams, signals, and systems without a folder for temporary files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.batch.cards import burst

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell"),
    pytest.mark.slow,
]
ROOT = Path(__file__).resolve().parents[2]
FAST = "-m average --device cpu"
full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command, with `burstfix` replaced by the command under test."""
    line = line.replace("burstfix", f"{sys.executable} -m burstfix", 1)
    return subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )


@pytest.fixture
def card(tmp_path: Path) -> Path:
    burst(tmp_path / "card", 1, 2, 0.0)
    return tmp_path / "card"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["merge", "batch"])
def test_command_when_a_stream_is_closed_then_it_succeeds(
    command: str, closed: str, card: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    target = out if command == "batch" else tmp_path / "out.tif"
    ran = shell(f"burstfix {command} {card} -o {target} {FAST} {closed}")
    assert ran.returncode == 0, ran.stderr
    assert len(list(tmp_path.glob("**/*.tif"))) == 1
    if command == "batch" and "2>" not in closed:
        assert ran.stderr.startswith("IMG_0001-IMG_0002.tif: ")


@full_device
@pytest.mark.parametrize("options", ["", "--json"])
@pytest.mark.parametrize("command", ["merge {card} -o {out}.tif " + FAST, "inspect {card}", "--help"])
def test_command_when_stdout_is_full_then_one_line_and_exit_code_5(
    command: str, options: str, card: Path, tmp_path: Path
) -> None:
    if command == "--help" and options:
        pytest.skip("help is no JSON")
    ran = shell(f"burstfix {command.format(card=card, out=tmp_path / 'out')} {options} >/dev/full")
    assert ran.returncode == 5
    assert ran.stderr == "burstfix: cannot be read or written (No space left on device)\n"
    assert (tmp_path / "out.tif").exists() == command.startswith("merge")


@full_device
def test_batch_when_stderr_is_full_then_the_pictures_are_made(card: Path, tmp_path: Path) -> None:
    ran = shell(f"burstfix batch {card} -o {tmp_path / 'out'} {FAST} --json 2>/dev/full")
    assert ran.returncode == 0 and json.loads(ran.stdout.splitlines()[-1])["done"] == ["IMG_0001.dng"]


@pytest.mark.parametrize("command", ["merge {card} -o {out}.tif", "batch {card} -o {out}", "inspect {card}"])
def test_command_when_there_is_no_temporary_folder_then_exit_code_5_with_advice(
    command: str, card: Path, tmp_path: Path
) -> None:
    prepare = "import tempfile, sys; tempfile._candidate_tempdir_list = lambda: ['/nowhere']; "
    arguments = command.format(card=card, out=tmp_path / "out").split()
    script = f"{prepare}from burstfix.cli import main; sys.exit(main({arguments!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert ran.returncode == 5, ran.stderr
    assert "TMPDIR" in ran.stderr and len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["n" * 253 + ".tif", "\u65e5" * 84 + ".tif"])
def test_merge_when_the_name_of_the_output_is_too_long_then_exit_code_5(
    name: str, card: Path, tmp_path: Path
) -> None:
    ran = shell(f"burstfix merge {card} -o {tmp_path / name} {FAST}")
    assert ran.returncode == 5 and "the name is too long" in ran.stderr


# Writes very slowly, so that the signal arrives while the temporary file exists.
SLOW_WRITE = """
import sys, time
import burstfix.atomic as atomic
flush = atomic._flush
def slow(path):
    print("writing", flush=True)
    time.sleep(30)
    flush(path)
atomic._flush = slow
from burstfix.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_merge_when_a_signal_ends_it_then_no_temporary_file_is_left(
    number: signal.Signals, card: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = ["merge", str(card), "-o", str(out), *FAST.split()]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITE, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        time.sleep(0.1)
        assert list(out.iterdir())
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number
    assert not list(out.iterdir())


def test_batch_when_sighup_is_ignored_as_by_nohup_then_it_continues(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = f"trap '' HUP; burstfix batch {card} -o {out} {FAST} -q & kill -HUP $!; wait $!"
    assert shell(line).returncode == 0 and len(list(out.glob("*.tif"))) == 1
