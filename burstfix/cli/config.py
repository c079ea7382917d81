"""`burstfix config show`: the settings in force, their origins, and the settings files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import finding, options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.settings import preset_names
from burstfix.settings.files import NOT_IN_FOLDERS, PRESETS

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = ("burstfix config show", "burstfix config show card/DCIM --config night.toml")


@click.group("config", invoke_without_command=True, epilog=epilog(*EXAMPLES))
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the settings in force and their sources.

    The commands merge, inspect, batch and group read burstfix.toml from the user's config folder, then from
    the folder of the raws, then a preset (--preset NAME), then the file given with --config. Later files
    override earlier ones. Options on the command line override all files.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command("show", epilog=epilog(*EXAMPLES))
@click.argument("folders", nargs=-1, metavar="[FOLDER...]", type=click.Path(path_type=Path))
@finding.source
@options.verbosity
@options.pass_terminal
def show(terminal: Terminal, folders: tuple[Path, ...], source: finding.Source) -> None:
    """Show the settings in force for FOLDER, the source of each, and the paths of all settings files."""
    user = finding.user_folder()
    resolved = source.batch(folders, {})
    document = {
        "not_in_folders": list(NOT_IN_FOLDERS),
        "settings": {s.name: {"value": s.value, "source": s.source} for s in resolved.origins},
        "files": [
            {"role": file.role, "path": str(file.path.absolute()), "exists": file.exists}
            for file in source.files(folders)
        ],
        "presets": {"folder": str(user / PRESETS), "names": preset_names(user)},
    }
    terminal.result(records.Config, document, _tables)


def _tables(document: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    settings = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from"):
        settings.add_column(title, overflow="fold")
    for name, setting in document["settings"].items():
        settings.add_row(name, Text(_shown(setting["value"])), Text(setting["source"]))
    files = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("file", "found", "path"):
        files.add_column(title, overflow="fold")
    for file in document["files"]:
        files.add_row(file["role"], "yes" if file["exists"] else "no", Text(file["path"]))
    presets = document["presets"]
    files.add_row("presets", ", ".join(presets["names"]), Text(presets["folder"]))
    barred = ", ".join(document["not_in_folders"])
    note = f"A burstfix.toml in a folder of raws may not set {barred}, or a model that is not built in."
    return Group(settings, Text(""), files, Text(""), Text(note))


def _shown(value: object) -> str:
    """Format a value as in burstfix.toml; "-" stands for None (automatic)."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
