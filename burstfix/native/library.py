"""Load the compiled library, and divide its work among threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

NAME = "_loops"
# ATEN_CPU_CAPABILITY limits the instructions that torch uses; the same limit applies here.
_LIMITS = {"avx512": 16, "avx2": 8, "default": 0}


@cache
def library() -> ctypes.CDLL | None:
    """Load the library; None if it was not built or cannot be loaded."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(NAME + suffix)
        if path.exists():
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                return None
    return None


@cache
def lanes() -> int:
    """Return the number of floats in the vectors of the compiled loops: 16, 8, or 0 = torch must be used."""
    loaded = library()
    if loaded is None:
        return 0
    return loaded.burstfix_lanes(_LIMITS.get(os.environ.get("ATEN_CPU_CAPABILITY", "").lower(), 16))


def in_threads(work: Callable[[int, int], int], count: int, step: int) -> None:
    """Call `work(first, last)` for parts of 0..count, one part for each thread that torch may use.

    No thread is still working when the function returns or raises an exception, so the caller may then free
    the memory that `work` uses.

    Args:
        work: Function of the library; it returns 0, or another value if memory runs out.
        count: Number of items.
        step: Each part begins at a multiple of this number.

    Raises:
        MemoryError: Memory ran out.
    """
    threads = max(1, min(torch.get_num_threads(), -(-count // step)))
    size = -(-count // (threads * step)) * step
    parts = [(first, min(first + size, count)) for first in range(0, count, size)]
    others = [(Future[int](), part) for part in parts[1:]]
    try:
        # If no thread can be started, for example because of a limit, this thread does the work. The pool may
        # then run the submitted part later. `_run` omits it, because it is cancelled below.
        with suppress(RuntimeError):
            for future, part in others:
                _pool(os.getpid()).submit(_run, future, work, part)
        failed = [work(*parts[0])]
        for future, part in others:
            failed.append(work(*part) if future.cancel() else future.result())
    except BaseException:  # for example KeyboardInterrupt
        wait([future for future, _ in others if not future.cancel()])
        raise
    if any(failed):
        raise MemoryError


def _run(future: Future[int], work: Callable[[int, int], int], part: tuple[int, int]) -> None:
    """Do one part of the work, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(*part))
    except BaseException as error:
        future.set_exception(error)


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # a forked process has no threads, so it needs its own pool
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "burstfix-native")
