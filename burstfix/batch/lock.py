"""One run at a time in an output folder, and a log file there."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from burstfix.errors import OutputError

LOCK_NAME = ".burstfix.lock"
LOG_NAME = "burstfix.log"


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with this process however it ends.

    Raises:
        OutputError: Another run holds it, or the folder cannot be written to.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder}: another batch is at work here{_holder(path)}; wait until it ends, "
            "or choose another output folder"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot write here ({error.strerror or error})") from error
    try:
        _note_holder(path)
        yield
    finally:
        lock.release()


def _note_holder(path: Path) -> None:
    try:
        path.with_suffix(".holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
    except OSError:
        logging.getLogger(__name__).debug("cannot say who holds %s", path)


def _holder(path: Path) -> str:
    try:
        return f" ({path.with_suffix('.holder').read_text()})"
    except OSError:
        return ""


class _LogFile(logging.FileHandler):
    """A log file that stays silent when the disk is full: the work itself says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Ignores failed writes, reports programming errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Closes; what could not be written is lost."""
        try:
            super().close()
        except OSError:
            self.stream = None  # type: ignore[assignment]


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Appends burstfix's log, tracebacks included, to the folder's log file.

    Raises:
        OutputError: It cannot be opened.
    """
    try:
        # Names of files need not be UTF-8.
        handler = _LogFile(folder / LOG_NAME, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{folder / LOG_NAME}: cannot be written ({error.strerror or error})") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("burstfix")
    before = ours.level
    ours.setLevel(logging.DEBUG)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before)
        handler.close()
