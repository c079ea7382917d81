"""Where settings come from: files and the command line; arguments of commands that search folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix.settings import MergeSettings, Resolved, file_layers, resolve

if TYPE_CHECKING:
    from burstfix.batch.settings import BatchSettings

_COMMAND_LINE = "command line"
NOISE_TABLE_NAME = "noise_profiles.toml"

folders = click.argument(
    "folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path)
)

config = click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                      help="Settings file; overrides FOLDER/burstfix.toml.")  # fmt: skip


def user_folder() -> Path:
    """The user's config folder: ~/.config/burstfix, or its equivalent on the system."""
    return Path(click.get_app_dir("burstfix"))


def layers(
    where: Sequence[Path], config_file: Path | None, typed: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Collects settings from files and the command line, the weakest first.

    Args:
        where: The folders searched.
        config_file: From --config.
        typed: Values of the command line.
    """
    own_table = user_folder() / NOISE_TABLE_NAME
    found: list[tuple[str, Mapping[str, Any]]] = []
    if own_table.is_file():
        found.append((str(own_table), {"noise_profiles": str(own_table)}))
    found += file_layers(where, user_folder=user_folder(), config=config_file)
    return [*found, (_COMMAND_LINE, typed)]


def batch_settings(
    where: Sequence[Path], config_file: Path | None, typed: Mapping[str, Any]
) -> Resolved[BatchSettings]:
    """Resolves the settings of `batch` and `group`; the arguments are those of `layers`."""
    from burstfix.batch.settings import BatchSettings

    return resolve(layers(where, config_file, typed), BatchSettings)


def merge_settings(
    where: Sequence[Path], config_file: Path | None, typed: Mapping[str, Any]
) -> MergeSettings:
    """Resolves the settings of `merge` and `inspect`; those of `batch` may stand in the files as well."""
    from burstfix.batch.settings import NAMES

    return resolve(layers(where, config_file, typed), MergeSettings, ignored=NAMES).settings
