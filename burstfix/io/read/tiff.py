"""Read TIFF directories, classic and BigTIFF (TIFF 6.0 section 2).

This parser reads all DNG, EXIF and GPS tags. The size of the file limits the work: all values together may
contain at most as many bytes as the file. Valid files comply, because their tags do not share data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from burstfix.io import tag_numbers as tn

MAX_DIRECTORIES = 64
"""Maximum number of directories to read from a file; cameras write about ten."""

_MAX_ENTRIES = 0xFFFF

# The first four bytes are the byte order and a number, which is 42 in TIFF and 43 in BigTIFF. Olympus ORF and
# Panasonic RW2 have other numbers, but are TIFFs otherwise.
_CLASSIC = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_BIG = (b"II+\0", b"MM\0+")

_ASCII, _UNDEFINED = 2, 7
_BYTES = (1, 6, _UNDEFINED)
_RATIONALS = (5, 10)
# TIFF type to NumPy type; a rational has two elements. Unknown types are ignored, as TIFF 6.0 requires.
_TYPES: dict[int, str] = {
    **{1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4"},
    **{11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"},
}


class TiffError(ValueError):
    """The directories of a TIFF are damaged."""


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one tag.

    Attributes:
        kind: TIFF type, 1 to 18.
        data: Bytes as in the file.
        order: "<" or ">".
    """

    kind: int
    data: bytes
    order: str = "<"

    def array(self) -> NDArray[Any]:
        """Return the elements. Rationals become float64, or NaN if the denominator is 0."""
        elements = np.frombuffer(self.data, self.order + _TYPES[self.kind])
        if self.kind not in _RATIONALS:
            return elements.astype(elements.dtype.newbyteorder("="))
        pairs = elements.astype(np.float64).reshape(-1, 2)
        undefined = pairs[:, 1] == 0
        return np.where(undefined, math.nan, pairs[:, 0] / np.where(undefined, 1, pairs[:, 1]))

    def exif(self) -> Any:
        """Return the value in the form of `ExifTags`; None if it is empty, undefined or of another type."""
        if self.kind == _ASCII:
            return _text(self.data) or None
        if not self.data or self.kind in (11, 12):
            return None
        if self.kind in _BYTES:
            return self.data
        elements = np.frombuffer(self.data, self.order + _TYPES[self.kind]).tolist()
        if self.kind in _RATIONALS:
            pairs = list(zip(elements[::2], elements[1::2], strict=True))
            if any(denominator == 0 for _, denominator in pairs):
                return None
            elements = [Fraction(n, d) for n, d in pairs]
        return elements[0] if len(elements) == 1 else tuple(elements)


