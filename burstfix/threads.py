"""Number of threads for work outside torch."""

from __future__ import annotations

import os

_MOST = 8


def thread_count() -> int:
    """Return OMP_NUM_THREADS, which also limits torch, or the number of usable cores; at most 8."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return min(int(wanted), _MOST)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)
