"""What a command says: results on stdout; progress, log and errors on stderr; JSON on request.

Text from files (names, EXIF) is escaped before it reaches a terminal; JSON is plain ASCII.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from burstfix import records
from burstfix.cli.progress import OverallProgress
from burstfix.cli.streams import discard_stdout
from burstfix.names import printable, printable_document

if TYPE_CHECKING:
    from rich.console import Console

    from burstfix.types import Progress

View = Callable[[Mapping[str, Any]], Any]
"""Turns a document into what people see: a string, or a renderable of rich."""

# Wide enough for every table where stdout is a file or a pipe, which have no width of their own.
PIPE_WIDTH = 200

# Names of files may contain rich's own markup: [night], :cat:.
_AS_IT_IS: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}


@dataclass(slots=True)
class Terminal:
    """How much to say and in which form; one for each run of the command.

    Attributes:
        json: Print JSON on stdout instead of text.
        quiet: No progress, no warnings, no closing line.
        verbosity: 0 warnings, 1 (-v) what is decided, 2 (-vv) everything and tracebacks.
    """

    json: bool = False
    quiet: bool = False
    verbosity: int = 0
    _console: Console | None = field(default=None, repr=False)

    def result(
        self, kind: type[records.Document], data: Mapping[str, Any], view: View, *, closing: bool = False
    ) -> None:
        """Prints what the command found: a document with --json, else the view of it.

        Args:
            kind: The document's type.
            data: Its fields as JSON values.
            view: Makes the text from the data, in which control characters are escaped.
            closing: The text only sums up work that was done, so -q leaves it out.

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

        # Into memory: rich must not meet a stdout that cannot be written.
        printed = io.StringIO()
        console = Console(file=printed, force_terminal=sys.stdout.isatty(), **_AS_IT_IS)
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(text)
        # Rich pads every line of a table to its full width.
        _write("".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines()))

    def json_line(
        self, kind: type[records.Document], data: Mapping[str, Any], *, indent: int | None = None
    ) -> None:
        """Prints a document as JSON, in ASCII, which every pipe takes (those of Windows are not in UTF-8)."""
        document = records.complete(kind, data)
        _write(json.dumps(document, indent=indent, allow_nan=False) + "\n")

    def error(self, message: str, exit_code: int) -> None:
        """Says why the command failed: one line on stderr, and the document with --json."""
        with contextlib.suppress(OSError):
            sys.stderr.write(f"burstfix: {printable(message)}\n")
        if self.json:
            try:
                self.json_line(records.Error, {"error": message, "exit_code": exit_code})
            except OSError:  # nobody can be told on stdout; the exit code remains
                discard_stdout()

    def bars_console(self) -> Console | None:
        """Returns the console for progress bars, or None where nobody would see them."""
        if self.quiet or not sys.stderr.isatty() or self._stderr().is_dumb_terminal:
            return None
        return self._stderr()

    @contextlib.contextmanager
    def progress(self, weights: Mapping[str, float] | None = None) -> Iterator[Progress]:
        """Yields the callback that the library calls; a bar shows only on a terminal.

        Args:
            weights: Share of the time for each stage (see `OverallProgress`).
        """
        console = self.bars_console()
        if console is None:
            yield lambda stage, done, total: None
            return
        from rich import progress as bars

        overall = OverallProgress(weights or {})
        with bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description:<16}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            _time_column(overall),
            console=console,
            transient=True,
        ) as display:
            task = display.add_task(overall.description, total=1.0)

            def report(stage: str, done: int, total: int) -> None:
                entered = stage != overall.stage
                overall.report(stage, done, total)
                text = overall.description
                display.update(task, description=text, completed=overall.fraction, refresh=entered)

            yield report

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Sends the log to stderr: burstfix's own, and other libraries' too with -vv."""
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
        """Returns True for a log record that is shown at this verbosity."""
        if self.verbosity >= 2:
            return True
        if self.quiet or record.name.split(".")[0] != "burstfix":
            return False
        return record.levelno >= (logging.INFO if self.verbosity else logging.WARNING)

    def log_line(self, line: str) -> None:
        """Writes a line to stderr, above the progress bar if there is one."""
        line = printable(line)
        if sys.stderr.isatty():
            from rich.text import Text

            self._stderr().print(Text(line), soft_wrap=True)
        else:
            with contextlib.suppress(OSError):  # a full or closed stderr must not end the work
                sys.stderr.write(line + "\n")

    def _stderr(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, **_AS_IT_IS)
        return self._console


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()  # a full disk is noticed now, while there is somebody to tell


def _time_column(overall: OverallProgress) -> Any:
    """Returns a column with the time left; a function, so that rich is imported only for a bar."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class TimeColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(overall.time_text, style="progress.remaining")

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
        except Exception:  # a failing log must not end the work, as in every logging handler
            self.handleError(record)
