"""Read the tags of a raw file, and check that the file can contain the claimed number of pixels."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from burstfix.errors import InputError
from burstfix.io import tag_numbers as tn
from burstfix.io.read.exif import read_exif
from burstfix.io.read.tiff import Directory, TiffError, TiffReader
from burstfix.types import ExifTags

MAX_PIXELS = 1_000_000_000

MAX_PIXELS_PER_BYTE = 500
"""Limit against hostile files. A flat grey JPEG has 85 pixels per byte, deflated zeros have 500."""

MIN_PIXELS_REFUSED = 1_000_000
"""Smaller pictures are never refused, because they need little memory."""

_HEADER_BYTES = 8  # of a TIFF
_BODY_SERIAL_NUMBER, _LENS_SPECIFICATION = 42033, 42034
_DIRECTORY_TAGS = frozenset(number for number in vars(tn).values() if isinstance(number, int))
_NOT_COMPRESSED = 1
_SAME_IN_ALL_RAWS = (
    *(tn.IMAGE_WIDTH, tn.IMAGE_LENGTH, tn.PHOTOMETRIC, tn.SAMPLES_PER_PIXEL, tn.BITS_PER_SAMPLE),
    *(tn.COMPRESSION, tn.CFA_REPEAT, tn.CFA_PATTERN),
)


@dataclass(frozen=True, slots=True)
class FileTags:
    """The tags of a file.

    Attributes:
        path: The file.
        size: Length of the file in bytes.
        exif: Tags to copy to the output.
        directories: TIFF directories, the first one first; empty for other containers.
        raw: Directory of the raw picture; None if unknown.
        raw_index: Index of this raw among those of the file.
        raw_count: Number of equal raws in the file (pixel shift).
    """

    path: Path
    size: int
    exif: ExifTags = field(default_factory=ExifTags)
    directories: tuple[Directory, ...] = ()
    raw: Directory | None = None
    raw_index: int = 0
    raw_count: int = 1

    @property
    def is_dng(self) -> bool:
        """True for a DNG."""
        return bool(self.directories) and tn.DNG_VERSION in self.directories[0]

    @property
    def packet(self) -> bytes:
        """The XMP packet of the first directory, b"" if there is none."""
        return self.directories[0].data(tn.XMP) if self.directories else b""

    def find(self, tag: int) -> Directory:
        """Return the directory that contains a DNG tag: that of the raw picture, otherwise the first."""
        if self.raw is not None and tag in self.raw:
            return self.raw
        return self.directories[0] if self.directories else Directory()

    def numbers(self, tag: int) -> tuple[int | float, ...]:
        """Return the numbers of a DNG tag from the directory that contains it."""
        return self.find(tag).numbers(tag)

    def integers(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of a DNG tag as ints; empty if one is not finite."""
        return self.find(tag).integers(tag)


