"""Where settings come from: files, presets and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from burstfix.cli import options
from burstfix.settings import (
    MergeSettings,
    Resolved,
    SettingsFile,
    file_layers,
    preset_names,
    resolve,
    settings_files,
)

if TYPE_CHECKING:
    from burstfix.batch.settings import BatchSettings

_COMMAND_LINE = "command line"

folders = click.argument(
    "folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path)
)


def user_folder() -> Path:
    """Returns the user's config folder: ~/.config/burstfix, or its equivalent on the system."""
    return Path(click.get_app_dir("burstfix"))


@dataclass(frozen=True, slots=True)
class Source:
    """Which settings files the command line names.

    Attributes:
        preset: From --preset.
        config: From --config.
    """

    preset: str | None
    config: Path | None

    def files(self, where: Sequence[Path]) -> list[SettingsFile]:
        """Lists the settings files for raws in these folders, the weakest first."""
        return settings_files(where, user_folder=user_folder(), preset=self.preset, config=self.config)

    def batch(self, where: Sequence[Path], typed: Mapping[str, Any]) -> Resolved[BatchSettings]:
        """Resolves the settings of `batch` and `group`.

        Args:
            where: The folders searched.
            typed: Values of the command line.
        """
        from burstfix.batch.settings import BatchSettings

        return resolve(self._layers(where, typed), BatchSettings)

    def merge(self, where: Sequence[Path], typed: Mapping[str, Any]) -> MergeSettings:
        """Resolves the settings of `merge` and `inspect`; the files may hold those of `batch` as well."""
        from burstfix.batch.settings import NAMES

        return resolve(self._layers(where, typed), MergeSettings, ignored=NAMES).settings

    def _layers(self, where: Sequence[Path], typed: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        return [*file_layers(self.files(where)), (_COMMAND_LINE, typed)]


class _Preset(click.ParamType):
    name = "NAME"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in preset_names(user_folder()) if name.startswith(incomplete)]


def source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command --preset and --config, gathered as its argument `source`."""
    decorate = options.stack(
        click.option("--preset", type=_Preset(), metavar="NAME",
                     help="Settings in presets/NAME.toml of the user's config folder."),
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                     help="Settings file; overrides presets and FOLDER/burstfix.toml."),
    )  # fmt: skip
    return decorate(options.gather(function, "source", Source, ("preset", "config")))
