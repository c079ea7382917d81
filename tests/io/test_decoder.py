"""The decoder child: crashes, hangs, memory, leftovers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.errors import BurstfixError, InputError
from burstfix.io import read_frame
from burstfix.io.read.decoder_client import DecoderClient, shared_client
from tests.io.raw_files import make_mosaic, write_raw


def stand_in(body: str) -> list[str]:
    """A decoder that behaves, except that a file with "bad" in its name makes it run `body`."""
    program = f"""
    import os, pathlib, signal, sys, time
    from burstfix.io.read import decoder
    real = decoder.decode
    def decode(path, pixels):
        if "bad" in path.name:
            {body}
        return real(path, pixels)
    decoder.decode = decode
    decoder.main()
    """
    return [sys.executable, "-P", "-c", textwrap.dedent(program)]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "good.dng")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "bad.dng")


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[DecoderClient]:
    client = DecoderClient(stand_in(request.param), answer_seconds=1.5)
    yield client
    client.close()


@pytest.mark.parametrize(
    "client",
    [
        "os.abort()",
        "os._exit(3)",
        "os.kill(os.getpid(), signal.SIGSEGV)" if os.name == "posix" else "os.abort()",
    ],
    indirect=True,
)
def test_read_frame_when_the_decoder_crashes_is_an_error_and_the_next_file_is_read(
    client: DecoderClient, good: Path, bad: Path
):
    client.read_frame(good)
    with pytest.raises(InputError, match="bad.dng: the decoder crashed"):
        client.read_frame(bad)
    np.testing.assert_array_equal(client.read_frame(good).mosaic, make_mosaic())


def test_read_frame_when_the_decoder_hangs_gives_up_in_time(good: Path, bad: Path):
    client = DecoderClient(stand_in("time.sleep(60)"), answer_seconds=1.0)
    client.read_frame(good)
    hung = client.pid
    start = time.monotonic()
    with pytest.raises(InputError, match="took more than 1 s"):
        client.read_frame(bad)
    assert time.monotonic() - start < 5
    assert hung is not None and not psutil.pid_exists(hung)
    client.read_frame(good)
    client.close()


@pytest.mark.parametrize(
    "client",
    [
        "if path.parent.joinpath('first').exists(): path.parent.joinpath('first').unlink(); time.sleep(60)",
        "if path.parent.joinpath('first').exists(): path.parent.joinpath('first').unlink(); os._exit(9)",
    ],
    indirect=True,
)
def test_read_frame_when_the_decoder_was_held_up_or_killed_once_then_the_file_is_read(
    client: DecoderClient, bad: Path
):
    first = bad.with_name("first")
    first.touch()
    np.testing.assert_array_equal(client.read_frame(bad).mosaic, make_mosaic())
    assert not first.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit holds on Linux")
@pytest.mark.parametrize("client", ["bytearray(6 << 30)"], indirect=True)
def test_read_frame_when_memory_runs_out_is_an_error(client: DecoderClient, bad: Path):
    with pytest.raises(InputError, match="memory"):
        client.read_frame(bad)


@pytest.mark.parametrize("client", ["raise RuntimeError('odd tag')"], indirect=True)
def test_read_frame_when_a_parser_stumbles_is_an_error(client: DecoderClient, bad: Path):
    with pytest.raises(InputError, match="damaged .RuntimeError: odd tag"):
        client.read_frame(bad)


@pytest.mark.parametrize("client", ["os.write(2, b'x.dng: data corrupted at 77')"], indirect=True)
def test_read_frame_when_libraw_only_grumbles_refuses_the_file(client: DecoderClient, good: Path, bad: Path):
    with pytest.raises(InputError, match="bad.dng: the picture data are damaged"):
        client.read_frame(bad)
    client.read_frame(good)  # what was said about one file is forgotten before the next


@pytest.mark.parametrize("client", ["os.write(1, b'noise' * 1000); print('more', flush=True)"], indirect=True)
def test_read_frame_when_libraw_prints_takes_no_notice(client: DecoderClient, bad: Path):
    np.testing.assert_array_equal(client.read_frame(bad).mosaic, make_mosaic())


def test_read_frame_when_the_child_is_killed_between_files_starts_another(good: Path):
    client = DecoderClient()
    client.read_frame(good)
    first = client.pid
    assert first is not None
    os.kill(first, signal.SIGTERM)
    psutil.Process(first).wait(5)
    client.read_frame(good)
    assert client.pid != first
    client.close()


def test_client_when_the_decoder_cannot_start_says_why():
    for command in (["/nonexistent/python"], [sys.executable, "-c", "raise ImportError('no rawpy here')"]):
        with pytest.raises(BurstfixError, match="no rawpy here|cannot be started"):
            DecoderClient(command).read_frame(Path("a.dng"))


def test_read_frame_when_many_threads_ask_answers_each(tmp_path: Path):
    paths = [write_raw(tmp_path / f"{k}.dng", seed=k) for k in range(6)]
    wrong: list[int] = []

    def read(k: int) -> None:
        for _ in range(3):
            if not np.array_equal(read_frame(paths[k]).mosaic, make_mosaic(seed=k)):
                wrong.append(k)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def _read_in_child(path: Path, first: int) -> None:
    frame = read_frame(path)
    assert np.array_equal(frame.mosaic, make_mosaic())
    assert shared_client().pid != first


@pytest.mark.skipif(os.name != "posix", reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_read_frame_when_the_process_forks_uses_a_child_of_its_own(good: Path):
    read_frame(good)
    first = shared_client().pid
    process = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(good, first))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    read_frame(good)
    assert shared_client().pid == first


@pytest.mark.skipif(os.name != "posix", reason="kills a process the POSIX way")
def test_child_when_the_parent_is_killed_ends_too(good: Path):
    program = (
        "import sys, time; from burstfix.io import read_frame;"
        "from burstfix.io.read.decoder_client import shared_client;"
        "read_frame(sys.argv[1]); print(shared_client().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(good)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_io_when_rawpy_and_exifread_are_missing_still_imports():
    # Training machines may lack them; the child alone needs them.
    program = "import sys; sys.modules['rawpy'] = sys.modules['exifread'] = None; import burstfix.io"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 exist there alone")
def test_read_frame_when_the_name_is_not_utf8_then_it_is_read_like_any_other(good: Path):
    odd = good.with_name(os.fsdecode(b"IMG_\xe9.dng"))
    odd.write_bytes(good.read_bytes())
    frame = read_frame(odd)
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())
    assert frame.metadata.path == odd
    for path in (good, odd):
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(InputError) as caught:
            read_frame(path)
        assert "damaged (corrupted IFD structure)" in str(caught.value)
