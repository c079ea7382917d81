"""`burstfix group`: list the bursts in folders without merging them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from burstfix import records
from burstfix.batch.settings import BatchSettings
from burstfix.cli import finding, options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.settings import settings_of

EXAMPLES = ("burstfix group shots/", "burstfix group card/DCIM --gap 1 --json")


@click.command("group", epilog=epilog(*EXAMPLES))
@finding.folders
@finding.source
@options.settings(options.named(settings_of(BatchSettings), "grouping"))
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal, typed: dict[str, Any], folders: tuple[Path, ...], source: finding.Source
) -> None:
    """List the bursts in folders.

    Subfolders are searched as well. Frames form a burst if they have the same camera, lens, size, folder,
    exposure and ISO, show the same scene, and no long pause separates them. Exposure brackets and single
    frames are listed as well. Nothing is merged or written.
    """
    settings = source.batch(folders, typed).settings

    from burstfix.batch.plan import find_bursts
    from burstfix.report.plan import plan_table

    with terminal.progress() as progress:
        plan = find_bursts(
            folders,
            gap=settings.gap,
            min_frames=settings.min_frames,
            max_frames=settings.max_frames,
            check_content=settings.check_content,
            progress=progress,
        )
    document = plan.document()
    terminal.result(records.Plan, document, plan_table)
