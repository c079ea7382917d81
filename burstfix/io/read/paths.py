"""Expand arguments to files: folders, and patterns that the shell has not expanded (Windows, quotes)."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from burstfix.errors import InputError
from burstfix.io.suffixes import RAW_SUFFIXES


def expand(arguments: Sequence[str | Path]) -> list[Path]:
    """Expand arguments to a list of files, in the order given.

    A folder is replaced by the raws directly inside it, a pattern with * ? [ ] by the matching files. A part
    of a path that exists literally is not a pattern; for example, a folder may be called "Harbour [2023]".

    Raises:
        InputError: A path does not exist, a pattern matches nothing, a folder cannot be read or
            contains no raws.
    """
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            files += _raws_in(path)
        elif os.path.exists(path) or not glob.has_magic(str(argument)):
            if not os.path.exists(path):
                raise InputError(f"{argument}: no such file or folder")
            files.append(path)
        else:
            matches = _matches(path)
            if not matches:
                raise InputError(f"{argument}: no file matches this pattern")
            files += [match for match in matches if match.is_file()]
    if not files:
        raise InputError(
            f"{' '.join(map(str, arguments))}: matches only folders; give raw files or a single folder"
        )
    return files


def _matches(pattern: Path) -> list[Path]:
    """Expand a pattern part by part, so that each part may be a name or a pattern."""
    anchor, *parts = pattern.parts if pattern.anchor else ("", *pattern.parts)
    found = [Path(anchor)]
    for part in parts:
        step: list[Path] = []
        for folder in found:
            if os.path.lexists(folder / part):
                step.append(folder / part)
            elif glob.has_magic(part):
                step += map(Path, glob.glob(os.path.join(glob.escape(str(folder)), part)))
        found = step
    return sorted(found)


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


def folders_of(arguments: Iterable[str]) -> list[Path]:
    """Return the folders of files, patterns and folders, without duplicates. The folders need not exist."""
    paths = (Path(argument) for argument in arguments)
    return list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))
