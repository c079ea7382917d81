"""The sandbox of the decoder process: actions that a raw that exploits LibRaw cannot perform."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from burstfix.errors import InputError
from burstfix.io.read.decoder_client import DecoderClient
from burstfix.io.read.decoder_protocol import READY, decode_greeting, encode_greeting
from burstfix.io.read.sandbox import Sandbox
from tests.io.raw_files import make_mosaic, write_raw

ABI_OF_SIGNALS = 6
"""First version of Landlock that restricts signals."""


def landlock_version() -> int:
    try:
        import landlockpy
    except ImportError:
        return 0
    return landlockpy.abi_version() if landlockpy.supported() else 0


def can_leave_network() -> bool:
    """Return True if the system lets a process of this user create a network namespace."""
    if sys.platform != "linux":
        return False
    program = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000) != 0)"
    return subprocess.run([sys.executable, "-c", program]).returncode == 0


needs_landlock = pytest.mark.skipif(landlock_version() < 1, reason="the kernel has no Landlock")
needs_namespaces = pytest.mark.skipif(not can_leave_network(), reason="namespaces are not allowed here")


Attack = Callable[..., list[str]]


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    """Return a function that runs statements in a decoder and returns the error of each, or "done"."""
    clients: list[DecoderClient] = []

    def run(*statements: str) -> list[str]:
        program = f"""
        import os, socket, sys
        from burstfix.errors import InputError
        from burstfix.io.read import decode, decoder
        def attack(path, **options):
            answers = []
            for statement in {statements!r}:
                try:
                    exec(statement, {{**globals(), "path": path}})
                    answers.append("done")
                except OSError as error:
                    answers.append(error.strerror)
            raise InputError("; ".join(answers))
        decode.decode = attack
        decoder.main()
        """
        clients.append(DecoderClient([sys.executable, "-P", "-c", textwrap.dedent(program)]))
        with pytest.raises(InputError) as caught:
            clients[-1].read_frame(write_raw(tmp_path / "a.dng"))
        return str(caught.value).split("; ")

    yield run
    for client in clients:
        client.close()


@needs_landlock
def test_decoder_when_it_tries_to_change_files_or_run_programs_then_each_attempt_fails(
    attack: Attack, tmp_path: Path
):
    old = tmp_path / "old"
    old.write_text("kept")
    statements = (
        "open(path.with_name('new'), 'wb')",
        "open(path.with_name('old'), 'r+b')",
        "os.truncate(path.with_name('old'), 0)",
        "path.with_name('old').unlink()",
        "path.with_name('old').rename(path.with_name('new'))",
        "path.with_name('new').mkdir()",
        "path.with_name('new').symlink_to('/')",
        "os.link(path.with_name('old'), path.with_name('new'))",
        "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    )
    assert attack(*statements) == ["Permission denied"] * len(statements)
    assert old.read_text() == "kept" and not (tmp_path / "new").exists()


@pytest.mark.skipif(landlock_version() < ABI_OF_SIGNALS, reason="the kernel does not restrict signals")
def test_decoder_when_it_sends_a_signal_to_its_parent_then_that_fails(attack: Attack):
    assert attack("os.kill(os.getppid(), 0)") == ["Operation not permitted"]


@needs_namespaces
def test_decoder_when_it_tries_to_use_the_network_then_each_attempt_fails(attack: Attack):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        answers = attack(
            f"socket.create_connection({address}, timeout=2)",
            f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', {address})",
        )
    assert set(answers) <= {"Network is unreachable", "Permission denied"}


def test_decoder_when_the_system_has_no_sandbox_then_raws_are_read_and_the_client_knows(tmp_path: Path):
    program = """
    import ctypes, sys
    sys.modules["landlockpy"] = None
    class System:
        @staticmethod
        def unshare(flags):
            return -1
    from burstfix.io.read import decoder, sandbox
    sandbox.ctypes = type("ctypes", (), {"CDLL": lambda name: System})
    decoder.main()
    """
    client = DecoderClient([sys.executable, "-P", "-c", textwrap.dedent(program)])
    frame = client.read_frame(write_raw(tmp_path / "a.dng"))
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())
    assert client.sandbox() == Sandbox(read_only=False, offline=False)
    client.close()


def test_sandbox_when_the_system_supports_it_then_the_client_knows_what_is_active():
    client = DecoderClient()
    assert client.sandbox() == Sandbox(read_only=landlock_version() > 0, offline=can_leave_network())
    client.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_decode_greeting_when_encoded_then_it_is_the_same(read_only: bool, offline: bool):
    sandbox = Sandbox(read_only, offline)
    assert decode_greeting(encode_greeting(sandbox)) == sandbox


@pytest.mark.parametrize("greeting", [b"", READY, b"x" * (len(READY) + 2), encode_greeting(Sandbox()) + b"0"])
def test_decode_greeting_when_it_is_another_program_then_it_is_none(greeting: bytes):
    assert decode_greeting(greeting) is None
