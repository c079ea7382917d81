"""Options of the commands that look for bursts in folders, and the settings files below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix.cli import options

if TYPE_CHECKING:
    from burstfix.batch.settings import Resolved

_COMMAND_LINE = "command line"

folders = click.argument(
    "folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path)
)

config = click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                      help="Settings, over those of FOLDER/burstfix.toml.")  # fmt: skip

# Defaults are shown, not set: what is not typed may come from a settings file.
grouping = options.stack(
    click.option("--gap", type=float, metavar="SECONDS", help="A pause that ends a burst.  [default: 2]"),
    click.option("--min-frames", type=int, metavar="N", help="Frames of a burst at least.  [default: 2]"),
    click.option("--max-frames", type=int, metavar="N",
                 help="Cut longer bursts into parts.  [default: 0, no limit]"),
    click.option("--check-content/--no-check-content", default=None,
                 help="Part bursts where the scene changes.  [default: yes]"),
    config,
)  # fmt: skip


def settings_in_force(where: Sequence[Path], config_file: Path | None, typed: dict[str, Any]) -> Resolved:
    """The settings of files and of the command line, with their sources.

    Args:
        where: The folders searched.
        config_file: From --config.
        typed: Values of the command line; None was not typed.
    """
    from burstfix.batch.settings import file_layers, resolve

    layers: list[tuple[str, dict[str, Any]]] = list(
        file_layers(where, user_folder=options.user_folder(), config=config_file)
    )
    given = {name: value for name, value in typed.items() if value is not None}
    return resolve([*layers, (_COMMAND_LINE, given)])
