"""Read Canon's CRW container (Canon, "CIFF Specification", 1997)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_MAGIC = b"HEAPCCDR"
_CAMERA_TAG = 0x080A
_HEAP_TYPES = (0x2800, 0x3000)
_MAX_HEAPS, _MAX_ENTRIES = 64, 256  # cameras write about ten heaps of twenty entries
_MAX_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Camera:
    """Make and model of a camera."""

    make: str
    model: str


def read_camera(file: BinaryIO) -> Camera | None:
    """Return the camera stated in a CRW; None for other files."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(14)
    if head[6:14] != _MAGIC or head[:2] not in (b"II", b"MM"):
        return None
    order = "<" if head[:2] == b"II" else ">"
    (start,) = struct.unpack(order + "L", head[2:6])
    heaps = [(start, size - start)]
    for _ in range(_MAX_HEAPS):
        if not heaps:
            break
        start, size = heaps.pop()
        for kind, length, offset in _entries(file, order, start, size):
            if offset + length > size:
                continue
            if kind == _CAMERA_TAG:
                file.seek(start + offset)
                names = file.read(min(length, _MAX_NAME_BYTES)).decode("ascii", "replace").split("\0")
                return Camera(names[0].strip(), names[1].strip() if len(names) > 1 else "")
            if kind & 0x3800 in _HEAP_TYPES and kind & 0xC000 == 0:
                heaps.append((start + offset, length))
    return None


def _entries(file: BinaryIO, order: str, start: int, size: int) -> list[tuple[int, ...]]:
    """Return type, length and offset of the entries of a heap. Its last four bytes point to the entries."""
    if size < 4:
        return []
    file.seek(start + size - 4)
    directory = int.from_bytes(file.read(4), "little" if order == "<" else "big")
    file.seek(start + directory)
    count = int.from_bytes(file.read(2), "little" if order == "<" else "big")
    table = file.read(10 * min(count, _MAX_ENTRIES))
    return list(struct.iter_unpack(order + "HLL", table[: len(table) // 10 * 10]))
