"""UserComment, the descriptive tag that exifread leaves out (TIFF 6.0 section 2; EXIF 2.32, 4.6.5)."""

from __future__ import annotations

import struct
from typing import BinaryIO

from burstfix.io.tag_numbers import EXIF_POINTER

USER_COMMENT = 37510

_HEAD_BYTES = 1 << 16  # a JPEG holds its EXIF in a segment near its beginning
_MOST_BYTES = 1 << 16  # what such a segment could hold; more is damage
_CODE_BYTES = 8  # name of the character code, before the text
_UTF_16 = b"UNICODE\0"


def read_user_comment(file: BinaryIO) -> bytes | None:
    """The comment of a TIFF (or of what resembles it), of a bare EXIF directory, or of a JPEG.

    Returns:
        Character code and text, in little-endian order where that matters, as our own files are; None where
        there is no comment, or a blank one.
    """
    try:
        value = _find(file)
    except struct.error:  # the file ends too early
        return None
    return value if value[_CODE_BYTES:].strip(b" \0") else None


def _find(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    start = max(0, head.find(b"Exif\0\0") + 6) if head[:2] == b"\xff\xd8" else 0
    order = {b"II": "<", b"MM": ">"}.get(head[start : start + 2])
    if order is None:
        return b""
    (first,) = struct.unpack_from(order + "L", head, start + 4)
    below = _entry(file, start + first, EXIF_POINTER, order)
    at = start + struct.unpack(order + "L", below[1])[0] if below else start + first
    count, field = _entry(file, at, USER_COMMENT, order) or (0, b"")
    if count <= len(field):
        return field[:count]
    if count > _MOST_BYTES:
        return b""
    file.seek(start + struct.unpack(order + "L", field)[0])
    value = file.read(count)
    if order == ">" and value.startswith(_UTF_16):
        return _UTF_16 + value[_CODE_BYTES:].decode("utf-16-be", "replace").encode("utf-16-le")
    return value


def _entry(file: BinaryIO, at: int, tag: int, order: str) -> tuple[int, bytes] | None:
    """Count and the last four bytes (value or offset) of a tag in the directory at `at`."""
    file.seek(at)
    (count,) = struct.unpack(order + "H", file.read(2))
    table = file.read(12 * count)
    for number, _, values, field in struct.iter_unpack(order + "HHL4s", table[: len(table) // 12 * 12]):
        if number == tag:
            return values, field
    return None
