"""The plan of a batch as a table."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from burstfix.report.plan import plan_table


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.45, "0.45 s"), (0.4, "0.4 s"), (0.05, "1/20 s"), (None, "-")]
)
def test_plan_table_when_exposures_vary_then_shows_them_as_inspect_does(
    seconds: float | None, shown: str
) -> None:
    frames = [{"path": "/c/a.dng"}, {"path": "/c/b.dng"}]
    group: dict[str, Any] = {"name": "a.dng", "frames": frames, "kind": "burst", "camera": "Acme"}
    group |= {"time": None, "exposure_seconds": seconds, "iso": None}
    counts = {"burst": 1, "single": 0, "bracket": 0, "short": 0}
    document = {"groups": [group], "unreadable": [], "warnings": [], "ignored": [], "counts": counts}
    console = Console(width=120)
    with console.capture() as printed:
        console.print(plan_table(document))
    assert printed.get().splitlines()[1].split("Acme")[1].strip() == shown
