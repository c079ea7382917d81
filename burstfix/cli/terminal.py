"""Output of a command: results on stdout; progress, log and errors on stderr; JSON on request.

Text from files (names, EXIF) is escaped before it reaches a terminal; JSON is plain ASCII.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from burstfix import records
from burstfix.cli.progress import BarState, OverallProgress
from burstfix.cli.streams import discard_stdout
from burstfix.names import printable, printable_document

if TYPE_CHECKING:
    from rich.console import Console

    from burstfix.types import Progress

View = Callable[[Mapping[str, Any]], Any]
"""Function that formats a document for display: as a string, or as a renderable of rich."""

# Width of the output if stdout is a file or a pipe. All tables fit into it.
PIPE_WIDTH = 200

# File names may contain text that rich would interpret as markup: [night], :cat:.
_AS_IT_IS: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}


@dataclass(slots=True)
class Terminal:
    """Output of a command: its amount and format. There is one instance for each run of a command.

    Attributes:
        json: Print JSON on stdout instead of text.
        quiet: Omit progress, warnings and the closing line.
        verbosity: Level of the log: 0 = warnings; 1 (-v) = also decisions; 2 (-vv) = everything, with
            tracebacks.
    """

    json: bool = False
    quiet: bool = False
    verbosity: int = 0
    _console: Console | None = field(default=None, repr=False)

    def result(
        self, kind: type[records.Document], data: Mapping[str, Any], view: View, *, closing: bool = False
    ) -> None:
        """Print the result of the command: as JSON with --json, otherwise as text.

        Args:
            kind: Type of the document.
            data: Fields of the document as JSON values.
            view: Function that formats the text. It receives the data with control characters escaped.
            closing: True if the text only summarises finished work, so that -q omits it.

        Raises:
            OSError: stdout cannot be written.
        """
        if self.json:
            self.json_line(kind, data, indent=2)
            return
        if closing and self.quiet:
            return
        text = view(printable_document(data))
        if isinstance(text, str):
            _write(text + "\n")
            return
        from rich.console import Console

        # Render into memory, so that an error of stdout is raised by `_write` and not inside rich.
        printed = io.StringIO()
        console = Console(file=printed, force_terminal=sys.stdout.isatty(), **_AS_IT_IS)
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(text)
        # Remove the spaces with which rich pads every line of a table.
        _write("".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines()))

    def json_line(
        self, kind: type[records.Document], data: Mapping[str, Any], *, indent: int | None = None
    ) -> None:
        """Print a document as JSON in ASCII, because some pipes (on Windows) do not use UTF-8."""
        document = records.complete(kind, data)
        _write(json.dumps(document, indent=indent, allow_nan=False) + "\n")

    def error(self, message: str, exit_code: int) -> None:
        """Print the cause of a failure: one line on stderr and, with --json, a document on stdout."""
        with contextlib.suppress(OSError):
            sys.stderr.write(f"burstfix: {printable(message)}\n")
        if self.json:
            try:
                self.json_line(records.Error, {"error": message, "exit_code": exit_code})
            except OSError:  # stdout cannot be written; the exit code still reports the failure
                discard_stdout()

    @contextlib.contextmanager
    def bar(self, state: BarState) -> Generator[Callable[[], None], None, None]:
        """Show a progress bar while the body runs.

        There is none with -q, or if stderr is not a suitable terminal.

        Args:
            state: State shown by the bar. The displayed time also advances between updates.

        Yields:
            A function that shows the current state.
        """
        if self.quiet or not sys.stderr.isatty() or self._stderr().is_dumb_terminal:
            yield lambda: None
            return
        from rich import progress as bars
        from rich.table import Column

        rest_of_line = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        with bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description:<16}"),
            bars.BarColumn(bar_width=24),
            bars.TaskProgressColumn(),
            _time_column(state),
            # Names may contain markup of rich, and may be longer than the line.
            bars.TextColumn("{task.fields[subject]}", markup=False, table_column=rest_of_line),
            console=self._stderr(),
            expand=True,
            transient=True,
        ) as display:
            task = display.add_task(state.description, total=1.0, subject="")
            shown = ("", "")

            def update() -> None:
                nonlocal shown
                text = state.description, printable(state.subject)
                done = state.fraction
                display.update(
                    task, description=text[0], subject=text[1], completed=done, refresh=text != shown
                )
                shown = text

            yield update

    @contextlib.contextmanager
    def progress(self, weights: Mapping[str, float] | None = None) -> Generator[Progress, None, None]:
        """Yield a progress callback for the library; it shows a bar if stderr is a terminal.

        Args:
            weights: Share of each stage in the total time; see `OverallProgress`.
        """
        overall = OverallProgress(weights or {})
        with self.bar(overall) as update:

            def report(stage: str, done: int, total: int) -> None:
                overall.report(stage, done, total)
                update()

            yield report

    @contextlib.contextmanager
    def logging(self) -> Generator[None, None, None]:
        """Send the log of burstfix to stderr; with -vv, also the log of other libraries."""
        handler = _LogLines(self)
        ours, root = logging.getLogger("burstfix"), logging.getLogger()
        level = ours.level
        ours.setLevel(logging.DEBUG)
        logging.captureWarnings(True)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            logging.captureWarnings(False)
            ours.setLevel(level)

    def wants(self, record: logging.LogRecord) -> bool:
        """Return True if a log record is shown at this verbosity."""
        if self.verbosity >= 2:
            return True
        if self.quiet or record.name.split(".")[0] != "burstfix":
            return False
        return record.levelno >= (logging.INFO if self.verbosity else logging.WARNING)

    def log_line(self, line: str) -> None:
        """Write a line to stderr, above the progress bar if there is one."""
        line = printable(line)
        if sys.stderr.isatty():
            from rich.text import Text

            self._stderr().print(Text(line), soft_wrap=True)
        else:
            with contextlib.suppress(OSError):  # a full or closed stderr must not stop the command
                sys.stderr.write(line + "\n")

    def _stderr(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, **_AS_IT_IS)
        return self._console


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()  # if the disk is full, this raises an error that can still be reported


def _time_column(state: BarState) -> Any:
    """Return a column that shows the time of a state. rich is imported here, for a fast start of commands."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class TimeColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(state.time_text, style="progress.remaining")

    return TimeColumn()


class _LogLines(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        if not self._terminal.wants(record):
            return
        kind = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        where = f"[{record.name}] " if self._terminal.verbosity >= 2 else ""
        try:
            self._terminal.log_line(f"burstfix: {where}{kind}{record.getMessage()}")
        except Exception:  # a failing handler must not stop the command
            self.handleError(record)
