"""A hot folder: whatever is copied into INBOX is merged into OUT, and each result is announced.

    python examples/batch/hot_folder.py INBOX OUT [SECONDS]

Ends with Ctrl-C, or after so many seconds.
"""

from __future__ import annotations

import sys
import threading

import burstfix
from burstfix.batch.run import Event


def announce(event: Event) -> None:
    """Put your own here: a mail, an upload, a message to a phone."""
    if event.kind in ("done", "failed"):
        sys.stdout.write(f"{event.kind}: {event.data.get('output') or event.data['error']}\n")
        sys.stdout.flush()


def main() -> int:
    """Watches until stopped."""
    stop = threading.Event()
    if len(sys.argv) > 3:
        timer = threading.Timer(float(sys.argv[3]), stop.set)
        timer.daemon = True
        timer.start()
    settings = burstfix.BatchSettings(format="jpeg", settle=2.0)
    report = burstfix.run_batch(
        [sys.argv[1]], sys.argv[2], settings, watch=True, stop=stop, on_event=announce
    )
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
