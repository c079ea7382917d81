"""The decoder process: crashes, hangs, memory, hostile answers, remaining processes."""

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
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.errors import InputError, OutOfMemoryError
from burstfix.io import read_frame
from burstfix.io.read.decoder_client import DecoderClient, shared_client
from burstfix.io.read.decoder_protocol import BASE_SECONDS, Reply, Request, decode, encode, seconds_for
from burstfix.types import ExifTags, Levels, OpcodeLists
from tests.io.raw_files import make_metadata, make_mosaic, write_raw


def decoder_that(body: str) -> list[str]:
    """Return the command of a decoder that runs `body` for a file with "bad" in its name."""
    program = f"""
    import os, pathlib, signal, sys, time
    from burstfix.io.read import decode, decoder
    real = decode.decode
    def wrapped(path, **options):
        if "bad" in path.name:
            {body}
        return real(path, **options)
    decode.decode = wrapped
    decoder.sandbox.enter = decoder.sandbox.Sandbox  # no restrictions: some bodies remove a file
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
    client = DecoderClient(decoder_that(request.param), base_seconds=1.5)
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
def test_read_frame_when_the_decoder_crashes_then_it_raises_and_the_next_file_is_read(
    client: DecoderClient, good: Path, bad: Path
):
    client.read_frame(good)
    with pytest.raises(InputError, match="bad.dng: the decoder crashed"):
        client.read_frame(bad)
    np.testing.assert_array_equal(client.read_frame(good).mosaic, make_mosaic())


def test_read_frame_when_the_decoder_hangs_then_it_is_stopped_in_time(good: Path, bad: Path):
    client = DecoderClient(decoder_that("time.sleep(60)"), base_seconds=1.0)
    client.read_frame(good)
    hung = client.pid
    start = time.monotonic()
    with pytest.raises(InputError, match="took more than 1 s and was stopped 2 times"):
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
def test_read_frame_when_the_decoder_hangs_or_dies_once_then_the_file_is_read(
    client: DecoderClient, bad: Path
):
    first = bad.with_name("first")
    first.touch()
    np.testing.assert_array_equal(client.read_frame(bad).mosaic, make_mosaic())
    assert not first.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit holds on Linux")
@pytest.mark.parametrize("client", ["bytearray(6 << 30)", "bytearray(1200 << 20)"], indirect=True)
def test_read_frame_when_memory_runs_out_then_it_raises_input_error(client: DecoderClient, bad: Path):
    with pytest.raises(InputError, match="takes more memory than its size allows"):
        client.read_frame(bad)


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit holds on Linux")
@pytest.mark.parametrize(
    "client",
    ["import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30,) * 2); "
     "options['reserve'](); bytearray(1 << 30)"],
    indirect=True,
)  # fmt: skip
def test_read_frame_when_the_system_limits_memory_then_it_raises_out_of_memory(
    client: DecoderClient, bad: Path
):
    with pytest.raises(OutOfMemoryError, match="bad.dng: out of memory while decoding; raise ulimit -v"):
        client.read_frame(bad)


@pytest.mark.parametrize(
    "last_line",
    ["MemoryError", "OpenBLAS error: Memory allocation still failed after 10 retries, giving up."],
)
def test_read_frame_when_memory_runs_out_while_the_decoder_starts_then_it_raises_out_of_memory(
    last_line: str,
):
    command = [sys.executable, "-c", f"import sys; sys.exit({last_line!r})"]
    with pytest.raises(OutOfMemoryError, match="a.dng: not read, because the raw decoder did not start"):
        DecoderClient(command).read_frame(Path("a.dng"))


@pytest.mark.parametrize("client", ["raise RuntimeError('odd tag')"], indirect=True)
def test_read_frame_when_a_parser_fails_then_it_raises_input_error(client: DecoderClient, bad: Path):
    with pytest.raises(InputError, match="damaged .RuntimeError: odd tag"):
        client.read_frame(bad)


@pytest.mark.parametrize("client", ["os.write(2, b'x.dng: data corrupted at 77')"], indirect=True)
def test_read_frame_when_libraw_only_prints_that_data_are_corrupt_then_it_raises_input_error(
    client: DecoderClient, good: Path, bad: Path
):
    with pytest.raises(InputError, match="bad.dng: the picture data are damaged"):
        client.read_frame(bad)
    client.read_frame(good)  # the log of one file does not affect the next file


@pytest.mark.parametrize("client", ["os.write(1, b'noise' * 1000); print('more', flush=True)"], indirect=True)
def test_read_frame_when_libraw_prints_to_stdout_then_the_answer_is_intact(client: DecoderClient, bad: Path):
    np.testing.assert_array_equal(client.read_frame(bad).mosaic, make_mosaic())


def test_read_frame_when_the_child_is_killed_between_files_then_another_starts(good: Path):
    client = DecoderClient()
    client.read_frame(good)
    first = client.pid
    assert first is not None
    os.kill(first, signal.SIGTERM)
    psutil.Process(first).wait(5)
    client.read_frame(good)
    assert client.pid != first
    client.close()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/nonexistent/python"], "No such file|cannot find"),
        ([sys.executable, "-c", "raise ImportError('no rawpy here')"], "no rawpy here"),
    ],
)
def test_read_frame_when_the_decoder_does_not_start_then_the_error_names_file_and_reason(
    command: list[str], reason: str
):
    with pytest.raises(
        InputError, match=f"a.dng: not read, because the raw decoder did not start .*({reason})"
    ):
        DecoderClient(command).read_frame(Path("a.dng"))


def test_read_frame_when_the_decoder_fails_to_start_once_then_the_file_is_read(good: Path):
    first = good.with_name("first")
    first.touch()
    program = f"""
    import os, sys
    if os.path.exists({str(first)!r}):
        os.unlink({str(first)!r})
        sys.exit(1)
    from burstfix.io.read import decoder
    decoder.main()
    """
    client = DecoderClient([sys.executable, "-P", "-c", textwrap.dedent(program)])
    np.testing.assert_array_equal(client.read_frame(good).mosaic, make_mosaic())
    client.close()


HOSTILE_REPLIES = {
    "pickle": "pickle.dumps(Bomb())",
    "no JSON": "b'x'",
    "unknown field": "json.dumps({**plain, 'extra': 1}).encode()",
    "wrong type": "json.dumps({**plain, 'metadata': {**plain['metadata'], 'height': '48'}}).encode()",
    "wrong size": "json.dumps({**plain, 'metadata': {**plain['metadata'], 'height': 49}}).encode()",
    "negative size": "json.dumps({**plain, 'metadata': {**plain['metadata'], 'height': -48}}).encode()",
    "deep": "b'[' * 100_000",
    "nothing": "b'{}'",
}


@pytest.mark.parametrize("reply", HOSTILE_REPLIES.values(), ids=HOSTILE_REPLIES.keys())
def test_read_frame_when_the_answer_is_hostile_then_it_raises_input_error_and_runs_no_code(
    good: Path, tmp_path: Path, reply: str
):
    mark = tmp_path / "mark"
    program = f"""
    import json, os, pickle
    from burstfix.io.read import decoder
    class Bomb:
        def __reduce__(self):
            return (open, ({str(mark)!r}, "w"))
    real = decoder.encode
    def encode(reply):
        plain = json.loads(real(reply))
        return {reply}
    decoder.encode = encode
    decoder.main()
    """
    client = DecoderClient([sys.executable, "-P", "-c", textwrap.dedent(program)])
    with pytest.raises(InputError, match="good.dng: the decoder crashed on it"):
        client.read_frame(good)
    client.close()
    assert not mark.exists()


def test_read_frame_when_the_answer_contains_another_path_then_the_requested_path_is_kept(good: Path):
    body = """
    import dataclasses, pathlib
    from burstfix.io.read import decoder
    real = decoder.encode
    def encode(reply):
        other = dataclasses.replace(reply.metadata, path=pathlib.Path("/etc/passwd"))
        return real(dataclasses.replace(reply, metadata=other))
    decoder.encode = encode
    decoder.main()
    """
    client = DecoderClient([sys.executable, "-P", "-c", textwrap.dedent(body)])
    assert client.read_frame(good).metadata.path == good
    client.close()


def test_decode_when_encoded_metadata_contain_every_type_then_they_are_restored():
    exif = ExifTags(
        {1: "Zoë", 2: b"\0\xff"}, {3: Fraction(-1, 3), 4: (1, Fraction(2))}, {5: 6}, {"dc:title": "<x/>"}
    )
    black = Levels(np.array([[1, 2], [3, 4]], np.float32), 99.5, black_rows=np.zeros(48, np.float32))
    time = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=timezone(timedelta(hours=-3)))
    path = Path(os.fsdecode(b"IMG_\xe9.dng"))
    given = make_metadata(path=path, exif=exif, levels=black, time=time, opcodes=OpcodeLists(b"\1\2", top=3))
    got = decode(Reply, encode(Reply(metadata=given, warnings=("a", "b"))))
    assert got.warnings == ("a", "b") and got.error is None
    m = got.metadata
    for name in ("path", "height", "cfa", "noise", "time", "iso", "default_crop"):
        assert getattr(m, name) == getattr(given, name), name
    assert (m.exif.image, m.exif.exif, m.exif.gps, m.exif.xmp) == (exif.image, exif.exif, exif.gps, exif.xmp)
    np.testing.assert_array_equal(m.levels.black, black.black)
    assert m.levels.black.dtype == np.float32 and m.color.color_matrix_1.dtype == np.float64
    assert m.levels.black_cols is None and m.levels.black_rows.shape == (48,)
    assert (m.opcodes.first, m.opcodes.top) == (b"\1\2", 3)


def test_decode_when_a_request_contains_text_instead_of_a_bool_then_it_is_rejected():
    line = encode(Request("a", None, True)).replace(b"true", b'"yes"')
    with pytest.raises(ValueError, match="yes"):
        decode(Request, line)


def test_read_frame_when_called_from_many_threads_then_each_gets_its_own_frame(tmp_path: Path):
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
def test_read_frame_when_the_process_forks_then_it_starts_its_own_child(good: Path):
    read_frame(good)
    first = shared_client().pid
    process = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(good, first))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    read_frame(good)
    assert shared_client().pid == first


@pytest.mark.skipif(os.name != "posix", reason="Windows reports the end of a killed process otherwise")
def test_child_when_the_parent_is_killed_then_it_ends_too(good: Path):
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


def test_import_io_when_rawpy_is_missing_then_it_succeeds():
    # rawpy may be missing on training machines, because only the child needs it.
    program = "import sys; sys.modules['rawpy'] = None; import burstfix.io"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
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
        assert "directories are damaged" in str(caught.value)


def test_seconds_for_when_a_file_is_larger_then_the_time_limit_is_higher(tmp_path: Path):
    path = tmp_path / "a.dng"
    assert seconds_for(path) == BASE_SECONDS
    with open(path, "wb") as file:
        file.truncate(200_000_000)
    assert seconds_for(path) == pytest.approx(BASE_SECONDS + 10)
    assert seconds_for(path, 1.0) == pytest.approx(11)
