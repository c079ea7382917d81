"""The tags of a raw file: EXIF through exifread, the TIFF directories of DNG and its kin through tifffile.

exifread skips long values and doubles and does not know which directory holds the raw picture, so all
that describes pixels (levels, colour, strips) comes through tifffile.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import exifread
import tifffile

from burstfix.errors import InputError
from burstfix.io import tag_numbers as tn
from burstfix.io.read.user_comment import USER_COMMENT, read_user_comment
from burstfix.types import ExifTags

MAX_PIXELS = 1_000_000_000

# More directories than any camera writes; a hostile file may chain millions.
_MAX_DIRECTORIES = 64

# RAF and CR3 keep their tags at the front.
_HEAD_BYTES = 1 << 18

# Descriptive tags of a TIFF's first directory worth carrying (TIFF 6.0, EXIF 2.32 table 4),
# and what Windows calls rating, title, comment, author, keywords and subject.
_IMAGE_TAGS = frozenset({270, 271, 272, 274, 305, 306, 315, 33432, 18246, 18249} | set(range(40091, 40096)))
# EXIF 2.32 tables 7 and 8, without what describes the raw file rather than the photograph: MakerNote
# (its offsets break when moved), pixel sizes, component layout, colour space, the interoperability link.
_EXIF_TAGS = frozenset(
    {33434, 33437, 34850, 34852, 34855, 36864, 36867, 36868, 36880, 36881, 36882, 37520, 37521, 37522}
    | set(range(34864, 34870))
    | set(range(37377, 37387))
    | set(range(37888, 37894))
    | {41483, 41486, 41487, 41488, 41492, 41493, 41495, 41728, 41729, 42016, 42240}
    | set(range(41985, 41997))
    | set(range(42032, 42038))
)
_BODY_SERIAL_NUMBER, _LENS_SPECIFICATION = 42033, 42034
_GPS_TAGS = frozenset(range(32))


class Directory:
    """One TIFF directory: tag numbers to values, always tuples of numbers, or str, or bytes."""

    def __init__(self, values: Mapping[int, Any]) -> None:
        self._values = values

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def numbers(self, tag: int) -> tuple[int | float | Fraction, ...]:
        """The tag's numbers; empty when it is absent or is no number. Undefined fractions are NaN."""
        value = self._values.get(tag, ())
        if isinstance(value, bytes):
            return tuple(value)
        return value if isinstance(value, tuple) else ()

    def data(self, tag: int) -> bytes:
        """The tag's bytes; empty when it is absent or of another type."""
        value = self._values.get(tag, b"")
        if isinstance(value, tuple) and all(isinstance(x, int) and 0 <= x < 256 for x in value):
            return bytes(value)  # a single byte, or many that stand one by one
        return value if isinstance(value, bytes) else b""

    def number(self, tag: int, default: int) -> int:
        """The tag's first number as an int."""
        values = self.numbers(tag)
        return int(values[0]) if values and math.isfinite(values[0]) else default

    def text(self, tag: int) -> str:
        """The tag's text, "" when absent."""
        value = self._values.get(tag, "")
        return value if isinstance(value, str) else ""

    @property
    def pixels(self) -> int:
        """Width times height, 0 where not given."""
        return self.number(tn.IMAGE_WIDTH, 0) * self.number(tn.IMAGE_LENGTH, 0)


@dataclass(frozen=True, slots=True)
class FileTags:
    """What a file says about itself.

    Attributes:
        path: The file.
        size: Its length in bytes.
        exif: Tags worth carrying to the output.
        directories: TIFF directories, the first one first; empty for other containers.
        raw: The directory of the raw picture, if one can be told.
    """

    path: Path
    size: int
    exif: ExifTags = field(default_factory=ExifTags)
    directories: tuple[Directory, ...] = ()
    raw: Directory | None = None

    @property
    def is_dng(self) -> bool:
        """Whether the file is a DNG."""
        return bool(self.directories) and tn.DNG_VERSION in self.directories[0]

    @property
    def packet(self) -> bytes:
        """The XMP packet of the first directory, b"" where there is none."""
        return self.directories[0].data(tn.XMP) if self.directories else b""

    def find(self, tag: int) -> Directory:
        """The directory that holds a DNG tag: the raw picture's own, else the first."""
        if self.raw is not None and tag in self.raw:
            return self.raw
        return self.directories[0] if self.directories else Directory({})

    def numbers(self, tag: int) -> tuple[int | float | Fraction, ...]:
        """Numbers of a DNG tag, from wherever it stands."""
        return self.find(tag).numbers(tag)


