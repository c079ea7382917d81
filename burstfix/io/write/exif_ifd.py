"""Encode EXIF tags as TIFF image file directories.

tifffile writes only the first directory of a TIFF. Therefore the EXIF and GPS directories are appended to the
finished file here. Formats: TIFF 6.0 section 2; CIPA DC-008 (EXIF 2.32) chapter 4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from burstfix.io.tag_numbers import COMPRESSION, EXIF_POINTER, GPS_POINTER
from burstfix.types import ExifTags

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SRATIONAL, _IFD = 1, 2, 3, 4, 5, 7, 10, 13
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 513, 514

# Types that cannot be derived from the value (EXIF 2.32, tables 4 to 15).
_LONG_TAGS = frozenset({34865, 34866, 34867, 34868, 34869})
_BYTE_TAGS_GPS = frozenset({0, 5})
_BYTE_TAGS = frozenset(range(40091, 40096))  # XPTitle and the other XP tags: UTF-16
_SRATIONAL_TAGS = frozenset({37377, 37379, 37380, 37888, 37890, 37892})
_RATIONAL_TAGS = frozenset(
    {282, 283, 33434, 33437, 37122, 37378, 37381, 37382, 37386, 37387, 37389, 37391, 37889, 37891}
    | {41483, 41486, 41487, 41493, 41988, 42034, 42240}
)
_UNDEFINED_TAGS = frozenset({36864, 37121, 37510, 40960, 41728, 41729})
_RATIONAL_TAGS_GPS = frozenset({2, 4, 6, 7, 11, 13, 15, 17, 20, 22, 24, 26, 31})

# Tags that describe the layout of the picture in the file; the writer of the picture sets them.
_STRUCTURE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338, 339}
    | {34675, EXIF_POINTER, GPS_POINTER}
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A directory entry; `data` is its value in the byte order of the file."""

    tag: int
    kind: int
    count: int
    data: bytes


def append_exif_ifds(path: Path | str, exif: ExifTags) -> None:
    """Add EXIF to a classic TIFF or DNG on disk, by appending a new first directory.

    Tags of `exif.image` are added to the first directory and replace those with the same number. Tags that
    describe the layout of the picture are not changed. The file is modified in place, so call this before the
    file gets its final name (see `burstfix.atomic`).

    Args:
        path: A classic TIFF (not BigTIFF).
        exif: Tags to write.

    Raises:
        ValueError: The file is not a classic TIFF, or EXIF cannot represent the type of a value.
    """
    with open(path, "rb+") as file:
        header = file.read(8)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
        if order is None:
            raise ValueError(f"{path}: not a classic TIFF file")
        (first,) = struct.unpack(order + "L", header[4:])
        file.seek(first)
        (count,) = struct.unpack(order + "H", file.read(2))
        table = file.read(12 * count)
        (following,) = struct.unpack(order + "L", file.read(4))

        entries: dict[int, _Entry | bytes] = {}
        for k in range(count):
            raw = table[12 * k : 12 * k + 12]
            number, kind = struct.unpack(order + "HH", raw[:4])
            if kind == _IFD:
                # Both types have the same bytes, but DNG is based on TIFF 6.0, which has only the older type.
                raw = raw[:2] + struct.pack(order + "H", _LONG) + raw[4:]
            entries[number] = raw  # values stored elsewhere in the file are not moved
        for tag, value in exif.image.items():
            if tag not in _STRUCTURE:
                entries[tag] = _encode(tag, value, order, gps=False)

        end = file.seek(0, 2)
        padding = b"\0" * (end % 2)
        below, pointers = _lower_directories(exif, end + len(padding), order)
        entries |= pointers
        offset = end + len(padding) + len(below)
        file.write(padding + below + _directory(entries, offset, order, following))
        file.seek(4)
        file.write(struct.pack(order + "L", offset))


def exif_block(exif: ExifTags, thumbnail: bytes = b"") -> bytes:
    """Encode tags as a little-endian TIFF without a picture, for APP1 of a JPEG and eXIf of a PNG.

    Args:
        exif: The tags.
        thumbnail: A JPEG for the second directory (EXIF 2.32, 4.5.4); b"" = none.

    Raises:
        ValueError: EXIF cannot represent the type of a value.
    """
    order = "<"
    image = {t: _encode(t, v, order, gps=False) for t, v in exif.image.items() if t not in _STRUCTURE}
    entries: dict[int, _Entry | bytes] = {**image}
    below, pointers = _lower_directories(exif, 8, order)
    entries |= pointers
    offset = 8 + len(below)
    first, second = _directory(entries, offset, order), b""
    if thumbnail:
        at = offset + len(first)
        first, second = _directory(entries, offset, order, at), _thumbnail_directory(thumbnail, at, order)
    return b"II*\0" + struct.pack(order + "L", offset) + below + first + second