class Directory:
    """One TIFF directory: a mapping from tag numbers to values."""

    def __init__(self, values: Mapping[int, Value] | None = None, offset: int = 0) -> None:
        """Create a directory.

        Args:
            values: Mapping from tag numbers to values.
            offset: Offset of the directory in the file.
        """
        self._values = dict(values or {})
        self.offset = offset

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def items(self) -> Iterator[tuple[int, Value]]:
        """Yield pairs of tag number and value."""
        yield from self._values.items()

    def array(self, tag: int) -> NDArray[Any]:
        """Return the numbers of a tag, of any count; empty if the tag is absent or text."""
        value = self._values.get(tag)
        return np.zeros(0) if value is None or value.kind == _ASCII else value.array()

    def numbers(self, tag: int) -> tuple[int | float, ...]:
        """Return the numbers of a tag as Python numbers; see `array`."""
        return tuple(self.array(tag).tolist())

    def integers(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of a tag as ints; empty if one is not finite."""
        values = self.numbers(tag)
        return tuple(map(int, values)) if all(map(math.isfinite, values)) else ()

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag as an int, or the default."""
        values = self.array(tag)[:1].tolist()
        return int(values[0]) if values and math.isfinite(values[0]) else default

    def data(self, tag: int) -> bytes:
        """Return the bytes of a tag; empty if it is absent or of another type."""
        value = self._values.get(tag)
        return value.data if value is not None and value.kind in _BYTES else b""

    def text(self, tag: int) -> str:
        """Return the text of a tag, "" if it is absent or of another type."""
        value = self._values.get(tag)
        return _text(value.data) if value is not None and value.kind == _ASCII else ""

    def exif(self, tag: int) -> Any:
        """Return a tag as `Value.exif` does; None if it is absent."""
        value = self._values.get(tag)
        return None if value is None else value.exif()

    @property
    def pixels(self) -> int:
        """Width times height, 0 if unknown."""
        return self.number(tn.IMAGE_WIDTH, 0) * self.number(tn.IMAGE_LENGTH, 0)


class TiffReader:
    """Reader of the directories of a TIFF, or of a TIFF inside another file."""

    def __init__(self, file: BinaryIO, start: int = 0, size: int | None = None) -> None:
        """Read the header.

        Args:
            file: The open file.
            start: Position in the file at which the TIFF begins. Offsets are relative to it.
            size: Length of the TIFF; by default the rest of the file.

        Raises:
            TiffError: The header is not that of a TIFF.
        """
        self._file = file
        self._start = start
        self._size = file.seek(0, 2) - start if size is None else size
        self._budget = self._size
        head = self._at(0, 16)
        self._order = "<" if head[:2] == b"II" else ">"
        is_big = head[:4] in _BIG
        if head[:4] not in _CLASSIC + _BIG:
            raise TiffError("no TIFF header")
        self._count_bytes, self._field_bytes = (8, 8) if is_big else (2, 4)
        self.first = self._int(head[8:16] if is_big else head[4:8])

    def chain(self, tags: frozenset[int]) -> tuple[Directory, ...]:
        """Read all directories: the chain from the first one, and the SubIFDs of each.

        Args:
            tags: Numbers of the tags to read.

        Raises:
            TiffError: The directories are damaged.
        """
        found: list[Directory] = []
        seen: set[int] = set()
        offset = self.first
        while offset and offset not in seen and len(found) < MAX_DIRECTORIES:
            seen.add(offset)
            directory, following = self._read(offset, tags | {tn.SUB_IFDS})
            found.append(directory)
            for below in directory.array(tn.SUB_IFDS)[:MAX_DIRECTORIES].tolist():
                if below not in seen:
                    seen.add(below)
                    found.append(self._read(int(below), tags)[0])
            offset = following
        return tuple(found)

    def directory(self, offset: int, tags: frozenset[int]) -> Directory:
        """Read the directory at an offset.

        Raises:
            TiffError: The directory is damaged.
        """
        return self._read(offset, tags)[0]

    def first_has(self, tag: int) -> bool:
        """Return True if the first directory contains a tag, even if the directory is truncated."""
        return bool((self._table(self.first)["tag"] == tag).any())

    def _read(self, offset: int, tags: frozenset[int]) -> tuple[Directory, int]:
        """Return the directory at an offset and the offset of the next one, 0 if it is the last."""
        table = self._table(offset)
        if len(table) == 0 or len(table) < self._count(offset):
            raise TiffError(f"the directory at byte {offset} is truncated or empty")
        values: dict[int, Value] = {}
        for row in table[np.isin(table["tag"], list(tags))]:
            value = self._value(int(row["kind"]), int(row["count"]), row["field"].tobytes())
            if value is not None:
                values.setdefault(int(row["tag"]), value)
        following = offset + self._count_bytes + table.nbytes
        return Directory(values, offset), self._int(self._at(following, self._field_bytes))

    def _count(self, offset: int) -> int:
        return self._int(self._at(offset, self._count_bytes))

    def _table(self, offset: int) -> NDArray[Any]:
        """Return the entries of a directory that lie within the file."""
        width = self._field_bytes
        entry = np.dtype(
            [("tag", self._order + "u2"), ("kind", self._order + "u2")]
            + [("count", f"{self._order}u{width}"), ("field", f"V{width}")]
        )
        count = min(self._count(offset), _MAX_ENTRIES)
        table = self._at(offset + self._count_bytes, count * entry.itemsize)
        return np.frombuffer(table[: len(table) // entry.itemsize * entry.itemsize], entry)

    def _value(self, kind: int, count: int, field: bytes) -> Value | None:
        """Return a value; None if its type is unknown or it lies outside the file.

        Raises:
            TiffError: All values together contain more bytes than the file.
        """
        if kind not in _TYPES:
            return None
        length = count * np.dtype(_TYPES[kind]).itemsize * (2 if kind in _RATIONALS else 1)
        if length <= len(field):
            return Value(kind, field[:length], self._order)
        offset = self._int(field)
        if offset + length > self._size:
            return None
        self._budget -= length
        if self._budget < 0:
            raise TiffError("its tags claim more data than the file contains")
        return Value(kind, self._at(offset, length), self._order)

    def _int(self, field: bytes) -> int:
        return int.from_bytes(field, "little" if self._order == "<" else "big")

    def _at(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= self._size:
            return b""
        self._file.seek(self._start + offset)
        return self._file.read(min(length, self._size - offset))


def _text(data: bytes) -> str:
    """Decode text up to its first zero: UTF-8, otherwise Windows-1252, which some cameras write."""
    data = data.split(b"\0", 1)[0].strip()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
