"""Raw files generated for the tests of reading."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from burstfix.io import write_cfa_dng
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile

MATRIX = np.array([[0.8, -0.25, -0.08], [-0.45, 1.25, 0.2], [-0.09, 0.22, 0.6]])
TIFF_TYPES = {
    **{1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4"},
    **{11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"},
}
TIFF_SIZES = {
    kind: np.dtype(name).itemsize * (2 if kind in (5, 10) else 1) for kind, name in TIFF_TYPES.items()
}


def make_metadata(height: int = 48, width: int = 64, **changes: Any) -> FrameMetadata:
    """Return plausible metadata of a small frame."""
    plain = FrameMetadata(
        path=Path("unwritten"),
        height=height,
        width=width,
        cfa="RGGB",
        levels=Levels(np.full((2, 2), 64, np.float32), 1023.0),
        color=ColorProfile(MATRIX, np.array([0.5, 1.0, 0.7])),
        noise=NoiseProfile((1e-3,) * 4, (1e-6,) * 4, "file"),
        make="Acme",
        model="One",
        iso=800.0,
        exposure_time=1 / 30,
        aperture=1.8,
        focal_length=4.5,
        time=datetime(2024, 5, 6, 7, 8, 9),
    )
    return replace(plain, **changes)


def make_mosaic(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(64, 1024, (height, width)).astype(np.uint16)


def write_raw(path: Path, seed: int = 0, height: int = 48, width: int = 64, **changes: Any) -> Path:
    """Write a small DNG of random pixels."""
    return write_cfa_dng(path, make_mosaic(height, width, seed), make_metadata(height, width, **changes))


def entries(data: bytes) -> dict[int, int]:
    """Return the offset of each tag's entry in the first directory of a little-endian TIFF."""
    (start,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    places = [start + 2 + 12 * k for k in range(count)]
    return {struct.unpack_from("<H", data, place)[0]: place for place in places}


def set_tag(path: Path, tag: int, *values: int) -> None:
    """Overwrite the values of a tag in place and keep its type. The new count may be smaller."""
    data = bytearray(path.read_bytes())
    place = entries(data)[tag]
    _, kind, count, value = struct.unpack_from("<HHLL", data, place)
    assert len(values) <= count
    size = TIFF_SIZES[kind]
    where = place + 8 if size * count <= 4 else value
    struct.pack_into(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'L'}[kind] }", data, where, *values)
    struct.pack_into("<L", data, place + 4, len(values))
    path.write_bytes(data)


def rename_tag(path: Path, tag: int, new: int) -> None:
    """Hide a tag by changing its number. Readers accept tags in any order."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, entries(data)[tag], new)
    path.write_bytes(data)


@dataclass(frozen=True)
class Tag:
    """A tag for `tiff_file`: numbers, or bytes as in the file."""

    number: int
    kind: int
    values: Sequence[float] | bytes

    def data(self, order: str) -> bytes:
        if isinstance(self.values, bytes):
            return self.values
        if self.kind in (5, 10):  # halves
            pairs = [x for value in self.values for x in (int(value), 2)]
            return np.array(pairs, order + ("u4" if self.kind == 5 else "i4")).tobytes()
        return np.array(self.values, order + TIFF_TYPES[self.kind]).tobytes()


BYTE, SHORT, LONG, RATIONAL, SRATIONAL = 1, 3, 4, 5, 10
CFA_TAGS = (Tag(33421, SHORT, (2, 2)), Tag(33422, BYTE, (0, 1, 1, 2)))
LEVEL_TAGS = (Tag(50714, SHORT, (64,)), Tag(50717, SHORT, (1023,)))


def write_several(path: Path, mosaics: Sequence[NDArray[np.uint16]], *tags: Tag) -> Path:
    """Write a DNG with a preview and several 10-bit raws, like a pixel shift camera."""

    def extra(*tags: Tag) -> list[Any]:
        return [(t.number, t.kind, len(t.values), tuple(t.values), True) for t in tags]

    with tifffile.TiffWriter(path) as tif:
        shared = extra(Tag(50706, BYTE, (1, 4, 0, 0)), *tags)
        tif.write(
            np.zeros((8, 8), np.uint8), subifds=len(mosaics), subfiletype=1, metadata=None, extratags=shared
        )
        for mosaic in mosaics:
            tags = (*CFA_TAGS, *LEVEL_TAGS)
            tif.write(mosaic, photometric=32803, subfiletype=0, metadata=None, extratags=extra(*tags))
    return path


def tiff_file(
    directories: Sequence[Sequence[Tag]],
    *,
    below: Sequence[Sequence[Tag]] = (),
    order: str = "<",
    big: bool = False,
    share: bool = False,
) -> bytes:
    """Build a TIFF without pixels, directory by directory.

    Args:
        directories: Tags of each directory of the chain.
        below: SubIFDs of the first directory.
        order: "<" or ">".
        big: Write a BigTIFF.
        share: Write equal values only once.
    """
    field = 8 if big else 4
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    data = bytearray(magic + (struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "L", 0)))
    link = len(data) - field  # position for the offset of the next directory
    values: dict[bytes, int] = {}

    def add(tags: Sequence[Tag]) -> int:
        table = b""
        for tag in sorted(tags, key=lambda tag: tag.number):
            value = tag.data(order)
            count = len(value) // TIFF_SIZES.get(tag.kind, 1)
            if len(value) > field:
                if not share or value not in values:
                    values[value] = len(data)
                    data.extend(value + b"\0" * (len(value) % 2))
                value = struct.pack(order + ("Q" if big else "L"), values[value])
            head = struct.pack(order + ("HHQ" if big else "HHL"), tag.number, tag.kind, count)
            table += head + value.ljust(field, b"\0")
        start = len(data)
        data.extend(struct.pack(order + ("Q" if big else "H"), len(tags)) + table + bytes(field))
        return start

    offsets = [add(tags) for tags in below]
    for k, tags in enumerate(directories):
        start = add([*tags, Tag(330, 13, offsets)] if k == 0 and offsets else tags)
        struct.pack_into(order + ("Q" if big else "L"), data, link, start)
        link = len(data) - field
    return bytes(data)
