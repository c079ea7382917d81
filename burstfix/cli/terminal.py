"""What a command says: results on stdout; progress, log and errors on stderr; JSON on request."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from burstfix.names import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from burstfix.types import Progress

# The stages that the library reports, in the order of the work.
STAGES = {
    "scan": "Looking",
    "decode": "Decoding",
    "prepare": "Preparing",
    "align": "Aligning",
    "merge": "Merging",
    "write": "Writing",
}

# Wide enough for every table where stdout is a file or a pipe, which have no width of their own.
PIPE_WIDTH = 200

# Names of files may hold what rich takes for its own language: [night], :cat:.
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

    def result(self, document: Mapping[str, Any], text: RenderableType, *, closing: bool = False) -> None:
        """Prints what the command found: the document with --json, else the text.

        Args:
            document: What JSON can hold.
            text: A string or a rich renderable.
            closing: The text only sums up work that was done, so that -q leaves it out.
        """
        if self.json:
            # As ASCII, which every pipe takes (those of Windows are not in UTF-8).
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
        elif isinstance(text, str):
            if not (closing and self.quiet):
                sys.stdout.write(text + "\n")
        else:
            from rich.console import Console

            console = Console(file=sys.stdout, **_AS_IT_IS)
            if not console.is_terminal:
                console.width = PIPE_WIDTH
            with console.capture() as printed:
                console.print(text)
            # Rich pads every line of a table to its full width.
            sys.stdout.writelines(line.rstrip() + "\n" for line in printed.get().splitlines())

    def error(self, message: str, exit_code: int) -> None:
        """Says why the command failed: one line on stderr, and the document with --json."""
        sys.stderr.write(f"burstfix: {printable(message)}\n")
        if self.json:
            sys.stdout.write(json.dumps({"error": message, "exit_code": exit_code}) + "\n")
            sys.stdout.flush()

    def bars_console(self) -> Console | None:
        """Where bars may be shown, None where nobody would see them."""
        if self.quiet or not sys.stderr.isatty() or self._stderr().is_dumb_terminal:
            return None
        return self._stderr()

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """Yields the callback that the library calls; bars show only on a terminal."""
        console = self.bars_console()
        if console is None:
            yield lambda stage, done, total: None
            return
        from rich import progress as bars

        with bars.Progress(
            bars.TextColumn("{task.description:<9}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as display:
            tasks: dict[str, bars.TaskID] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = display.add_task(STAGES.get(stage, stage), total=total)
                display.update(tasks[stage], completed=done, total=total)

            yield report

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Sends the log to stderr: burstfix's own, and other libraries' too with -vv."""
        handler = _LogLines(self)
        ours, root = logging.getLogger("burstfix"), logging.getLogger()
        levels = ours.level, root.level
        ours.setLevel(logging.DEBUG)
        logging.captureWarnings(True)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            logging.captureWarnings(False)
            ours.setLevel(levels[0])

    def wants(self, record: logging.LogRecord) -> bool:
        """True for a log record that is shown at this verbosity."""
        if self.verbosity >= 2:
            return True
        if self.quiet or record.name.split(".")[0] != "burstfix":
            return False
        return record.levelno >= (logging.INFO if self.verbosity else logging.WARNING)

    def log_line(self, line: str) -> None:
        """Write a line to stderr, above the progress bars if there are any."""
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
        except Exception:  # as every logging handler: a failing log must not end the work
            self.handleError(record)
