"""The command group. Only this file turns errors into a line on stderr and an exit code.

A command is a click command called `command` in `burstfix/cli/<name>.py`, with a line in `COMMANDS`. Its
file is imported only when it runs, and heavy imports (torch, rich) belong inside its function. This keeps
`burstfix --help` under half a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, shell_complete

from burstfix._version import __version__
from burstfix.cli.epilog import group_epilog
from burstfix.cli.libraries import check_memory_suffices, exit_fast
from burstfix.cli.streams import (
    BROKEN_PIPE,
    INTERRUPTED,
    Terminated,
    discard_stdout,
    open_missing_streams,
    signals_as_exceptions,
)
from burstfix.cli.terminal import Terminal
from burstfix.errors import BurstfixError, OutOfMemoryError, OutputError, is_out_of_memory

COMMANDS = {
    "merge": "Merge a burst of raws into one clean picture.",
    "inspect": "Analyse a burst frame by frame, without merging it.",
    "report": "Write reports for pictures that burstfix merged earlier.",
    "batch": "Merge every burst in folders, unattended.",
    "group": "List the bursts in folders.",
    "config": "Show the settings in force and their sources.",
    "noise-profile": "Measure the noise of a camera whose files lack a noise profile.",
    "train": "Train a network on bursts simulated from photographs.",
    "simulate": "Simulate a raw burst with ground truth from a photograph or a clip.",
    "evaluate": "Measure the quality of models on bursts with or without ground truth.",
    "compare": "Measure how similar two pictures are.",
    "looks": "List the built-in looks, with the values that a look file may set.",
    "doctor": "Check this installation: versions, devices, weights, settings.",
    "weights": "List the models; import or average weights.",
}

_WITHOUT_TORCH = ("config", "looks", "weights")

COMPLETE_VARIABLE = "_BURSTFIX_COMPLETE"
"""Set by the completion scripts of bash, zsh and fish; see docs/cli.md."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # parameters of mallopt(3)


class LazyGroup(click.Group):
    """A group that imports a command's file only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `burstfix.cli.<name>` and return its command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"burstfix.cli.{cmd_name.replace('-', '_')}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest similar names for an unknown one.

        Raises:
            click.UsageError: There is no such command.
        """
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing them."""
        found = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=group_epilog("burstfix merge shots/*.dng -o night.tif", "burstfix inspect shots/*.dng"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", prog_name="burstfix")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Turn a burst of raw photographs into one clean picture.

    `burstfix COMMAND --help` explains a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    elif ctx.invoked_subcommand not in _WITHOUT_TORCH:
        check_memory_suffices()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: Arguments without the program's name; `sys.argv[1:]` by default.

    Returns:
        The exit code. No exception leaves this function.
    """
    # Threads that spin while they wait slow down a busy machine (a merge took 267 s instead of 32 s beside
    # another program), but threads that sleep at once make a merge 15% slower on an idle machine. GNU OpenMP
    # can spin for a short time; other libraries only know the policy. They are read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # One thread is enough for OpenBLAS, because numpy multiplies only small matrices. Each thread reserves 40
    # MB.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    open_missing_streams()
    keep_freed_memory()
    exit_fast()
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        return shell_complete(group, {}, "burstfix", COMPLETE_VARIABLE, instruction)
    arguments = list(sys.argv[1:] if argv is None else argv)
    # --json is searched for before parsing, so that errors in the arguments are also reported as JSON.
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    terminal = Terminal(json="--json" in options)
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        # Otherwise the command would fail at its end on a file name that the encoding of the pipe cannot
        # represent.
        stdout.reconfigure(errors="backslashreplace")
    with terminal.logging(), signals_as_exceptions():
        try:
            with group.make_context("burstfix", arguments, obj=terminal) as ctx:
                code = group.invoke(ctx)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except Terminated as stop:
            return _fail(terminal, "terminated", int(stop.code or 0))
        except (KeyboardInterrupt, click.Abort):
            return _fail(terminal, "interrupted", INTERRUPTED)
        except BrokenPipeError:
            discard_stdout()
            return BROKEN_PIPE
        except Exception as error:  # all other exceptions are reported too, never as a bare traceback
            if terminal.verbosity >= 2:
                traceback.print_exc()
            return _report(terminal, error)


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks; allocating them again took a quarter of a network's run time."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _report(terminal: Terminal, error: Exception) -> int:
    """Print the error and return the exit code."""
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "burstfix"
        return _fail(terminal, f"{error.format_message()} (see {where} --help)", error.exit_code)
    if isinstance(error, click.ClickException):
        return _fail(terminal, error.format_message(), error.exit_code)
    if isinstance(error, BurstfixError):
        return _fail(terminal, str(error), error.exit_code)
    if is_out_of_memory(error):
        return _fail(
            terminal,
            "out of memory; close other programs, or use fewer frames or a smaller --tile",
            OutOfMemoryError.exit_code,
        )
    if isinstance(error, OSError):
        discard_stdout()  # stdout may have caused the error, for example because its disk is full
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        reason = f"{where}cannot be read or written ({error.strerror or error})"
        return _fail(terminal, reason, OutputError.exit_code)
    hint = "" if terminal.verbosity >= 2 else " (run again with -vv for details)"
    return _fail(terminal, f"unexpected error: {type(error).__name__}: {error}{hint}", 1)


def _fail(terminal: Terminal, message: str, code: int) -> int:
    line = " ".join(message.split())  # messages of libraries may have several lines
    with contextlib.suppress(OSError):  # stderr is closed or full
        terminal.error(line, code)
    return code
