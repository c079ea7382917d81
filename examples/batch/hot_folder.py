"""A hot folder: whatever is copied into INBOX is merged into OUT, and each result is announced.

    python examples/batch/hot_folder.py INBOX OUT

Ends with Ctrl-C; started again, it goes on.
"""

from __future__ import annotations

import sys

import burstfix
from burstfix.batch.report import Event


def announce(event: Event) -> None:
    """Put your own here: a mail, an upload, a message to a phone."""
    if event.kind in ("done", "failed"):
        sys.stdout.write(f"{event.kind}: {event.data.get('output') or event.data['error']}\n")
        sys.stdout.flush()


settings = burstfix.BatchSettings(format="jpeg", settle=2.0)
burstfix.run_batch([sys.argv[1]], sys.argv[2], settings, watch=True, on_event=announce)
