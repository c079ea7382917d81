"""State of the progress bar. Each stage has a weight: its usual share of the total time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

STAGES = {
    "start": "Starting",
    "scan": "Searching for raws",
    "decode": "Decoding",
    "prepare": "Analysing",
    "align": "Aligning",
    "merge": "Merging",
    "write": "Writing",
    "report": "Writing the report",
    "evaluate": "Evaluating",
    "train": "Training",
}
"""Displayed name of each stage that the library reports, in order."""

# Share of each stage in the total time, measured with 5 frames of 12 megapixels, `kpn` and 2 CPU cores.
_START = 0.05
READING = {"start": _START, "decode": 0.4, "prepare": 0.55}
MERGING = {"start": _START, "decode": 0.08, "prepare": 0.12, "align": 0.15, "merge": 0.52, "write": 0.08}
REPORTING = {"report": 0.12}

MIN_FRACTION = 0.05
"""The remaining time is estimated only after this fraction of the work."""


class BarState(Protocol):
    """State that a progress bar shows."""

    @property
    def fraction(self) -> float:
        """Completed fraction of the work, 0 to 1."""
        ...

    @property
    def description(self) -> str:
        """Short text before the bar."""
        ...

    @property
    def time_text(self) -> str:
        """Text after the bar."""
        ...

    @property
    def subject(self) -> str:
        """Name of the current item, shown at the end of the line; "" if there is none."""
        ...


@dataclass(slots=True)
class OverallProgress:
    """Combines the stages of one command into one fraction.

    Attributes:
        weights: Share of each stage in the total time, in order. For a stage that is not listed, the fraction
            is that of the stage alone.
        clock: Function that returns the time in seconds; tests replace it.
        fraction: Completed fraction of the work, 0 to 1.
        stage: Current stage.
        subject: Name of the current item; "" if there is none.
    """

    weights: Mapping[str, float]
    clock: Callable[[], float] = time.monotonic
    fraction: float = 0.0
    stage: str = "start"
    subject: str = ""
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._started = self.clock()

    def report(self, stage: str, done: int, total: int) -> None:
        """Update the fraction from a report of the library; within listed stages it never decreases."""
        self.stage = stage
        part = min(1.0, done / total) if total else 1.0
        if stage not in self.weights:
            self.fraction = part
            return
        names = list(self.weights)
        before = sum(self.weights[name] for name in names[: names.index(stage)])
        fraction = (before + part * self.weights[stage]) / sum(self.weights.values())
        self.fraction = max(self.fraction, fraction)

    @property
    def description(self) -> str:
        """Displayed name of the current stage."""
        return STAGES.get(self.stage, self.stage)

    @property
    def time_text(self) -> str:
        """Time left if it can be estimated yet, otherwise the elapsed time."""
        passed = self.clock() - self._started
        return _time_text(passed, self.fraction)


_SCAN = 0.05  # share of the search in the bar; the rest is for merging


class BatchProgress:
    """Combines the search and all bursts of a batch into one fraction.

    Bursts that earlier runs merged do not count, because they take no time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._scanned = 0.0
        self._total: int | None = None  # None until the plan is known
        self._finished = 0
        self._running: dict[str, OverallProgress] = {}
        self._burst = ""

    def plan(self, total: int) -> None:
        """Begin with the bursts of a plan."""
        self._total, self._finished = total, 0
        self._running.clear()
        self._started = self._clock()

    def report(self, burst: str, stage: str, done: int, total: int) -> None:
        """Update the progress of a burst, or of the search if `burst` is ""."""
        if not burst:
            self._scanned = min(1.0, done / total) if total else 1.0
            return
        self._burst = burst
        self._running.setdefault(burst, OverallProgress(MERGING)).report(stage, done, total)

    def finish(self, burst: str, *, skipped: bool = False) -> None:
        """Count a burst as finished, or remove a skipped burst from the total."""
        self._running.pop(burst, None)
        if skipped:
            self._total = max(0, (self._total or 0) - 1)
        else:
            self._finished += 1

    @property
    def _merged(self) -> float:
        """Completed fraction of the bursts."""
        if not self._total:
            return 0.0 if self._total is None else 1.0
        done = self._finished + sum(one.fraction for one in self._running.values())
        return min(1.0, done / self._total)

    @property
    def fraction(self) -> float:
        """Completed fraction of the work, 0 to 1."""
        if self._total is None:
            return _SCAN * self._scanned
        return _SCAN + (1 - _SCAN) * self._merged

    @property
    def description(self) -> str:
        """Stage and number of the current burst."""
        if self._total is None:
            return STAGES["scan" if self._scanned else "start"]
        running = self._running.get(self._burst)
        if self._finished >= self._total:
            stage = STAGES["write"]
        else:
            stage = STAGES["decode"] if running is None else running.description
        return f"{stage} {min(self._finished + 1, self._total)} of {self._total}"

    @property
    def subject(self) -> str:
        """Name of the current burst."""
        return self._burst

    @property
    def time_text(self) -> str:
        """Time left if it can be estimated yet, otherwise the elapsed time."""
        fraction = 0.0 if self._total is None else self._merged
        return _time_text(self._clock() - self._started, fraction)


def _time_text(passed: float, fraction: float) -> str:
    if fraction < MIN_FRACTION:
        return f"{_minutes(passed)} elapsed"
    return f"{_minutes(passed * (1 - fraction) / fraction)} left"


def _minutes(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
