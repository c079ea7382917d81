"""`burstfix batch`: folders of bursts into pictures, while nobody watches."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from burstfix.cli import finding, options
from burstfix.cli.batch_display import BatchDisplay, event_line, tally_text
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.errors import InputError
from burstfix.io.write.formats import (
    BIT_DEPTHS,
    DEFAULT_FORMAT,
    DEFAULT_QUALITY,
    FORMAT_NAMES,
    depths_help,
    quality_help,
)
from burstfix.types import NoiseProfile

if TYPE_CHECKING:
    from burstfix.batch.settings import BatchSettings

EXAMPLES = (
    "burstfix batch card/DCIM -o pictures",
    "burstfix batch card/DCIM -o pictures --dry-run",
    "burstfix batch shots/ -o pictures --layout '{date}/{first}-{last}_{model}.jpg' --quality 92",
    "burstfix batch incoming/ -o pictures --watch",
)

# Options that say what to do this time; all others are settings, which files may give as well.
_NOT_SETTINGS = ("folders", "output", "dry_run", "retry_failed", "watch", "cluster", "config")


@click.command("batch", epilog=epilog(*EXAMPLES))
@finding.folders
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="OUT",
              help="Folder for pictures, journal, log and summary; made if missing.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the plan; do and write nothing.")
@click.option("--retry-failed", is_flag=True, help="Try bursts again that failed in an earlier run.")
@click.option("--watch", is_flag=True, help="Keep running, and merge bursts as their files arrive.")
@click.option("--settle", type=float, metavar="SECONDS",
              help="Watching: how long files must have been left alone.  [default: 5]")  # fmt: skip
@click.option("--singles", is_flag=True, help="Merge (denoise) single frames as well.")
@finding.grouping
@click.option("--layout", metavar="PATTERN",
              help="Names of the pictures, of {folder} {first} {last} {count} {camera} {model} {type} {date} "
                   "{time}.  [default: {folder}/{first}-{last}]")  # fmt: skip
@click.option("--format", type=click.Choice(FORMAT_NAMES),
              help="Format of the pictures.  "
                   f"[default: by the layout, else {DEFAULT_FORMAT.name}]")  # fmt: skip
@click.option("--bit-depth", type=click.Choice([str(depth) for depth in BIT_DEPTHS]),
              help=f"Bits per channel.  [default: {depths_help()}]")  # fmt: skip
@click.option("--quality", type=int, metavar="1..100",
              help=f"Quality of {quality_help()}.  [default: {DEFAULT_QUALITY}]")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are not from this batch, too.")
@click.option("--jobs", type=int, metavar="N", help="Bursts that are read ahead.  [default: 1]")
@click.option("--max-memory", metavar="SIZE",
              help="Memory that may be used, such as 8GB.  [default: 3/4 of what is free]")  # fmt: skip
@click.option("--cluster", metavar="ADDRESS|local",
              help="Hand bursts to the workers of this Dask scheduler.")  # fmt: skip
@options.reading
@options.rendering
@options.compute
@options.speech
@options.pass_terminal
@click.pass_context
def command(ctx: click.Context, terminal: Terminal, **values: Any) -> int:
    """Merge every burst in folders, while nobody watches.

    Finds the bursts in FOLDER and the folders in it, and makes one picture of each in OUT. Safe to run again
    and again: what is done stays done, what was interrupted goes on, one bad burst does not stop the rest.
    Exit code 8 if a burst failed or a raw could not be read. Settings may stand in
    FOLDER/burstfix.toml; see `burstfix config show`.
    """
    folders, output = list(values["folders"]), values["output"]
    settings = finding.settings_in_force(folders, values["config"], _typed(ctx, values)).settings
    if settings.noise_profiles is None and (own_table := options.own_noise_profiles()):
        settings = dataclasses.replace(settings, noise_profiles=str(own_table))
    if values["dry_run"]:
        _show_plan(terminal, folders, output, settings)
        return 0

    from burstfix.batch.run import Event, run_batch

    with BatchDisplay(terminal).shown() as display, _stopping(values["watch"]) as stop:

        def on_event(event: Event) -> None:
            if terminal.json:
                data = event.data if event.kind != "plan" else {"counts": event.data["counts"]}
                sys.stdout.write(json.dumps({"event": event.kind} | data) + "\n")
                sys.stdout.flush()
            else:
                display.event(event.kind, event.data)
                if (line := event_line(event.kind, event.data)) and not terminal.quiet:
                    display.line(line)

        report = run_batch(
            folders,
            output,
            settings,
            retry_failed=values["retry_failed"],
            cluster=values["cluster"],
            watch=values["watch"],
            stop=stop,
            on_event=on_event,
            on_progress=display.progress,
        )
    if not terminal.json and not (terminal.quiet and report.exit_code == 0):
        sys.stdout.write(tally_text(report.document()) + "\n")
    return report.exit_code


def _typed(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """The settings that stand on the command line, by their names in burstfix.toml."""
    typed = {}
    for name, value in values.items():
        if name in _NOT_SETTINGS or ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        if isinstance(value, NoiseProfile):
            value = (value.shot_gain[0], value.read_variance[0])
        elif isinstance(value, Path):
            value = str(value)
        elif name == "bit_depth":
            value = int(value)
        typed["wb" if name == "white_balance" else name] = value
    return typed


def _show_plan(terminal: Terminal, folders: list[Path], output: Path, settings: BatchSettings) -> None:
    from burstfix.batch.journal import read_entries
    from burstfix.batch.planning import model_name, outputs_of, plan_folders
    from burstfix.report.plan import plan_table

    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is no folder")
    with terminal.progress() as progress:
        plan = plan_folders(folders, settings, output, progress=progress)
    outputs = outputs_of(plan, settings, model_name(settings), read_entries(output), output)
    document = plan.document(outputs) | {"settings": dataclasses.asdict(settings)}
    terminal.result(document, plan_table(document))


@contextmanager
def _stopping(watching: bool) -> Iterator[threading.Event]:
    """An event that ends a watch in peace on SIGTERM or Ctrl-C, after the burst at work; twice: at once."""
    stop = threading.Event()
    if not watching or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(_signal: int, _frame: object) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
