"""Handle closed or full standard streams, and signals that end the command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE: stdout was closed
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_missing_streams() -> None:
    """Open the null device in place of closed standard streams (`2>&-`).

    Otherwise the next file that is opened would get the file descriptor of the closed stream, and libraries
    that print to this stream would write into the file.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            _null_device_as(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def discard_stdout() -> None:
    """Redirect stdout to the null device, so that the final flush of the interpreter does not fail."""
    with contextlib.suppress(OSError, ValueError):
        _null_device_as(sys.stdout.fileno())


def _null_device_as(number: int) -> None:
    handle = os.open(os.devnull, os.O_RDWR)
    if handle == number:
        os.set_inheritable(handle, True)
    else:
        os.dup2(handle, number)
        os.close(handle)


class Terminated(SystemExit):
    """Raised when a signal ends the command; `code` is the exit code."""


@contextlib.contextmanager
def signals_as_exceptions() -> Generator[None, None, None]:
    """Raise `Terminated` on SIGTERM (a timeout, a shutdown) and SIGHUP (a closed terminal).

    The exception unwinds the stack, so that temporary files are removed. Ignored signals (nohup) stay
    ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        raise Terminated(128 + number)

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    caught = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
