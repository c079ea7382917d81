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
from burstfix.io.decoder_protocol import HEADER, READY, Reply
from burstfix.types import Frame, FrameMetadata

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
# Importing numpy and rawpy from a cold disk on a busy machine.
_START_SECONDS = 60.0


class DecoderClient:
    """One child process that reads raw files, started when first needed.

    Safe to use from several threads (they take turns) and after a fork (the new process gets a child
    of its own).
    """

    def __init__(self, command: Sequence[str] | None = None, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Prepares; starts nothing yet.

        Args:
            command: What to run, by default `io.decoder` in this Python.
            answer_seconds: How long a file may take before the child is ended.
        """
        self._command = list(command) if command else [sys.executable, "-P", "-m", "burstfix.io.decoder"]
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._stderr: IO[bytes] | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._process.pid if self._process is not None and self._owner == os.getpid() else None

    def read_frame(self, path: Path) -> Frame:
        """The whole raw.

        Raises:
            InputError: It cannot be read.
        """
        reply, mosaic = self._ask(path, pixels=True)
        assert reply.metadata is not None and mosaic is not None
        return Frame(mosaic.reshape(reply.metadata.height, reply.metadata.width), reply.metadata)

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
        if self._owner == os.getpid():
            self._stop()

    def _ask(self, path: Path, pixels: bool) -> tuple[Reply, np.ndarray | None]:
        if self._owner != os.getpid():  # forked: the parent's child and lock are not ours
            self._process, self._stderr, self._owner = None, None, os.getpid()
            self._lock = threading.Lock()
        with self._lock:
            process = self._running()
            try:
                with self._deadline(process, self._answer_seconds) as late:
                    answer = self._exchange(process, path, pixels)
            except BaseException:
                self._stop()  # an answer half read would be taken for the next one's
                raise
            if answer is None:
                status = self._stop()
                if late.is_set():
                    raise InputError(
                        f"{path}: decoding took more than {self._answer_seconds:g} s and was given up; "
                        "the file is likely damaged"
                    )
                raise InputError(
                    f"{path}: the decoder crashed on it (exit status {status}); the file is likely damaged"
                )
        reply, mosaic = answer
        if reply.error is not None:
            raise (UnsupportedSensorError if reply.unsupported else InputError)(reply.error)
        for note in reply.notes:
            _log.warning("%s", note)
        return reply, mosaic

    def _exchange(
        self, process: subprocess.Popen[bytes], path: Path, pixels: bool
    ) -> tuple[Reply, np.ndarray | None] | None:
        """Sends a request and reads the answer; None when the child ends before it is complete."""
        assert process.stdin is not None and process.stdout is not None
        folder = None if path.is_absolute() else os.getcwd()
        request = json.dumps({"path": os.fspath(path), "folder": folder, "pixels": pixels})
        try:
            process.stdin.write(request.encode("ascii") + b"\n")
            process.stdin.flush()
        except OSError:
            return None
        header = process.stdout.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        body_length, pixel_length = HEADER.unpack(header)
        body = process.stdout.read(body_length)
        if len(body) < body_length:
            return None
        reply: Reply = pickle.loads(body)
        if not pixel_length:
            return reply, None
        mosaic = np.empty(pixel_length // 2, dtype=np.uint16)
        view = mosaic.data.cast("B")
        while view:
            count = process.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                return None
            view = view[count:]
        return reply, mosaic

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._stop()  # it was ended from outside between two files
        package_root = str(Path(__file__).resolve().parents[2])
        paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the child
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise BurstfixError(f"the raw decoder cannot be started ({error})") from error
        assert self._process.stdout is not None
        with self._deadline(self._process, _START_SECONDS):
            greeting = self._process.stdout.read(len(READY))
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

    def _stop(self) -> int | None:
        """Ends the child and frees its pipes; returns its exit status."""
        process, self._process = self._process, None
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            stderr.close()
        if process is None:
            return None
        # A child that has crashed is let finish, for its exit status; any other is killed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return process.wait()


_client = DecoderClient()


def shared_client() -> DecoderClient:
    """The child that this process's reads share."""
    return _client
