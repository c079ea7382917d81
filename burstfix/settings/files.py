"""Settings files: burstfix.toml of the user, of the folder with the raws, and the one named by --config.

A folder of raws may come from somebody else: a memory card, a download. Its settings file may choose how
pictures look, but it may not replace files, name other files, run code or claim the machine.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burstfix.errors import UsageError

FILE_NAME = "burstfix.toml"

NOT_IN_FOLDERS = ("overwrite", "noise_profiles", "device", "jobs", "max_memory")
"""Settings that a file in a folder of raws may not contain. It may name a model that ships, but no other."""

_SHIPPED_MODEL = re.compile(r"[A-Za-z0-9_-]+")  # neither a file nor a plug-in (module:Class)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Reads the values of a settings file; they are not checked here.

    Raises:
        UsageError: The file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad on Windows writes a BOM
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no valid TOML ({error})") from error


def file_layers(
    folders: Sequence[Path], *, user_folder: Path | None = None, config: Path | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Reads the settings files, the weakest first: the user's, the folder's, the one named.

    Args:
        folders: Folders with raws; at most one of them may hold a burstfix.toml.
        user_folder: The user's config folder.
        config: A file that must exist.

    Returns:
        The path of each file and its values.

    Raises:
        UsageError: A file cannot be read, several folders have one, or one in a folder contains a setting
            that it may not contain.
    """
    files = [user_folder / FILE_NAME] if user_folder else []
    files = [file for file in files if file.is_file()]
    # A folder that cannot be entered is reported by the search for raws.
    own = (folder / FILE_NAME for folder in folders if os.path.isfile(folder / FILE_NAME))
    in_folders = list(dict.fromkeys(file.parent.resolve() / FILE_NAME for file in own))
    if len(in_folders) > 1 and config is None:
        raise UsageError(f"{in_folders[0]} and {in_folders[1]} both exist; choose one with --config FILE")
    files += in_folders if len(in_folders) == 1 else []
    files += [config] if config else []
    found = [(file, read_settings_file(file)) for file in files]
    for file, values in found:
        if file in in_folders and file != config:
            _check_folder_settings(file, values)
    return [(str(file), values) for file, values in found]


def _check_folder_settings(file: Path, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        named = name == "model" and not _SHIPPED_MODEL.fullmatch(str(value))
        if name in NOT_IN_FOLDERS or named:
            what = f"model = {value!r}, which does not ship," if named else repr(name)
            raise UsageError(
                f"{file}: {what} is not allowed in a folder of raws; remove the line, put it into your own "
                f"{FILE_NAME} (burstfix config show says where), or name the file with --config"
            )
