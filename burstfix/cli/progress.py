"""One progress bar for a whole command: its stages weighted by the time they usually take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

STAGES = {
    "start": "Starting",
    "scan": "Looking for raws",
    "decode": "Decoding",
    "prepare": "Analysing",
    "align": "Aligning",
    "merge": "Merging",
    "write": "Writing",
    "report": "Writing the report",
    "evaluate": "Evaluating",
    "train": "Training",
}
"""What people read for the stages that the library reports, in the order of the work."""

# Shares of the time of a 12 megapixel burst of 5 frames with `kpn` on 2 CPU cores, start included.
_START = 0.05
READING = {"start": _START, "decode": 0.4, "prepare": 0.55}
MERGING = {"start": _START, "decode": 0.08, "prepare": 0.12, "align": 0.15, "merge": 0.52, "write": 0.08}
REPORTING = {"report": 0.12}

MIN_FRACTION = 0.05
"""Below this share of the work the time left is not estimated."""


@dataclass(slots=True)
class OverallProgress:
    """Combines the stages of one command into one fraction.

    Attributes:
        weights: Share of the time for each stage, in order; a stage that is not listed counts alone.
        clock: Seconds, for tests.
    """

    weights: Mapping[str, float]
    clock: Callable[[], float] = time.monotonic
    fraction: float = 0.0
    stage: str = "start"
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        """Starts the clock."""
        self._started = self.clock()

    def report(self, stage: str, done: int, total: int) -> None:
        """Takes what the library reports; the fraction never goes back."""
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
        """The stage for people."""
        return STAGES.get(self.stage, self.stage)

    @property
    def time_text(self) -> str:
        """Time left once it can be estimated, until then the time passed."""
        passed = self.clock() - self._started
        if self.fraction < MIN_FRACTION:
            return f"{_minutes(passed)} so far"
        return f"{_minutes(passed * (1 - self.fraction) / self.fraction)} left"


def _minutes(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
