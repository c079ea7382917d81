"""One progress bar for a whole command. Each stage is weighted by the share of the time it usually takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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

# Share of the total time for each stage: 5 frames of 12 megapixels, `kpn`, 2 CPU cores.
_START = 0.05
READING = {"start": _START, "decode": 0.4, "prepare": 0.55}
MERGING = {"start": _START, "decode": 0.08, "prepare": 0.12, "align": 0.15, "merge": 0.52, "write": 0.08}
REPORTING = {"report": 0.12}

MIN_FRACTION = 0.05
"""The time left is estimated only after this fraction of the work."""


@dataclass(slots=True)
class OverallProgress:
    """Combines the stages of one command into one fraction.

    Attributes:
        weights: Share of the time for each stage, in order. While a stage that is not listed runs, the
            fraction is that of this stage alone.
        clock: Function that returns the time in seconds; tests replace it.
        fraction: Completed fraction of the work, 0 to 1.
        stage: Stage that runs now.
    """

    weights: Mapping[str, float]
    clock: Callable[[], float] = time.monotonic
    fraction: float = 0.0
    stage: str = "start"
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
        if self.fraction < MIN_FRACTION:
            return f"{_minutes(passed)} elapsed"
        return f"{_minutes(passed * (1 - self.fraction) / self.fraction)} left"


def _minutes(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
