"""Read the EXIF tags to copy to the output, from raws in any container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from burstfix.io import tag_numbers as tn
from burstfix.io.read import ciff
from burstfix.io.read.tiff import Directory, TiffError, TiffReader
from burstfix.types import ExifTags

# Descriptive tags of the first directory (TIFF 6.0; EXIF 2.32 table 4), and the Windows tags for rating,
# title, comment, author, keywords and subject.
_IMAGE_TAGS = frozenset({270, 271, 272, 274, 305, 306, 315, 33432, 18246, 18249} | set(range(40091, 40096)))
# EXIF 2.32 tables 7 and 8, without the tags that describe the raw file rather than the photograph: MakerNote
# (moving it breaks its offsets), pixel sizes, component layout, colour space, the interoperability pointer.
_EXIF_TAGS = frozenset(
    {33434, 33437, 34850, 34852, 34855, 36864, 36867, 36868, 36880, 36881, 36882, 37510, 37520, 37521, 37522}
    | set(range(34864, 34870))
    | set(range(37377, 37387))
    | set(range(37888, 37894))
    | {41483, 41486, 41487, 41488, 41492, 41493, 41495, 41728, 41729, 42016, 42240}
    | set(range(41985, 41997))
    | set(range(42032, 42038))
)
_GPS_TAGS = frozenset(range(32))
_POINTERS = frozenset({tn.EXIF_POINTER, tn.GPS_POINTER})
_MAKE, _MODEL, _USER_COMMENT = 271, 272, 37510

# RAF and CR3 files have their tags near the beginning, JPEGs in their first segments.
_HEAD_BYTES = 1 << 18
_MAX_VALUE_BYTES = 1 << 16  # the maximum in a JPEG; longer values indicate damage
_COMMENT_CODE_BYTES = 8  # length of the character code before the text (EXIF 2.32, 4.6.5)
_UTF_16 = b"UNICODE\0"


def read_exif(file: BinaryIO) -> ExifTags:
    """Read the EXIF of a file; skip damaged directories."""
    image: dict[int, Any] = {}
    exif: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    if (camera := ciff.read_camera(file)) is not None:
        image |= {_MAKE: camera.make, _MODEL: camera.model}
    for reader, is_gps in _readers(file):
        wanted = _GPS_TAGS if is_gps else _IMAGE_TAGS | _EXIF_TAGS | _POINTERS
        try:
            first = reader.directory(reader.first, wanted)
        except TiffError:
            continue
        if is_gps:
            gps |= _values(first, _GPS_TAGS)
            continue
        image |= _values(first, _IMAGE_TAGS)
        exif |= _values(_directory_at_pointer(reader, first, tn.EXIF_POINTER, _EXIF_TAGS), _EXIF_TAGS)
        gps |= _values(_directory_at_pointer(reader, first, tn.GPS_POINTER, _GPS_TAGS), _GPS_TAGS)
        # TIFF/EP files have EXIF tags in the first directory.
        exif = {**_values(first, _EXIF_TAGS), **exif}
    return ExifTags(image, exif, gps)


def _directory_at_pointer(
    reader: TiffReader, first: Directory, pointer: int, tags: frozenset[int]
) -> Directory:
    """Return the directory that a pointer tag refers to; empty if the tag is absent."""
    try:
        return reader.directory(first.number(pointer, 0), tags) if pointer in first else Directory()
    except TiffError:
        return Directory()


def _values(directory: Directory, tags: frozenset[int]) -> dict[int, Any]:
    found = {}
    for tag, value in directory.items():
        if tag not in tags or len(value.data) > _MAX_VALUE_BYTES:
            continue
        converted = value.exif()
        if tag == _USER_COMMENT:
            converted = _comment(converted, value.order)
        if converted is not None:
            found[tag] = converted
    return found


def _comment(value: Any, order: str) -> bytes | None:
    """Return a UserComment in little-endian order, which our files use; None if it is blank."""
    if not isinstance(value, bytes) or not value[_COMMENT_CODE_BYTES:].strip(b" \0"):
        return None
    if order == ">" and value.startswith(_UTF_16):
        text = value[_COMMENT_CODE_BYTES:].decode("utf-16-be", "replace")
        return _UTF_16 + text.encode("utf-16-le")
    return value


def _readers(file: BinaryIO) -> Iterator[tuple[TiffReader, bool]]:
    """Yield readers of the TIFFs that contain the tags; the flag is True if a TIFF has only a GPS directory.

    Most raws are TIFFs themselves. A RAF contains a JPEG with EXIF. A CR3 has the boxes CMT1 (first
    directory), CMT2 (EXIF) and CMT4 (GPS), each of which is a small TIFF.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    places: list[tuple[int, int | None, bool]] = []
    if head.startswith(b"FUJIFILMCCD-RAW"):
        start = int.from_bytes(head[84:88], "big")
        file.seek(start)
        at = file.read(_HEAD_BYTES).find(b"Exif\0\0")
        places += [(start + at + 6, None, False)] if at >= 0 else []
    elif head[4:12] == b"ftypcrx ":
        for box in (b"CMT1", b"CMT2", b"CMT4"):
            at = head.find(box)
            if at >= 4:
                size = int.from_bytes(head[at - 4 : at], "big") - 8
                places.append((at + 4, size, box == b"CMT4"))
    else:
        places.append((0, None, False))
    for start, size, is_gps in places:
        try:
            yield TiffReader(file, start, size), is_gps
        except TiffError:
            continue
