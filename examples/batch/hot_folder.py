"""Watch a folder: merge the bursts that are copied into INBOX, write them to OUT, and announce each result.

    python examples/batch/hot_folder.py INBOX OUT

Stop the script with Ctrl-C. When it is started again, it continues.
"""

from __future__ import annotations

import sys

import burstfix
from burstfix.batch.report import Event


def announce(event: Event) -> None:
    """Announce a result; replace this with your own code, such as a mail, an upload or a phone message."""
    if event.kind in ("done", "failed"):
        sys.stdout.write(f"{event.kind}: {event.data.get('output') or event.data['error']}\n")
        sys.stdout.flush()


settings = burstfix.BatchSettings(format="jpeg", settle=2.0)
burstfix.run_batch([sys.argv[1]], sys.argv[2], settings, watch=True, on_event=announce)
