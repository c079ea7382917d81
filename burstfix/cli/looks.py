"""`burstfix looks`: the looks that ship, and the values of each."""

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
@options.speech
@options.pass_terminal
def command(terminal: Terminal) -> None:
    """List the looks that ship, with the values that a look file may set.

    Write such values into a file NAME.toml and give it to --look to make your own.
    """
    from burstfix.color.look import DEFAULT_LOOK, SHIPPED, shipped_look

    looks = [dataclasses.asdict(shipped_look(name)) for name in SHIPPED]
    terminal.result(records.Looks, {"default": DEFAULT_LOOK, "looks": looks}, _table)


def _table(document: Mapping[str, Any]) -> RenderableType:
    """A column for each look, a row for each value."""
    from rich.console import Group
    from rich.table import Table

    looks = document["looks"]
    table = Table("key", *(look["name"] for look in looks), box=None, header_style="bold")
    for key in looks[0]:
        if key not in ("name", "description"):
            table.add_row(key, *(str(look[key]) for look in looks))
    lines = [f"{look['name']}: {look['description']}" for look in looks]
    return Group(*lines, f"The default is {document['default']}.", "", table)
