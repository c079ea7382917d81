"""Find and read settings files: burstfix.toml of the user and of the folder of raws, presets, --config.

A folder of raws may come from an untrusted source, such as a download. Its settings file may change the
rendering of pictures, but it cannot overwrite files, refer to other files, run code, or change the use of
devices and memory.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.errors import UsageError
from burstfix.text_file import read_text

FILE_NAME = "burstfix.toml"
PRESETS = "presets"
"""Folder in the user's config folder; NAME.toml in it is the preset NAME."""
_SHIPPED_PRESETS = Path(__file__).with_name(PRESETS)
NOISE_TABLE = "noise_profiles.toml"
"""Noise table in the user's config folder; the default of `noise_profiles`."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file that may contain settings.

    Attributes:
        role: "noise table", "user", "folder", "preset" or "config".
        path: Expected path of the file.
        exists: True if the file exists.
    """

    role: str
    path: Path
    exists: bool


NOT_IN_FOLDERS = ("overwrite", "noise_profiles", "device", "jobs", "max_memory")
"""Settings that a file in a folder of raws may not contain. It may choose only a built-in model."""

_SHIPPED_MODEL = re.compile(r"[A-Za-z0-9_-]+")  # neither a file nor a plug-in (module:Class)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read the values of a settings file without checking them.

    Raises:
        UsageError: The file cannot be read or is not valid TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not valid TOML ({error}); correct the file") from error


def settings_files(
    folders: Sequence[Path],
    *,
    user_folder: Path | None = None,
    preset: str | None = None,
    config: Path | None = None,
) -> list[SettingsFile]:
    """List the files that may contain settings. Later files override earlier ones.

    Args:
        folders: Folders with raws.
        user_folder: The user's config folder.
        preset: Name of a preset in the user's config folder, or of a shipped one.
        config: File given with --config.

    Raises:
        UsageError: Several folders have a settings file and `config` is None, or `preset` is a path.
    """
    looked_at: list[tuple[str, Path]] = []
    if user_folder:
        looked_at += [("noise table", user_folder / NOISE_TABLE), ("user", user_folder / FILE_NAME)]
    # os.path raises no error for unreadable folders, which the search for raws reports.
    in_folders = list(dict.fromkeys(Path(os.path.realpath(folder)) / FILE_NAME for folder in folders))
    existing = [path for path in in_folders if os.path.isfile(path)]
    if len(existing) > 1 and config is None:
        raise UsageError(f"{existing[0]} and {existing[1]} both exist; choose one with --config FILE")
    if len(existing) < 2:
        named = config and Path(os.path.realpath(config))  # a file given with --config is trusted
        looked_at += [("folder", path) for path in in_folders if path != named]
    if preset is not None:
        if user_folder is None or Path(preset).name != preset:
            raise UsageError(
                f"preset {preset!r}: expected the name of a file in {PRESETS}/ of the user's config folder"
            )
        own, shipped = (folder / f"{preset}.toml" for folder in (user_folder / PRESETS, _SHIPPED_PRESETS))
        looked_at.append(("preset", shipped if shipped.exists() and not os.path.isfile(own) else own))
    if config is not None:
        looked_at.append(("config", config))
    return [SettingsFile(role, path, os.path.isfile(path)) for role, path in looked_at]


def file_layers(files: Sequence[SettingsFile]) -> list[tuple[str, dict[str, Any]]]:
    """Read the settings files that exist.

    Args:
        files: From `settings_files`.

    Returns:
        The path of each file and its values.

    Raises:
        UsageError: A file cannot be read, a file in a folder of raws contains a setting that is not allowed
            there, or the preset or the file of --config does not exist.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    for file in files:
        if file.role == "preset" and not file.exists:
            have = ", ".join(preset_names(file.path.parent.parent))
            raise UsageError(f"{file.path}: this preset does not exist; existing presets: {have}")
        if file.role == "noise table" and file.exists:
            layers.append((str(file.path), {"noise_profiles": str(file.path)}))
        elif file.exists or file.role == "config":
            values = read_settings_file(file.path)
            if file.role == "folder":
                _check_folder_settings(file.path, values)
            layers.append((str(file.path), values))
    return layers


def preset_names(user_folder: Path) -> list[str]:
    """Return the names of the shipped presets and of the user's presets, which have priority."""
    folders = (user_folder / PRESETS, _SHIPPED_PRESETS)
    return sorted({path.stem for folder in folders for path in folder.glob("*.toml")})


def _check_folder_settings(file: Path, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        named = name == "model" and not _SHIPPED_MODEL.fullmatch(str(value))
        if name in NOT_IN_FOLDERS or named:
            what = f"model = {value!r}, which is not a built-in model," if named else repr(name)
            raise UsageError(
                f"{file}: {what} is not allowed in a folder of raws; remove the line, move it to your own "
                f"{FILE_NAME} (burstfix config show prints its path), or name the file with --config"
            )