def read_tags(path: Path) -> FileTags:
    """Reads a file's tags, whatever the container; unknown containers give empty tags.

    Raises:
        InputError: The file claims more than a gigapixel, lacks picture data that its directories
            point to, or is a DNG whose directories are damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        found = _find_exif(file)
        file.seek(0)
        try:
            directories = _read_directories(file)
        except tifffile.TiffFileError as error:
            # Other raws do without: LibRaw knows their cameras.
            if tn.DNG_VERSION in found.image:
                raise InputError(f"{path}: the DNG's directories are damaged ({error})") from error
            directories = ()
    image = {tag: value for tag, value in found.image.items() if tag in _IMAGE_TAGS}
    exif = ExifTags(image, {**_dng_facts(directories), **found.exif}, found.gps)
    raw = _raw_directory(directories)
    tags = FileTags(path, size, exif, directories, raw)
    for directory in directories:
        if directory.pixels > MAX_PIXELS:
            raise InputError(
                f"{path}: claims {directory.pixels / 1e6:.0f} megapixels; more than {MAX_PIXELS // 10**6} "
                "are not read"
            )
    _check_data_is_there(tags)
    return tags


def _dng_facts(directories: tuple[Directory, ...]) -> dict[int, Any]:
    """What a DNG's first directory says of body and lens, as EXIF says it; some DNGs have it there alone."""
    if not directories:
        return {}
    serial = directories[0].text(tn.CAMERA_SERIAL_NUMBER).strip()
    lens = directories[0].numbers(tn.LENS_INFO)
    facts: dict[int, Any] = {_BODY_SERIAL_NUMBER: serial} if serial else {}
    if len(lens) == 4 and all(map(math.isfinite, lens)):
        facts[_LENS_SPECIFICATION] = tuple(Fraction(x) for x in lens)
    return facts


def _read_directories(file: BinaryIO) -> tuple[Directory, ...]:
    """All directories of a TIFF; none of any other file.

    Raises:
        tifffile.TiffFileError: They are damaged.
    """
    if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return ()
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tif:
            pages: list[Any] = []
            for page in tif.pages:
                pages.append(page)
                pages.extend((getattr(page, "pages", None) or ())[:_MAX_DIRECTORIES])
                if len(pages) > _MAX_DIRECTORIES:
                    break
            return tuple(Directory(_page_values(page)) for page in pages)
    except (MemoryError, tifffile.TiffFileError):
        raise
    except Exception as error:  # tifffile meets tags of wrong types with whatever its code stumbles over
        raise tifffile.TiffFileError("values of wrong types") from error


def _page_values(page: Any) -> dict[int, Any]:
    """Values of a tifffile page's tags, rationals as fractions; tags that cannot be read are left out."""
    values: dict[int, Any] = {}
    for tag in page.tags:
        if tag.code in (tn.EXIF_POINTER, tn.GPS_POINTER):
            continue  # exifread reads these
        value = tag.value
        if isinstance(value, (str, bytes)):
            values[tag.code] = value
            continue
        items = value if isinstance(value, tuple) else (value,)
        if int(tag.dtype) in (5, 10) and len(items) % 2 == 0:
            items = tuple(
                Fraction(n, d) if d else math.nan for n, d in zip(items[::2], items[1::2], strict=True)
            )
        if all(isinstance(x, (int, float, Fraction)) for x in items):
            values[tag.code] = tuple(int(x) if isinstance(x, int) else x for x in items)
    return values


def _raw_directory(directories: tuple[Directory, ...]) -> Directory | None:
    """The full-size raw picture (DNG specification 1.7, "NewSubFileType": 0 marks it)."""
    raws = [
        d
        for d in directories
        if d.number(tn.PHOTOMETRIC, -1) in (tn.PHOTOMETRIC_CFA, tn.PHOTOMETRIC_LINEAR_RAW)
    ]
    main = [d for d in raws if d.number(tn.NEW_SUBFILE_TYPE, 0) == 0] or raws
    return max(main, key=lambda d: d.pixels, default=None)


