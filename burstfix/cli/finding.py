"""The sources of settings: files, presets and the command line."""

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
    """Return the user's config folder: ~/.config/burstfix on Linux, its equivalent on other systems."""
    return Path(click.get_app_dir("burstfix"))


@dataclass(frozen=True, slots=True)
class Source:
    """The settings files named on the command line.

    Attributes:
        preset: Name given with --preset.
        config: Path given with --config.
    """

    preset: str | None
    config: Path | None

    def files(self, where: Sequence[Path]) -> list[SettingsFile]:
        """List the settings files for raws in these folders; later files override earlier ones."""
        return settings_files(where, user_folder=user_folder(), preset=self.preset, config=self.config)

    def batch(self, where: Sequence[Path], typed: Mapping[str, Any]) -> Resolved[BatchSettings]:
        """Resolve the settings of `batch` and `group`.

        Args:
            where: Folders with raws.
            typed: Values from the command line.
        """
        from burstfix.batch.settings import BatchSettings

        return resolve(self._layers(where, typed), BatchSettings)

    def merge(self, where: Sequence[Path], typed: Mapping[str, Any]) -> MergeSettings:
        """Resolve the settings of `merge` and `inspect`. The files may also contain settings of `batch`."""
        from burstfix.batch.settings import NAMES

        return resolve(self._layers(where, typed), MergeSettings, ignored=NAMES).settings

    def _layers(self, where: Sequence[Path], typed: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        return [*file_layers(self.files(where)), (_COMMAND_LINE, typed)]


class _Preset(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # not generic in click 8.1
    name = "NAME"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in preset_names(user_folder()) if name.startswith(incomplete)]


def source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --preset and --config to a command, which receives them as its argument `source`."""
    decorate = options.stack(
        click.option("--preset", type=_Preset(), metavar="NAME",
                     help="Settings to start from: best, balanced, fast, or presets/NAME.toml in the user's "
                     "config folder."),
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                     help="Settings file; overrides presets and FOLDER/burstfix.toml."),
    )  # fmt: skip
    return decorate(options.gather(function, "source", Source, ("preset", "config")))