def read_tags(path: Path, raw_index: int = 0) -> FileTags:
    """Read the tags of a file in any container. The result for unknown containers is empty.

    Args:
        path: The file.
        raw_index: Index of the requested raw in the file.

    Raises:
        InputError: The file has no raw with this index, claims more pixels than it can contain, lacks picture
            data to which its directories point, or is a DNG with damaged directories.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        directories = _read_directories(path, file)
        exif = read_exif(file)
    exif = ExifTags(exif.image, {**_camera_and_lens(directories), **exif.exif}, exif.gps)
    raws = _raw_directories(directories)
    if raws and raw_index >= len(raws):
        raise InputError(f"{path}: contains {len(raws)} raws; there is no raw {raw_index}")
    raw = raws[raw_index] if raws else None
    tags = FileTags(path, size, exif, directories, raw, raw_index, max(1, len(raws)))
    for directory in directories:
        samples = directory.number(tn.SAMPLES_PER_PIXEL, 1)
        check_claim(path, directory.pixels * max(1, samples), size, MAX_PIXELS_PER_BYTE)
    _check_picture_data(tags)
    return tags


def check_claim(path: Path, pixels: int, size: int, pixels_per_byte: float) -> None:
    """Check that a header does not claim more pixels than burstfix reads or the file can contain.

    Args:
        path: The file.
        pixels: Number of pixels that the header claims.
        size: Length of the file in bytes.
        pixels_per_byte: Maximum number of pixels per byte for the compression of such files.

    Raises:
        InputError: The claim is too large.
    """
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{path}: claims {pixels / 1e6:.0f} megapixels; at most {MAX_PIXELS // 10**6} are supported"
        )
    if pixels > max(MIN_PIXELS_REFUSED, size * pixels_per_byte):
        raise InputError(
            f"{path}: the file is truncated or damaged: it claims {pixels / 1e6:.0f} megapixels, which its "
            f"{size} bytes cannot hold"
        )


def _camera_and_lens(directories: tuple[Directory, ...]) -> dict[int, Any]:
    """Return camera and lens from the first directory as EXIF tags. Some DNGs name them only there."""
    if not directories:
        return {}
    serial = directories[0].text(tn.CAMERA_SERIAL_NUMBER)
    lens = directories[0].exif(tn.LENS_INFO)
    facts: dict[int, Any] = {_BODY_SERIAL_NUMBER: serial} if serial else {}
    if isinstance(lens, tuple) and len(lens) == 4:
        facts[_LENS_SPECIFICATION] = tuple(Fraction(x) for x in lens)
    return facts


def _read_directories(path: Path, file: BinaryIO) -> tuple[Directory, ...]:
    """Read all directories of a TIFF; return an empty result for any other file.

    Raises:
        InputError: A DNG has damaged directories. Other raws may still be readable by LibRaw.
    """
    try:
        reader = TiffReader(file)
    except TiffError:
        return ()
    try:
        return reader.chain(_DIRECTORY_TAGS)
    except TiffError as error:
        if reader.first_has(tn.DNG_VERSION):
            raise InputError(f"{path}: the DNG's directories are damaged ({error})") from error
        return ()


def _raw_directories(directories: tuple[Directory, ...]) -> list[Directory]:
    """Return the TIFF directories of the main raws.

    These are the ones with NewSubFileType 0 that have the size and format of the largest. If there is no such
    directory, only that of the largest raw is returned.
    """
    raws = [d for d in directories if d.number(tn.PHOTOMETRIC, -1) in tn.PHOTOMETRICS_OF_RAWS]
    marked = [d for d in raws if d.number(tn.NEW_SUBFILE_TYPE, 0) == 0]
    largest = max(marked or raws, key=lambda d: d.pixels, default=None)
    if largest is None or not marked:
        return [] if largest is None else [largest]
    return [d for d in marked if all(d.integers(t) == largest.integers(t) for t in _SAME_IN_ALL_RAWS)]


def _check_picture_data(tags: FileTags) -> None:
    """Check that the file contains all of its picture data, because LibRaw may replace missing data by zeros.

    Raises:
        InputError: The file is truncated, or its picture data begin in the header.
    """
    reach = 0
    for directory in tags.directories:
        name = tn.STRIP_OFFSETS if tn.STRIP_OFFSETS in directory else tn.TILE_OFFSETS
        offsets = directory.array(name).astype(np.float64)
        if not len(offsets):
            continue
        ends = offsets + 1
        # Some cameras write wrong lengths. Therefore only the start of a strip is checked, except in DNGs.
        if tags.is_dng and directory is tags.raw:
            if offsets.min() < _HEADER_BYTES:
                raise InputError(
                    f"{tags.path}: its picture data begin at byte {offsets.min():.0f}, which belongs to the "
                    "header; the file is damaged"
                )
            lengths = _lengths(directory, len(offsets))
            ends = offsets[: len(lengths)] + lengths
        reach = max(reach, int(ends.max(initial=0)))
    if reach > tags.size:
        raise InputError(
            f"{tags.path}: the file is truncated: its picture data end at byte {reach}, but the file has "
            f"only {tags.size} bytes"
        )


def _lengths(directory: Directory, count: int) -> np.ndarray:
    """Return the lengths of strips or tiles; for uncompressed pixels, at most the length that they need."""
    is_strips = tn.STRIP_OFFSETS in directory
    lengths = directory.array(tn.STRIP_BYTES if is_strips else tn.TILE_BYTES).astype(np.float64)[:count]
    if directory.number(tn.COMPRESSION, _NOT_COMPRESSED) != _NOT_COMPRESSED:
        return lengths
    height, width = directory.number(tn.IMAGE_LENGTH, 0), directory.number(tn.IMAGE_WIDTH, 0)
    bits = directory.number(tn.BITS_PER_SAMPLE, 16) * directory.number(tn.SAMPLES_PER_PIXEL, 1)
    if is_strips:
        rows = max(1, min(directory.number(tn.ROWS_PER_STRIP, height), height))
        rows_of = np.minimum(rows, height - rows * np.arange(len(lengths)))
    else:
        width = directory.number(tn.TILE_WIDTH, width)
        rows_of = np.full(len(lengths), directory.number(tn.TILE_LENGTH, height))
    return np.minimum(lengths, rows_of * math.ceil(width * bits / 8))
