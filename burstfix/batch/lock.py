"""Lock and log file of an output folder. The lock permits only one run at a time."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from burstfix.errors import OutputError
from burstfix.names import printable

LOCK_NAME = ".burstfix.lock"
LOG_NAME = "burstfix.log"


@contextmanager
def only_run(folder: Path) -> Generator[None, None, None]:
    """Hold the lock of a folder; the system releases it even if this process is killed.

    Raises:
        OutputError: Another run holds the lock, or the folder cannot be written to.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder}: another batch is running in this folder{_holder(path)}; wait until it ends, "
            "or choose another output folder"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror or error})") from error
    try:
        _note_holder(path)
        yield
    finally:
        lock.release()


def _note_holder(path: Path) -> None:
    try:
        path.with_suffix(".holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
    except OSError:
        logging.getLogger(__name__).debug("the holder of %s cannot be recorded", path)


def _holder(path: Path) -> str:
    try:
        return f" ({path.with_suffix('.holder').read_text()})"
    except OSError:
        return ""


class _SafeFormatter(logging.Formatter):
    """Formatter that escapes control characters, which file names and metadata may contain."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  named by logging
        """Format a record and escape line breaks, which names may contain."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  named by logging
        """Format a traceback; keep its line breaks, but escape all other control characters."""
        return "\n".join(printable(line) for line in super().formatException(ei).splitlines())


class _LogFile(logging.FileHandler):
    """Log file that ignores a full disk, because the batch reports a full disk itself."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  named by logging
        """Ignore failed writes; report programming errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file. Records that cannot be written are lost."""
        try:
            super().close()
        except OSError:
            self.stream = None  # type: ignore[assignment]


@contextmanager
def log_file(folder: Path) -> Generator[None, None, None]:
    """Append the log of burstfix, including tracebacks, to a file in the folder.

    Raises:
        OutputError: The file cannot be opened.
    """
    try:
        # File names need not be UTF-8.
        handler = _LogFile(folder / LOG_NAME, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{folder / LOG_NAME}: cannot be written ({error.strerror or error})") from error
    handler.setFormatter(_SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
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
