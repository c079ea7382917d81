"""The plan of a batch as people see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from burstfix.names import printable_document
from burstfix.report.frames import exposure_text

_KINDS = {"burst": "burst", "single": "single frame", "bracket": "bracket", "short": "too few frames"}


def plan_table(document: Mapping[str, Any]) -> Group:
    """A row for each group, then what could not be read, the warnings, and a closing line.

    Args:
        document: From `Plan.document`.
    """
    document = printable_document(document)
    groups = document["groups"]
    with_outputs = any("output" in group for group in groups)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("first frame", "last", "frames", "kind", "camera", "time", "exposure", "ISO"):
        table.add_column(title, justify="right" if title in ("frames", "exposure", "ISO") else "left")
    if with_outputs:
        table.add_column("picture")
    for group in groups:
        row = [
            group["name"],
            group["frames"][-1],
            str(len(group["frames"])),
            _KINDS[group["kind"]],
            group["camera"],
            (group["time"] or "").replace("T", " ")[:22],
            exposure_text(group["exposure_time"]),
            f"{group['iso']:g}" if group["iso"] else "",
        ]
        table.add_row(*row, *([group["output"] or "-"] if with_outputs else []))
    lines = [Text(f"{entry['path']}: cannot be read, {entry['reason']}") for entry in document["unreadable"]]
    lines += [Text(warning) for warning in document["warnings"]]
    return Group(*([table] if groups else []), *lines, Text(closing_line(document)))


def closing_line(document: Mapping[str, Any]) -> str:
    """One line: how many of each kind."""
    counts = document["counts"]
    parts = [f"{counts['burst']} bursts", f"{counts['single']} single frames"]
    parts += [f"{counts['bracket']} brackets"] if counts["bracket"] else []
    parts += [f"{counts['short']} with too few frames"] if counts["short"] else []
    parts += [f"{len(document['unreadable'])} unreadable"] if document["unreadable"] else []
    return ", ".join(parts) + f"; {len(document['ignored'])} other files ignored"
