"""Select the paths to open as raws, and sort them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from burstfix.errors import InputError
from burstfix.io.read.copies import find_copies

# Suffixes of other files that are often in folders of raws: pictures, sidecars, videos, lists.
_OTHER_FILES = (
    "jpg jpeg jpe jxl png gif bmp webp heic heif avif tif tiff xmp pp3 dop cos on1 json txt md csv tsv toml "
    "xml html pdf log ini db thm lrv mp4 mov avi mkv wav mp3 zip tar gz"
)
_NOT_RAW = frozenset(f".{suffix}" for suffix in _OTHER_FILES.split())


@dataclass(frozen=True, slots=True)
class Selection:
    """Paths to open, and a warning for each path that is skipped."""

    paths: tuple[Path, ...]
    warnings: tuple[str, ...]


def select_raws(paths: Iterable[Path | str]) -> Selection:
    """Select the paths to open, without duplicates, in natural order of their names.

    Files with suffixes of other types, folders, duplicate paths and copies are skipped. A copy has the same
    bytes as another file; merging it would count the same noise twice.

    Args:
        paths: Paths from the command line.

    Raises:
        InputError: A path does not exist, or no path remains.
    """
    warnings: list[str] = []
    selected: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not os.path.lexists(path):
            raise InputError(f"{path}: there is no such file")
        if path.name.startswith("._"):
            warnings.append(f"{path}: skipped, it is macOS metadata of another file")
        elif path.is_dir():
            warnings.append(f"{path}: skipped, it is a folder")
        elif path.suffix.lower() in _NOT_RAW:
            warnings.append(f"{path}: skipped, it is not a raw file")
        elif path.resolve() in selected:
            warnings.append(f"{path}: skipped, it was given twice")
        else:
            selected[path.resolve()] = path
    if not selected:
        raise InputError("no raw files given" + (f" ({'; '.join(warnings)})" if warnings else ""))
    ordered = sorted(selected.values(), key=natural_key)
    copies = find_copies(path for path in ordered if path.is_file())
    warnings += [f"{path}: skipped, it is a copy of {original}" for path, original in copies.items()]
    return Selection(tuple(path for path in ordered if path not in copies), tuple(warnings))


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts names in natural order: IMG_2 before IMG_10."""
    parts = re.split(r"(\d+)", path.stem.casefold())
    numbers = [(0, int(p), p) if p.isascii() and p.isdigit() else (1, 0, p) for p in parts if p]
    return numbers, str(path)
