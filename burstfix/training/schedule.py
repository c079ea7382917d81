"""Learning rate and end of a run, by steps or by the clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from burstfix.training.recipe import TrainSettings


class Clock:
    """Clock for the time spent on training, in seconds.

    On a CPU it is the processor time of the training thread: pauses, or other programs on the same core, do
    not count. The thread takes part in all computation, so on an idle machine processor time and wall time
    agree, whatever the number of threads. On other devices it is wall time.

    Args:
        device: Device that trains.
        earlier: Seconds of earlier runs, which are added.
    """

    def __init__(self, device: torch.device, earlier: float = 0.0) -> None:
        self._now = time.thread_time if device.type == "cpu" else time.monotonic
        self._start = self._now() - earlier

    def seconds(self) -> float:
        """Seconds spent so far, earlier runs included."""
        return self._now() - self._start


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear warm-up, then a cosine from the peak learning rate to `final_rate` times the peak.

    Attributes:
        settings: Rates, `warmup`, and `steps` for a run without time limit.
        minutes: Length of the run on its `Clock`; None for a run of `settings.steps`.
    """

    settings: TrainSettings
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return the completed share of the run, 0 to 1; the run ends at 1.

        Args:
            step: Completed steps.
            seconds: Time on the clock.
        """
        done = step / self.settings.steps if self.minutes is None else seconds / (60 * self.minutes)
        return min(done, 1.0)

    def learning_rate(self, step: int, progress: float) -> float:
        """Return the learning rate of step number `step` (from 0) at `progress`."""
        s = self.settings
        if step < s.warmup:
            return s.learning_rate * (step + 1) / s.warmup
        # A run of a fixed number of steps begins the cosine at the end of the warm-up.
        start = min(s.warmup / s.steps, 1.0) if self.minutes is None else 0.0
        done = (progress - start) / (1 - start) if start < 1 else 0.0
        return s.learning_rate * (
            s.final_rate + (1 - s.final_rate) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        )
