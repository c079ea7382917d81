"""`burstfix batch`: merge every burst in folders, unattended."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from burstfix import records
from burstfix.batch.settings import BatchSettings
from burstfix.cli import finding, options
from burstfix.cli.batch_display import BatchDisplay, batch_record, event_line, preview_text, tally_text
from burstfix.cli.epilog import epilog
from burstfix.cli.libraries import fast_imports
from burstfix.cli.terminal import Terminal
from burstfix.errors import InputError, UsageError
from burstfix.settings import settings_of

EXAMPLES = (
    "burstfix batch card/DCIM -o pictures",
    "burstfix batch card/DCIM -o pictures --dry-run",
    "burstfix batch card/DCIM -o pictures --preview",
    "burstfix batch shots/ -o pictures --layout '{date}/{first}-{last}_{model}.jpg' --quality 92",
    "burstfix batch incoming/ -o pictures --watch",
)

_SETTINGS = options.named(
    settings_of(BatchSettings), "batch", "grouping", "picture", "reading", "rendering", "compute"
)


@click.command("batch", epilog=epilog(*EXAMPLES))
@finding.folders
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="OUT",
              help="Folder for pictures, journal, log and summary; created if missing.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option(
    "--preview",
    is_flag=True,
    help="Only write a contact sheet, OUT/preview.html: every burst, merged quickly at a quarter of height "
    "and width.",
)
@click.option("--retry-failed", is_flag=True, help="Retry bursts that failed in an earlier run.")
@click.option("--watch", is_flag=True, help="Keep running and merge bursts as their files arrive.")
@click.option("--cluster", metavar="ADDRESS|local",
              help="Merge on the workers of this Dask scheduler; local starts workers on this machine.",
)  # fmt: skip
@finding.source
@options.settings(_SETTINGS)
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    typed: dict[str, Any],
    folders: tuple[Path, ...],
    output: Path,
    dry_run: bool,
    preview: bool,
    retry_failed: bool,
    watch: bool,
    cluster: str | None,
    source: finding.Source,
) -> int:
    """Merge every burst in folders, unattended.

    Find the bursts in FOLDER and its subfolders, and write one picture for each into OUT. It is safe to run
    the command again: finished bursts are kept, and an interrupted run continues. A burst that fails does
    not stop the others. The exit code is 8 if a burst failed or a raw could not be read. FOLDER/burstfix.toml
    can contain settings; see `burstfix config show`.
    """
    settings = source.batch(folders, typed).settings
    if preview and (dry_run or retry_failed or watch or cluster):
        raise UsageError(
            "--preview cannot be used with --dry-run, --retry-failed, --watch or --cluster; leave them out"
        )
    if preview:
        return _preview(terminal, list(folders), output, settings)
    if dry_run:
        _show_plan(terminal, list(folders), output, settings)
        return 0

    with fast_imports():
        from burstfix.batch.report import Event
        from burstfix.batch.run import run_batch

    with BatchDisplay(terminal).shown() as display, _stopping(watch) as stop:

        def on_event(event: Event) -> None:
            if terminal.json:
                terminal.json_line(*batch_record(event.kind, event.data, output))
            else:
                display.event(event.kind, event.data)
                if (line := event_line(event.kind, event.data)) and not terminal.quiet:
                    display.line(line)

        report = run_batch(
            list(folders),
            output,
            settings,
            retry_failed=retry_failed,
            cluster=cluster,
            watch=watch,
            stop=stop,
            on_event=on_event,
            on_progress=display.progress,
        )
    if not terminal.json and not (terminal.quiet and report.exit_code == 0):
        sys.stdout.write(tally_text(report.document()) + "\n")
    return report.exit_code


def _preview(terminal: Terminal, folders: list[Path], output: Path, settings: BatchSettings) -> int:
    from burstfix.batch.preview import preview_folders

    with BatchDisplay(terminal).shown() as display:
        report = preview_folders(
            folders,
            output,
            settings,
            on_event=lambda event: display.event(event.kind, event.data),
            on_progress=display.progress,
        )
    terminal.result(records.BatchPreview, report.document(), preview_text, closing=True)
    return report.exit_code


def _show_plan(terminal: Terminal, folders: list[Path], output: Path, settings: BatchSettings) -> None:
    from burstfix.batch.journal import read_entries
    from burstfix.batch.planning import model_name, outputs_of, plan_folders
    from burstfix.report.plan import plan_table

    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is not a folder; name a folder with -o")
    with terminal.progress() as progress:
        plan = plan_folders(folders, settings, output, progress=progress)
    outputs = outputs_of(plan, settings, model_name(settings), read_entries(output), output)
    document: dict[str, Any] = plan.document(outputs) | {"settings": dataclasses.asdict(settings)}
    for group in document["groups"]:
        group["output"] = group["output"] and str((output / group["output"]).absolute())
    terminal.result(records.Plan, document, lambda shown: plan_table(shown, output.absolute()))


@contextmanager
def _stopping(watching: bool) -> Generator[threading.Event, None, None]:
    """Provide an event that SIGTERM, SIGHUP or Ctrl-C sets.

    A watch ends after the current burst when the event is set. A second signal ends it at once.
    """
    stop = threading.Event()
    if not watching or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

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
