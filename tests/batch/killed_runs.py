"""Runs a batch again and again, each time killed without warning; a script of its own, for it forks.

    python killed_runs.py CARD OUT KILLS SEED

Everything is imported once; each run is a fork that is killed after a random time. Prints how many bursts
were done when each was killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import burstfix
from burstfix.batch.journal import read_entries
from burstfix.batch.run import run_batch

card, out, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
settings = burstfix.BatchSettings(model="average", device="cpu")
moments = random.Random(seed)
killed = 0
while killed < kills:
    child = os.fork()
    if child == 0:
        try:
            run_batch([card], out, settings, retry_failed=True)
        finally:
            os._exit(0)
    time.sleep(moments.uniform(0.02, 0.9))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        break  # it was done before it could be killed
    killed += 1
    done = sum(entry.state == "done" for entry in read_entries(out)) if out.is_dir() else 0
    sys.stdout.write(f"{done}\n")
    sys.stdout.flush()
