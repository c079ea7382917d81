"""Settings files: burstfix.toml of the user, of the folder with the raws, and the one named by --config."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from burstfix.errors import UsageError

FILE_NAME = "burstfix.toml"


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
        UsageError: A file cannot be read, or several folders have one.
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
    return [(str(file), read_settings_file(file)) for file in files]
