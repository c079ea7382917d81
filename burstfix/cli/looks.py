"""`burstfix looks`: list the built-in looks and their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = (
    "burstfix looks",
    "burstfix looks --json",
    "burstfix merge shots/*.dng --look vivid",
    "burstfix merge shots/*.dng --look mine.toml",
)


@click.command("looks", epilog=epilog(*EXAMPLES))
@options.verbosity
@options.pass_terminal
def command(terminal: Terminal) -> None:
    """List the built-in looks, with the values that a look file may set.

    To make your own look, write such values to a file NAME.toml and pass it to --look.
    """
    from burstfix.color.look import DEFAULT_LOOK, SHIPPED, shipped_look

    looks = [dataclasses.asdict(shipped_look(name)) for name in SHIPPED]
    terminal.result(records.Looks, {"default": DEFAULT_LOOK, "looks": looks}, _table)


def _table(document: Mapping[str, Any]) -> RenderableType:
    """Build a table with a column for each look and a row for each value."""
    from rich.console import Group
    from rich.table import Table

    looks = document["looks"]
    table = Table("key", *(look["name"] for look in looks), box=None, header_style="bold")
    for key in looks[0]:
        if key not in ("name", "description"):
            table.add_row(key, *(str(look[key]) for look in looks))
    lines = [f"{look['name']}: {look['description']}" for look in looks]
    return Group(*lines, f"The default is {document['default']}.", "", table)
