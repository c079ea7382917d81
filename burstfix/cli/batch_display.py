"""The output of `burstfix batch`: a progress bar, a line for each burst, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burstfix import records
from burstfix.cli.progress import BatchProgress
from burstfix.cli.terminal import Terminal
from burstfix.names import printable_document
from burstfix.report.summary import shown_path


class BatchDisplay:
    """One progress bar for the search and all bursts."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._state = BatchProgress()
        self._update: Callable[[], None] = lambda: None

    @contextmanager
    def shown(self) -> Generator[BatchDisplay, None, None]:
        """Show the bar while the body runs, if stderr is a terminal."""
        with self._terminal.bar(self._state) as self._update:
            yield self

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Update the bar after an event."""
        if kind == "plan":
            self._state.plan(sum(1 for group in data["groups"] if group.get("output")))
        elif kind in ("done", "failed", "skipped"):
            self._state.finish(data["name"], skipped=kind == "skipped")
        self._update()

    def progress(self, burst: str, stage: str, done: int, total: int) -> None:
        """Update the bar with the progress of a burst, or of the search if `burst` is ""."""
        self._state.report(burst, stage, done, total)
        self._update()

    def line(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        self._terminal.log_line(text)


def batch_record(
    kind: str, data: Mapping[str, Any], output: Path
) -> tuple[type[records.Document], dict[str, Any]]:
    """Convert an event to the document that --json prints.

    Args:
        kind: The event's kind.
        data: The event's data; paths of pictures are relative to the output folder.
        output: The output folder.

    Returns:
        The type and the fields of the document.
    """
    fields = {"event": kind, **data}
    for file in ("output", "report"):
        if fields.get(file):
            fields[file] = str((output / fields[file]).absolute())
    if kind == "plan":
        fields = {"event": kind, "counts": data["counts"]}
    elif kind == "started":
        fields["frame_count"] = fields.pop("frames")
    elif kind == "done":
        fields["reference"] = {"path": str(Path(fields.pop("folder")) / fields["reference"])}
        fields["frames_used"], fields["noise_source"] = fields.pop("used"), fields.pop("noise")
    return getattr(records, f"Batch{kind.title()}"), fields


def event_line(kind: str, data: Mapping[str, Any]) -> str:
    """Return the line that describes a finished burst; "" for other events."""
    if kind == "done":
        return (
            f"{data['output']}: {data['used']} frames, reference {data['reference']}, model {data['model']}, "
            f"{data['megapixels']:.1f} MP in {data['seconds']:.1f} s"
        )
    return ""


def tally_text(report: Mapping[str, Any]) -> str:
    """Return the final summary: a line for each failed burst and unreadable raw, then the counts.

    Args:
        report: `BatchReport.document()`.
    """
    report = printable_document(report)
    lines = [f"{name}: failed: {reason}" for name, reason in report["failed"].items()]
    lines += [f"{path}: cannot be read: {reason}" for path, reason in report["unreadable"].items()]
    lines += [f"the summary was not written: {report['no_summary']}"] if report["no_summary"] else []
    numbers = [f"{len(report['done'])} merged", f"{len(report['skipped'])} merged earlier"]
    numbers.append(f"{len(report['failed'])} failed")
    if report["unreadable"]:
        allowed = "" if report["skip_bad"] else " (--skip-bad merges without them)"
        numbers.append(f"{len(report['unreadable'])} raws unreadable{allowed}")
    again = "; --retry-failed retries them" if report["failed"] else ""
    lines.append(f"{report['output']}: {', '.join(numbers)} in {report['seconds']:.1f} s{again}")
    return "\n".join(lines)


def preview_text(report: Mapping[str, Any]) -> str:
    """Return the final text of a preview: a line for each failure, then the counts.

    Args:
        report: `PreviewReport.document()`, with control characters escaped.
    """
    lines = [f"{name}: failed: {reason}" for name, reason in report["failed"].items()]
    lines += [f"{path}: cannot be read: {reason}" for path, reason in report["unreadable"].items()]
    lines.append(f"{shown_path(report['output'])}: {len(report['bursts'])} bursts")
    return "\n".join(lines)