def _check_data_is_there(tags: FileTags) -> None:
    """Refuses files that end before their pictures do (LibRaw may fill the rest with zeros in silence)."""
    reach = 0
    for directory in tags.directories:
        offsets = directory.numbers(tn.STRIP_OFFSETS) or directory.numbers(tn.TILE_OFFSETS)
        lengths = directory.numbers(tn.STRIP_BYTES) or directory.numbers(tn.TILE_BYTES)
        # Some cameras write wrong lengths, so outside DNG a strip need only start within the file.
        strict = tags.is_dng and directory is tags.raw
        for offset, length in zip_longest(offsets, lengths, fillvalue=0):
            reach = max(reach, int(offset) + (int(length) if strict else 1))
    if reach > tags.size:
        raise InputError(
            f"{tags.path}: the file is cut off: its picture data reach to byte {reach} or beyond, "
            f"the file has {tags.size} bytes"
        )


def _find_exif(file: BinaryIO) -> ExifTags:
    """EXIF wherever it stands in the file; `image` holds all tags of the first directory."""
    image: dict[int, Any] = {}
    exif: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    for source, is_gps in _exif_sources(file):
        if (comment := None if is_gps else read_user_comment(source)) is not None:
            exif[USER_COMMENT] = comment
        source.seek(0)
        try:
            found = exifread.process_file(source, details=False, extract_thumbnail=False)
        except MemoryError:
            raise
        except Exception:  # exifread meets damage with whatever its code stumbles over
            continue
        for name, tag in found.items():
            group = "GPS" if is_gps else name.split(" ", 1)[0]
            number = getattr(tag, "tag", None)
            value = _exif_value(tag) if number is not None else None
            if number is None or value is None:
                continue
            if group == "GPS" and number in _GPS_TAGS:
                gps[number] = value
            elif group == "EXIF" and number in _EXIF_TAGS:
                exif[number] = value
            elif group == "Image":
                image[number] = value
                if number in _EXIF_TAGS:
                    exif.setdefault(number, value)  # TIFF/EP keeps EXIF tags in the first directory
    return ExifTags(image, exif, gps)


def _exif_sources(file: BinaryIO) -> list[tuple[BinaryIO, bool]]:
    """The parts of the file that exifread understands, each with whether it is a GPS directory alone.

    That is the file itself for all that resembles TIFF; for a RAF the JPEG inside; for a CR3 the boxes
    CMT1 (first directory), CMT2 (EXIF) and CMT4 (GPS), each a small TIFF of its own.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"FUJIFILMCCD-RAW"):
        start, length = (int.from_bytes(head[k : k + 4], "big") for k in (84, 88))
        file.seek(start)
        return [(io.BytesIO(file.read(min(length, _HEAD_BYTES))), False)]
    if head[4:12] == b"ftypcrx ":
        sources: list[tuple[BinaryIO, bool]] = []
        for box in (b"CMT1", b"CMT2", b"CMT4"):
            at = head.find(box)
            if at >= 4:
                end = at - 4 + int.from_bytes(head[at - 4 : at], "big")
                sources.append((io.BytesIO(head[at + 4 : end]), box == b"CMT4"))
        return sources
    return [(file, False)]


def _exif_value(tag: Any) -> Any:
    """An exifread tag's value as ExifTags wants it; None when it is empty, undefined or of a float type."""
    kind, values = tag.field_type, tag.values
    if kind == 2:
        if isinstance(values, bytes):  # what is no UTF-8
            values = values.decode("cp1252", "replace")
        text = values if isinstance(values, str) else ""
        return text.split("\0", 1)[0].strip() or None
    if not isinstance(values, (list, tuple)) or not values:
        return None
    if kind in (1, 7):
        return _to_bytes(values)
    if kind in (3, 4, 8, 9):
        numbers = tuple(int(x) for x in values)
        return numbers[0] if len(numbers) == 1 else numbers
    if kind in (5, 10):
        pairs = [(x.num, x.den) if hasattr(x, "num") else (x.numerator, x.denominator) for x in values]
        if any(d == 0 for _, d in pairs):
            return None
        fractions = tuple(Fraction(n, d) for n, d in pairs)
        return fractions[0] if len(fractions) == 1 else fractions
    return None


def _to_bytes(values: Iterable[Any]) -> bytes | None:
    items = list(values)
    return bytes(items) if all(isinstance(x, int) and 0 <= x < 256 for x in items) else None
