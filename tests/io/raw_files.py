"""Raw files that the reading tests make for themselves."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.io import write_cfa_dng
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile

MATRIX = np.array([[0.8, -0.25, -0.08], [-0.45, 1.25, 0.2], [-0.09, 0.22, 0.6]])
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def make_metadata(height: int = 48, width: int = 64, **changes: Any) -> FrameMetadata:
    """Plausible metadata of a small frame."""
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
    """A small DNG of random pixels."""
    return write_cfa_dng(path, make_mosaic(height, width, seed), make_metadata(height, width, **changes))


def entries(data: bytes) -> dict[int, int]:
    """Where the 12 bytes of each tag of a little-endian TIFF's first directory stand."""
    (start,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    places = [start + 2 + 12 * k for k in range(count)]
    return {struct.unpack_from("<H", data, place)[0]: place for place in places}


def set_tag(path: Path, tag: int, *values: int) -> None:
    """Overwrites a tag's values where they stand, keeping its type; the count may shrink."""
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
    """Gives a tag another number, which hides it (readers do not mind the order)."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, entries(data)[tag], new)
    path.write_bytes(data)
