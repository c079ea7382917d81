"""Events of a running batch, and its final report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from burstfix.errors import BatchError, OutputError

EventKind = Literal["plan", "started", "done", "skipped", "failed", "tally"]


@dataclass(frozen=True, slots=True)
class Event:
    """Event of a batch.

    Attributes:
        kind: First "plan"; then for each burst "skipped" (an earlier run merged it or failed to merge it), or
            "started" followed by "done" or "failed"; finally "tally".
        data: Details as JSON values.
    """

    kind: EventKind
    data: dict[str, Any]


OnEvent = Callable[[Event], None]
OnProgress = Callable[[str, str, int, int], None]


@dataclass(slots=True)
class BatchReport:
    """The result of a batch.

    If several bursts have the same name, the first is listed by its name, the others by their keys (path and
    time of the first frame).

    Attributes:
        output: The output folder.
        done: Names of bursts merged by this run.
        skipped: Names of bursts merged by earlier runs.
        failed: Name and reason of each burst that could not be merged by this run or an earlier run.
        unreadable: Path and reason of each raw that cannot be read and is missing from its burst.
        skip_bad: True if bursts may be merged without their unreadable raws.
        no_summary: Reason why the summary could not be written; "" if it was written.
        warnings: Messages for the user.
        seconds: Duration of the run.
    """

    output: Path
    done: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    skip_bad: bool = False
    no_summary: str = ""
    warnings: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Exit code.

        8 if a burst failed, or if a raw is unreadable and `skip_bad` is False; 5 if the summary could not be
        written; otherwise 0.
        """
        if self.failed or (self.unreadable and not self.skip_bad):
            return BatchError.exit_code
        return OutputError.exit_code if self.no_summary else 0

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return dataclasses.asdict(self) | {"output": str(self.output), "exit_code": self.exit_code}


class CallbackError(BaseException):
    """Exception raised by a callback.

    It is a BaseException, so that it does not count as a failure of a burst.
    """

    def __init__(self, error: Exception) -> None:
        """Wrap the exception; `run_batch` raises it at the end."""
        self.error = error


def call(callback: Callable[..., None], *values: object) -> None:
    """Call a callback.

    Raises:
        CallbackError: The function raised an exception.
    """
    try:
        callback(*values)
    except Exception as error:
        raise CallbackError(error) from error
