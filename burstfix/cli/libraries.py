"""Load torch quickly, and check beforehand that memory suffices for it."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import mmap
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

from burstfix.errors import OutOfMemoryError, is_out_of_memory

_WORKING_MEMORY = 450_000_000
"""Bytes that a small merge needs in addition to the libraries. With less, oneDNN may crash (SIGSEGV)."""


def check_memory_suffices() -> None:
    """Load the libraries in a child process first, if the address space is limited (`ulimit -v`).

    If memory runs out while they load or soon afterwards, torch and OpenBLAS end the process instead of
    raising an exception.

    Raises:
        OutOfMemoryError: The limit is too low.
    """
    if sys.platform != "linux":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    child = os.fork()
    if child == 0:
        _load_and_exit()
    if os.waitpid(child, 0)[1]:
        raise OutOfMemoryError(
            f"out of memory: the address space is limited to {limit / 1e6:.0f} MB (ulimit -v), which is too "
            "little for torch; raise the limit, for most merges to at least 1.5 GB"
        )


@contextmanager
def fast_imports() -> Generator[None, None, None]:
    """Suspend garbage collection while torch is imported; it would take a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # later collections need not visit the imported objects either
        gc.enable()


@cache
def exit_fast() -> None:
    """Make Python skip the garbage collection when it exits. It takes 0.3 s if torch was imported."""
    atexit.register(gc.freeze)


def _load_and_exit() -> None:
    """Load the libraries without output, and end this process with 0 if the parent can load them too."""
    faulthandler.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    failed = False
    try:
        try:
            importlib.import_module("burstfix.pipeline")
        finally:  # also after an exception, because a lack of memory raises many kinds
            mmap.mmap(-1, _WORKING_MEMORY)
    except BaseException as error:  # other exceptions will also occur in the parent
        failed = is_out_of_memory(error)
    finally:
        os._exit(failed)
