"""The plan of a batch as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from burstfix.report.columns import Column, FittedTable
from burstfix.report.frames import exposure_text

_KINDS = {"burst": "burst", "single": "single frame", "bracket": "bracket", "short": "too few frames"}


def plan_table(document: Mapping[str, Any], output: Path | None = None) -> Group:
    """Format a plan: a row for each group, then unreadable files, warnings and a closing line.

    Args:
        document: Result of `Plan.document`, with control characters escaped.
        output: Folder of the pictures, which are shown relative to it.
    """
    groups = document["groups"]
    columns = [
        Column("first frame", [group["name"] for group in groups], shrinks=True),
        Column("last", [_last(group) for group in groups], priority=2, shrinks=True),
        Column("frames", [str(len(group["frames"])) for group in groups], justify="right"),
        Column("kind", [_KINDS[group["kind"]] for group in groups]),
        Column("camera", [group["camera"] for group in groups], priority=6, shrinks=True),
        Column("time", [_time(group["time"]) for group in groups], priority=3),
        Column("exposure", [_exposure(group) for group in groups], priority=4, justify="right"),
        Column("ISO", [f"{group['iso']:g}" if group["iso"] else "" for group in groups],
               priority=5, justify="right"),
    ]  # fmt: skip
    if any("output" in group for group in groups):
        columns.append(
            Column(
                "picture", [_picture(group["output"], output) for group in groups], priority=1, shrinks=True
            )
        )
    table = FittedTable(columns, [""] * len(groups))
    lines = [Text(f"{entry['path']}: cannot be read, {entry['reason']}") for entry in document["unreadable"]]
    lines += [Text(warning) for warning in document["warnings"]]
    return Group(*([table] if groups else []), *lines, Text(closing_line(document)))


def _last(group: Mapping[str, Any]) -> str:
    return Path(group["frames"][-1]["path"]).name


def _picture(path: str | None, folder: Path | None) -> str:
    if path is None:
        return "-"
    return os.path.relpath(path, folder) if folder else path


def _time(text: str | None) -> str:
    return (text or "").replace("T", " ")[:19]


def _exposure(group: Mapping[str, Any]) -> str:
    return exposure_text(group["exposure_seconds"])


def closing_line(document: Mapping[str, Any]) -> str:
    """Return one line with the number of groups of each kind."""
    counts = document["counts"]
    parts = [f"{counts['burst']} bursts", f"{counts['single']} single frames"]
    parts += [f"{counts['bracket']} brackets"] if counts["bracket"] else []
    parts += [f"{counts['short']} with too few frames"] if counts["short"] else []
    parts += [f"{len(document['unreadable'])} unreadable"] if document["unreadable"] else []
    return ", ".join(parts) + f"; {len(document['ignored'])} other files ignored"
