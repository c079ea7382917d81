"""The parent's side of `io.decoder`: keeps one child, restarts it after a crash, gives up on a hang."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from burstfix.errors import BurstfixError, InputError, UnsupportedSensorError
from burstfix.io.read.decoder_protocol import HEADER, READY, Reply
from burstfix.types import LINEAR, Frame, FrameMetadata

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
# A computer that was put to sleep, a slow drive and a lack of memory end a child, too, but not twice.
_ATTEMPTS = 2
# Importing numpy and rawpy from a cold disk on a busy machine.
_START_SECONDS = 60.0


class DecoderClient:
    """One child process that reads raw files, started when first needed.

    Safe to use from several threads, which take turns.
    """

    def __init__(self, command: Sequence[str] | None = None, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Prepares; starts nothing yet.

        Args:
            command: What to run, by default `io.decoder` in this Python.
            answer_seconds: How long each of two attempts at a file may take before the child is ended.
        """
        self._command = list(command) if command else [sys.executable, "-P", "-m", "burstfix.io.read.decoder"]
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._process.pid if self._process is not None else None

    def read_frame(self, path: Path) -> Frame:
        """The whole raw.

        Raises:
            InputError: It cannot be read.
        """
        reply, mosaic = self._ask(path, pixels=True)
        assert reply.metadata is not None and mosaic is not None
        colours = (3,) if reply.metadata.cfa == LINEAR else ()
        return Frame(mosaic.reshape(reply.metadata.height, reply.metadata.width, *colours), reply.metadata)

    def read_metadata(self, path: Path) -> FrameMetadata:
        """All but the pixels.

        Raises:
            InputError: It cannot be read.
        """
        reply, _ = self._ask(path, pixels=False)
        assert reply.metadata is not None
        return reply.metadata

    def close(self) -> None:
        """Ends the child."""
        self._stop()

    def forget(self) -> None:
        """Lets go of the child without ending it: for a process forked from the one that started it."""
        self._lock = threading.Lock()  # another thread may have held it when the fork came
        process, self._process = self._process, None
        if process is not None:
            _close_pipes(process)  # or the child would not notice that its parent has ended
            process.returncode = 0  # it is not ours to wait for

    def _ask(self, path: Path, pixels: bool) -> tuple[Reply, np.ndarray | None]:
        reply, mosaic = self._answer(path, pixels)
        if reply.error is not None:
            raise (UnsupportedSensorError if reply.unsupported else InputError)(reply.error)
        for note in reply.notes:
            _log.warning("%s", note)
        return reply, mosaic

    def _answer(self, path: Path, pixels: bool) -> tuple[Reply, np.ndarray | None]:
        failure = ""
        with self._lock:
            for _ in range(_ATTEMPTS):
                process = self._running()
                try:
                    with self._deadline(process, self._answer_seconds) as late:
                        answer = self._exchange(process, path, pixels)
                except BaseException:
                    self._stop()  # an answer half read would be taken for the next one's
                    raise
                if answer is not None:
                    return answer
                status = self._stop(grace=1.0)
                if late.is_set():
                    failure = f"decoding took more than {self._answer_seconds:g} s, and was given up"
                else:
                    failure = f"the decoder crashed on it (exit status {status})"
                _log.debug("%s: %s", path, failure)
        raise InputError(f"{path}: {failure} for the second time; the file is likely damaged")

    def _exchange(
        self, process: subprocess.Popen[bytes], path: Path, pixels: bool
    ) -> tuple[Reply, np.ndarray | None] | None:
        """Sends a request and reads the answer; None when the child ends before it is complete."""
        assert process.stdin is not None and process.stdout is not None
        folder = None if path.is_absolute() else os.getcwd()
        request = json.dumps({"path": os.fspath(path), "folder": folder, "pixels": pixels})
        try:
            process.stdin.write(request.encode("ascii") + b"\n")
        except OSError:
            return None
        header = bytearray(HEADER.size)
        if not _fill(process.stdout, memoryview(header)):
            return None
        body_length, pixel_length = HEADER.unpack(header)
        body = bytearray(body_length)
        if not _fill(process.stdout, memoryview(body)):
            return None
        reply: Reply = pickle.loads(body)
        if not pixel_length:
            return reply, None
        mosaic = np.empty(pixel_length // 2, dtype=np.uint16)
        return (reply, mosaic) if _fill(process.stdout, mosaic.data.cast("B")) else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._stop()  # it was ended from outside between two files
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the child
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
            raise BurstfixError(f"the raw decoder cannot be started ({error})") from error
        assert self._process.stdout is not None
        _widen(self._process.stdout)
        greeting = bytearray(len(READY))
        with self._deadline(self._process, _START_SECONDS):
            _fill(self._process.stdout, memoryview(greeting))
        if greeting != READY:
            self._stderr.seek(0)
            lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
            self._stop()
            raise BurstfixError(
                f"the raw decoder did not start ({lines[-1] if lines else 'no reason given'})"
            )
        return self._process

    @contextlib.contextmanager
    def _deadline(self, process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
        """Kills the child when the body takes longer, which ends any read from it; the event says so."""
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
        """Ends the child and frees its pipes.

        Args:
            grace: Seconds that a crashed child gets to finish, so that its own exit status is known.

        Returns:
            The exit status, None if there was no child.
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


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _fill(pipe: IO[bytes], view: memoryview) -> bool:
    """Reads until `view` is full; False when the pipe ends before."""
    while view:
        count = pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            return False
        view = view[count:]
    return True


def _widen(pipe: IO[bytes]) -> None:
    """Lets the pipe hold a megabyte where the system can: a mosaic then takes fewer switches of process."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _environment() -> dict[str, str]:
    """The child's environment: it finds this very package, and its libraries reserve little memory.

    Each thread of OpenBLAS, OpenMP and malloc reserves address space, which counts against the child's limit.
    """
    package_root = str(Path(__file__).resolve().parents[3])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {"OMP_NUM_THREADS": str(min(8, os.cpu_count() or 1)), **os.environ, **own}


_client = DecoderClient()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_client.forget)


def shared_client() -> DecoderClient:
    """The child that this process's reads share."""
    return _client
