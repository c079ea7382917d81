"""Find copies of a file: other files with the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from burstfix.errors import InputError

_BLOCK = 1 << 20  # bytes per read
_SAMPLE = 4096  # bytes


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        InputError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def find_copies(paths: Iterable[Path], content_hash: Callable[[Path], str] = hash_file) -> dict[Path, Path]:
    """Find files with the same bytes as an earlier file.

    Only files with equal sizes and equal samples are read completely. A file that cannot be read is not a
    copy. The reason is reported later, when it is read as a raw.

    Args:
        paths: Files; the first of several equal files counts as the original.
        content_hash: Function that hashes a file, or raises `InputError` if it cannot be read.

    Returns:
        A mapping from the path of each copy to its original.
    """
    similar: dict[tuple[int, bytes], list[Path]] = {}
    for path in paths:
        try:
            similar.setdefault(_sample(path), []).append(path)
        except OSError:
            continue
    copies: dict[Path, Path] = {}
    for candidates in similar.values():
        originals: dict[str, Path] = {}
        for path in candidates if len(candidates) > 1 else ():
            try:
                original = originals.setdefault(content_hash(path), path)
            except InputError:
                continue
            if original != path:
                copies[path] = original
    return copies


def _sample(path: Path) -> tuple[int, bytes]:
    """Return the size and a few bytes from the middle of a file, where two frames differ by their noise."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, (size - _SAMPLE) // 2))
        return size, file.read(_SAMPLE)