def _thumbnail_directory(thumbnail: bytes, offset: int, order: str) -> bytes:
    """Encode the directory of a JPEG thumbnail for a given offset, followed by the thumbnail."""

    def directory(at: int) -> bytes:
        values = {COMPRESSION: 6, 282: 72, 283: 72, 296: 2}
        entries: dict[int, _Entry | bytes] = {t: _encode(t, v, order, gps=False) for t, v in values.items()}
        for tag, value in ((_THUMBNAIL_OFFSET, at), (_THUMBNAIL_LENGTH, len(thumbnail))):
            entries[tag] = _Entry(tag, _LONG, 1, struct.pack(order + "L", value))
        return _directory(entries, offset, order)

    return directory(offset + len(directory(0))) + thumbnail


def _lower_directories(exif: ExifTags, offset: int, order: str) -> tuple[bytes, dict[int, _Entry]]:
    """Encode the EXIF and GPS directories for a given offset, and the entries that point to them."""
    block, pointers = b"", {}
    for pointer, tags in ((EXIF_POINTER, exif.exif), (GPS_POINTER, exif.gps)):
        if tags:
            at = offset + len(block)
            pointers[pointer] = _Entry(pointer, _LONG, 1, struct.pack(order + "L", at))
            gps = pointer == GPS_POINTER
            block += _directory({t: _encode(t, v, order, gps) for t, v in tags.items()}, at, order)
    return block, pointers


def _directory(entries: Mapping[int, _Entry | bytes], offset: int, order: str, following: int = 0) -> bytes:
    """Encode a directory for a given offset: a table in tag order, then the values that do not fit into it.

    Entries given as 12 bytes are not changed. The length is even, because TIFF requires even offsets.
    """
    values_at = offset + 2 + 12 * len(entries) + 4
    table = struct.pack(order + "H", len(entries))
    values = b""
    for tag in sorted(entries):
        entry = entries[tag]
        if isinstance(entry, bytes):
            table += entry
            continue
        if len(entry.data) <= 4:
            field = entry.data.ljust(4, b"\0")
        else:
            field = struct.pack(order + "L", values_at + len(values))
            values += entry.data + b"\0" * (len(entry.data) % 2)
        table += struct.pack(order + "HHL", entry.tag, entry.kind, entry.count) + field
    return table + struct.pack(order + "L", following) + values


def _encode(tag: int, value: Any, order: str, gps: bool) -> _Entry:
    if isinstance(value, str):
        if tag in _UNDEFINED_TAGS and not gps:
            value = value.encode("utf-8")
        else:
            data = value.rstrip("\0").encode("utf-8") + b"\0"
            return _Entry(tag, _ASCII, len(data), data)
    if gps and tag in _BYTE_TAGS_GPS:
        data = bytes([value]) if isinstance(value, int) else bytes(value)
        return _Entry(tag, _BYTE, len(data), data)
    if isinstance(value, (bytes, bytearray)):
        kind = _BYTE if tag in _BYTE_TAGS else _UNDEFINED
        return _Entry(tag, kind, len(value), bytes(value))
    items = value if isinstance(value, tuple) else (value,)
    if not items or not all(isinstance(x, (int, Fraction)) for x in items):
        raise ValueError(f"tag {tag}: {value!r} is of a type that EXIF cannot hold")
    rational = tag in (_RATIONAL_TAGS_GPS if gps else _RATIONAL_TAGS | _SRATIONAL_TAGS)
    if rational or any(isinstance(x, Fraction) for x in items):
        return _rationals(tag, items, order, signed=tag in _SRATIONAL_TAGS and not gps)
    if min(items) < 0:
        raise ValueError(f"tag {tag}: {value!r} is negative")
    kind = _LONG if max(items) > 0xFFFF or (tag in _LONG_TAGS and not gps) else _SHORT
    data = struct.pack(f"{order}{len(items)}{'L' if kind == _LONG else 'H'}", *items)
    return _Entry(tag, kind, len(items), data)


def _rationals(tag: int, items: tuple[int | Fraction, ...], order: str, signed: bool) -> _Entry:
    signed = signed or any(x < 0 for x in items)
    limit = 0x7FFFFFFF if signed else 0xFFFFFFFF
    data = b""
    for x in items:
        fraction = _fit(Fraction(x), limit)
        data += struct.pack(order + ("ll" if signed else "LL"), fraction.numerator, fraction.denominator)
    return _Entry(tag, _SRATIONAL if signed else _RATIONAL, len(items), data)


def _fit(x: Fraction, limit: int) -> Fraction:
    """Return the nearest fraction with numerator and denominator of at most `limit`."""
    if abs(x) > limit:
        return Fraction(limit if x > 0 else -limit)
    bound = limit if abs(x) <= 1 else max(1, int(limit / abs(x)))
    return x.limit_denominator(min(limit, bound))
