"""Arguments into files: wildcards that no shell has expanded (Windows, quotes), and folders."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from burstfix.errors import InputError
from burstfix.io.suffixes import RAW_SUFFIXES


def expand(arguments: Sequence[str]) -> list[Path]:
    """Turns what was typed into a list of files, in the order typed.

    A folder stands for the raws directly in it; a pattern with * ? [ ] for what it matches, unless a file
    of that very name exists.

    Raises:
        InputError: A path does not exist, a pattern matches nothing, a folder cannot be read or holds no
            raws.
    """
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            files += _raws_in(path)
        elif path.exists() or not glob.has_magic(argument):
            if not path.exists():
                raise InputError(f"{argument}: no such file or folder")
            files.append(path)
        else:
            matches = sorted(Path(match) for match in glob.glob(argument))
            if not matches:
                raise InputError(f"{argument}: no file matches this pattern")
            files += [match for match in matches if match.is_file()]
    if not files:
        raise InputError(f"{' '.join(arguments)}: no files, only folders; name the files or one folder")
    return files


def _raws_in(folder: Path) -> list[Path]:
    try:
        raws = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in RAW_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
    if not raws:
        raise InputError(f"{folder}: no camera raws in this folder (folders inside it are not searched)")
    return raws
