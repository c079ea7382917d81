"""`burstfix config show`: which settings are in force, and where each comes from."""

from __future__ import annotations

from pathlib import Path

import click

from burstfix.cli import finding, options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.names import printable
from burstfix.settings.files import NOT_IN_FOLDERS

EXAMPLES = ("burstfix config show", "burstfix config show card/DCIM --config night.toml")


@click.group("config", invoke_without_command=True, epilog=epilog(*EXAMPLES))
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the settings in force, and where they come from.

    Those of `burstfix batch` and `burstfix group` stand in burstfix.toml: in the user's config folder, over
    it in the folder of the raws, over it in the file named by --config; the command line is over all of them.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command("show", epilog=epilog(*EXAMPLES))
@click.argument("folders", nargs=-1, metavar="[FOLDER...]", type=click.Path(path_type=Path))
@finding.config
@options.speech
@options.pass_terminal
def show(terminal: Terminal, folders: tuple[Path, ...], config: Path | None) -> None:
    """Show the settings in force for FOLDER, and where each comes from."""
    resolved = finding.batch_settings(folders, config, {})

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from"):
        table.add_column(title)
    for setting in resolved.origins:
        table.add_row(setting.name, printable(_shown(setting.value)), printable(setting.source))
    note = f"A burstfix.toml in a folder of raws may not set: {', '.join(NOT_IN_FOLDERS)}, or a model file."
    document = {
        "not_in_folders": list(NOT_IN_FOLDERS),
        "settings": {s.name: {"value": s.value, "from": s.source} for s in resolved.origins},
        "user_file": str(finding.user_folder() / "burstfix.toml"),
    }
    terminal.result(document, Group(table, Text(""), Text(note)))


def _shown(value: object) -> str:
    """A value as burstfix.toml would hold it; what is not set is automatic."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return str(value)
