"""File names and text from files: escape them for display, and shorten them for a file system."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME_LIMIT = 255
"""Maximum length of a file name in bytes on ext4, APFS, exFAT, SMB and NTFS (there in UTF-16 units)."""

# C0 and C1 controls, line and paragraph separators, marks that change the direction of text (Unicode 15, UAX
# 9), and surrogates, which represent bytes that are not valid UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DIGEST = 8  # number of hexadecimal digits that make a shortened name unique


def printable(text: str) -> str:
    r"""Escape characters that control a terminal, break lines or reorder text.

    >>> print(printable("IMG\x1b[2J_1\n.dng"))
    IMG\x1b[2J_1\n.dng
    """
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def printable_document(document: Any) -> Any:
    """Apply `printable` to every string in a structure of mappings, lists and tuples."""
    if isinstance(document, str):
        return printable(document)
    if isinstance(document, Mapping):
        return {printable_document(key): printable_document(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [printable_document(item) for item in document]
    return document


def name_limit(folder: Path) -> int:
    """Return the maximum length of a file name in a folder, in bytes. In encrypted folders it is lower."""
    try:
        return min(NAME_LIMIT, os.pathconf(folder, "PC_NAME_MAX"))
    except (AttributeError, OSError, ValueError):  # Windows, or the folder does not exist yet
        return NAME_LIMIT


def fit_name(name: str, limit: int = NAME_LIMIT) -> str:
    """Shorten a file name that is too long; keep its suffix and make it unique.

    Args:
        name: One component of a path.
        limit: Maximum length of the result in bytes (UTF-8).

    Returns:
        `name` if it fits; otherwise its beginning, "~", a digest of the whole name, and the suffix.
    """
    data = os.fsencode(name)
    if len(data) <= limit:
        return name
    stem, dot, suffix = name.rpartition(".")
    tail = f"{dot}{suffix}" if stem and len(suffix) <= 8 else ""
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST]
    room = limit - len(os.fsencode(tail)) - 1 - _DIGEST
    kept = os.fsencode(name)[:room].decode("utf-8", "ignore")
    return f"{kept}~{digest}{tail}"
