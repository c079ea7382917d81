"""Learning rate and end of a run, according to steps or to time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from burstfix.training.recipe import TrainSettings


class Clock:
    """Clock for the time spent on training, in seconds.

    On a CPU, this is the processor time of the training thread, which excludes pauses and the time of other
    programs on the same core. The thread takes part in all computation. Therefore, on an idle machine,
    processor time equals wall time for any number of threads. On other devices, it is wall time.

    Args:
        device: Device of the training.
        earlier: Seconds of earlier runs, which are included.
    """

    def __init__(self, device: torch.device, earlier: float = 0.0) -> None:
        self._now = time.thread_time if device.type == "cpu" else time.monotonic
        self._start = self._now() - earlier

    def seconds(self) -> float:
        """Return the seconds spent so far, including earlier runs."""
        return self._now() - self._start


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear warm-up, then a cosine from the peak learning rate to `final_rate` times the peak.

    Attributes:
        settings: Settings with learning rates, `warmup` and, for a run without time limit, `steps`.
        minutes: Length of the run on its `Clock`; None for a run of `settings.steps`.
    """

    settings: TrainSettings
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return the completed share of the run, 0 to 1. The run ends at 1.

        Args:
            step: Completed steps.
            seconds: Time of the clock.
        """
        done = step / self.settings.steps if self.minutes is None else seconds / (60 * self.minutes)
        return min(done, 1.0)

    def learning_rate(self, step: int, progress: float) -> float:
        """Return the learning rate of a step (counted from 0) at a given progress."""
        s = self.settings
        if step < s.warmup:
            return s.learning_rate * (step + 1) / s.warmup
        # With a fixed number of steps, the cosine begins at the end of the warm-up.
        start = min(s.warmup / s.steps, 1.0) if self.minutes is None else 0.0
        done = (progress - start) / (1 - start) if start < 1 else 0.0
        return s.learning_rate * (
            s.final_rate + (1 - s.final_rate) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        )
