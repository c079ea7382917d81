"""Run a batch several times and kill each run without warning. This is a script, because it forks.

    python killed_runs.py CARD OUT KILLS SEED

All modules are imported once. Each run is a fork. It is killed at a random moment after a random number of
events, or soon after its start. The script prints the number of finished bursts at each kill.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import burstfix
from burstfix.batch.journal import read_entries
from burstfix.batch.report import Event
from burstfix.batch.run import run_batch


def killed_run(card: Path, out: Path, events: int, delay: float) -> None:
    """Run a batch until the process is killed, `delay` seconds after this many events. Never return."""
    settings = burstfix.BatchSettings(model="average", device="cpu")

    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def on_event(event: Event) -> None:
        nonlocal events
        events -= event.kind in ("started", "done")
        if events == 0:
            events -= 1
            threading.Thread(target=kill).start()

    if events == 0:
        threading.Thread(target=kill).start()
    run_batch([card], out, settings, retry_failed=True, on_event=on_event)
    os._exit(0)


def main(card: Path, out: Path, kills: int, seed: int) -> None:
    """Start and kill the runs one after the other."""
    moments = random.Random(seed)
    for _ in range(kills):
        events = moments.randint(0, 4)
        delay = moments.uniform(0, 0.025 if events else 0.5)
        child = os.fork()
        if child == 0:
            killed_run(card, out, events, delay)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("a run ended before it was killed")
        done = sum(entry.state == "done" for entry in read_entries(out)) if out.is_dir() else 0
        sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
