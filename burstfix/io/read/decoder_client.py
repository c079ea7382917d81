"""Parent side of the decoder process: it keeps one child, restarts it after a crash, kills it if it hangs."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import (
    InputError,
    OutOfMemoryError,
    OutputError,
    UnsupportedSensorError,
    names_memory,
)
from burstfix.io.read.decoder_protocol import (
    BASE_SECONDS,
    GREETING_BYTES,
    HEADER,
    MAX_REPLY_BYTES,
    Reply,
    Request,
    decode,
    decode_greeting,
    encode,
    seconds_for,
)
from burstfix.io.read.sandbox import Sandbox
from burstfix.types import Frame, FrameMetadata

_log = logging.getLogger(__name__)

# A failure may be temporary (the computer slept, memory ran out, a drive was slow).
_ATTEMPTS = 2
# Time to import numpy and rawpy on a busy machine with a cold disk cache.
_START_SECONDS = 60.0


class _StartError(Exception):
    """The child did not start."""


class DecoderClient:
    """One child process that reads raw files. It is started at first use.

    Threads may share the client. Requests are handled one at a time.
    """

    def __init__(self, command: Sequence[str] | None = None, base_seconds: float = BASE_SECONDS) -> None:
        """Store the settings; the child starts at the first read.

        Args:
            command: The program to run; by default `decoder` in this Python.
            base_seconds: Time limit of each of two attempts to read a small file; larger files have more
                time.
        """
        self._command = list(command) if command else [sys.executable, "-P", "-m", "burstfix.io.read.decoder"]
        self._base_seconds = base_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._sandbox = Sandbox()
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None if no child runs."""
        return self._process.pid if self._process is not None else None

    def read_frame(self, path: Path, raw_index: int = 0) -> Frame:
        """Read a whole raw.

        Args:
            path: The file.
            raw_index: Index of the raw in the file.

        Raises:
            InputError: The file cannot be read.
            OutOfMemoryError: A limit of the system leaves too little memory.
        """
        metadata, mosaic = self._ask(path, pixels=True, raw_index=raw_index)
        return Frame(mosaic, metadata)

    def read_metadata(self, path: Path) -> FrameMetadata:
        """Read the metadata of a raw, without its pixels.

        Raises:
            InputError: The file cannot be read.
        """
        return self._ask(path, pixels=False, raw_index=0)[0]

    def sandbox(self) -> Sandbox:
        """Return the restrictions of the child; start it if it does not run.

        Raises:
            InputError: The child does not start.
        """
        with self._lock:
            try:
                self._running()
            except _StartError as error:
                raise InputError(f"the raw decoder did not start ({error})") from error
        return self._sandbox

    def close(self) -> None:
        """End the child."""
        self._stop()

    def forget(self) -> None:
        """Release the child without ending it; used in a process that was forked from the child's parent."""
        self._lock = threading.Lock()  # another thread may have held the lock at the time of the fork
        process, self._process = self._process, None
        if process is not None:
            _close_pipes(process)  # otherwise the child would not detect the end of its parent
            process.returncode = 0  # the child belongs to the parent process, which waits for it

    def _ask(self, path: Path, pixels: bool, raw_index: int) -> tuple[FrameMetadata, NDArray[np.uint16]]:
        folder = None if path.is_absolute() else os.getcwd()
        reply, mosaic = self._answer(path, Request(os.fspath(path), folder, pixels, raw_index))
        if reply.error is not None or reply.metadata is None:
            raise _error_of(reply)
        for warning in reply.warnings:
            _log.warning("%s", warning)
        # Use the original path, because outputs are named after it.
        return replace(reply.metadata, path=path), mosaic

    def _answer(self, path: Path, request: Request) -> tuple[Reply, NDArray[np.uint16]]:
        """Repeat the request until there is an answer, at most `_ATTEMPTS` times."""
        seconds = seconds_for(path, self._base_seconds)
        failure: InputError | OutOfMemoryError = InputError(f"{path}: not read")
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    process = self._running()
                except _StartError as error:
                    message = f"{path}: not read, because the raw decoder did not start ({error})"
                    failure = (OutOfMemoryError if names_memory(str(error)) else InputError)(message)
                    continue
                try:
                    with self._deadline(process, seconds) as late:
                        answer = _exchange(process, request)
                except BaseException:
                    self._stop()  # otherwise the rest of a partial answer would count as the next answer
                    raise
                if answer is not None:
                    return answer
                status = self._stop(grace=1.0)
                reason = f"the decoder crashed on it (exit status {status})"
                if late.is_set():
                    reason = f"decoding took more than {seconds:.2g} s and was stopped"
                failure = InputError(f"{path}: {reason} {_ATTEMPTS} times; the file is likely damaged")
                _log.debug("%s: %s", path, reason)
        raise failure

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the child; start it if it does not run.

        Raises:
            _StartError: The child does not start.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._stop()  # the child was ended by another program between two files
        try:
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  stays open while the child runs
        except OSError as error:
            raise OutputError(
                f"there is no folder for temporary files ({error.strerror or error}); create one with "
                "write access, and set the environment variable TMPDIR to it"
            ) from error
        try:
            self._process = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise _StartError(str(error)) from error
        assert self._process.stdout is not None
        _widen(self._process.stdout)
        greeting = bytearray(GREETING_BYTES)
        with self._deadline(self._process, _START_SECONDS):
            _fill(self._process.stdout, memoryview(greeting))
        sandbox = decode_greeting(greeting)
        if sandbox is None:
            self._stderr.seek(0)
            lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
            self._stop()
            raise _StartError(lines[-1] if lines else "no reason given")
        self._sandbox = sandbox
        return self._process

    @contextlib.contextmanager
    def _deadline(self, process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
        """Kill the child if the body takes longer. Then the event is set, and reads from the pipe end."""
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _stop(self, grace: float = 0.0) -> int | None:
        """End the child and close its pipes.

        Args:
            grace: Seconds to wait until a crashed child ends by itself, so that its own exit status is
                returned.

        Returns:
            The exit status, or None if there was no child.
        """
        process, self._process = self._process, None
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            stderr.close()
        if process is None:
            return None
        if grace:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        process.kill()
        _close_pipes(process)
        return process.wait()


def _error_of(reply: Reply) -> InputError | OutOfMemoryError:
    message = reply.error or "the decoder sent no metadata"
    if reply.out_of_memory:
        return OutOfMemoryError(message)
    return UnsupportedSensorError(message) if reply.unsupported else InputError(message)


def _exchange(process: subprocess.Popen[bytes], request: Request) -> tuple[Reply, NDArray[np.uint16]] | None:
    """Send a request and return the answer; None if the child ends early or the answer is invalid."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(encode(request))
    except OSError:
        return None
    header = bytearray(HEADER.size)
    if not _fill(process.stdout, memoryview(header)):
        return None
    reply_length, pixel_length = HEADER.unpack(header)
    if reply_length > MAX_REPLY_BYTES:
        return None
    body = bytearray(reply_length)
    if not _fill(process.stdout, memoryview(body)):
        return None
    try:
        reply: Reply = decode(Reply, body)
    except ValueError:
        return None
    if not request.pixels or reply.error is not None:
        return (reply, np.empty(0, np.uint16)) if pixel_length == 0 else None
    if reply.metadata is None or min(reply.shape) < 1 or pixel_length != 2 * _product(reply.shape):
        return None
    mosaic = np.empty(reply.shape, np.uint16)
    return (reply, mosaic) if _fill(process.stdout, mosaic.data.cast("B")) else None


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _fill(pipe: IO[bytes], view: memoryview) -> bool:
    """Read until `view` is full; return False if the pipe ends first."""
    while view:
        count = pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            return False
        view = view[count:]
    return True


def _widen(pipe: IO[Any]) -> None:
    """Enlarge the buffer of the pipe to a megabyte if possible, for fewer context switches per mosaic."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _environment() -> dict[str, str]:
    """Return the environment of the child: it imports this package and reserves little address space.

    Threads of OpenBLAS, OpenMP and malloc reserve address space, which counts against the child's limit.
    """
    package_root = str(Path(__file__).resolve().parents[3])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {"OMP_NUM_THREADS": str(min(8, os.cpu_count() or 1)), **os.environ, **own}


_client = DecoderClient()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_client.forget)


def shared_client() -> DecoderClient:
    """Return the client that all reads of this process share."""
    return _client
