"""CR3 files without pixels, but with all boxes that LibRaw needs to open them."""

from __future__ import annotations

import struct
from pathlib import Path

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
OFFSET_OF_PIXELS = 3000
FRAME_BYTES = 100


def write_cr3(path: Path, *frames_of_tracks: int, height: int = 480, width: int = 640) -> Path:
    """Write a CR3 with one raw track per entry of `frames_of_tracks`, and two smaller tracks."""
    tracks = [
        _track(height // 2, width // 2, 1, _box(b"JPEG", bytes(4))),
        _track(height // 2, width // 2, 1, _compression(height // 2, width // 2)),
        *(_track(height, width, frames, _compression(height, width)) for frames in frames_of_tracks),
    ]
    names = _tiff({271: b"Canon\0", 272: b"Canon EOS R6\0"})
    about = _box(b"uuid", _CANON, _box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00"), _box(b"CMT1", names))
    head = _box(b"ftyp", b"crx \0\0\0\1crx isom")
    path.write_bytes(head + _box(b"moov", about, *tracks) + _box(b"mdat", bytes(4096)))
    return path


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">L4s", 8 + len(body), name) + body


def _tiff(texts: dict[int, bytes]) -> bytes:
    entries, values = b"", b""
    start = 8 + 2 + 12 * len(texts) + 4
    for tag, text in texts.items():
        entries += struct.pack("<HHLL", tag, 2, len(text), start + len(values))
        values += text
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(texts)) + entries + bytes(4) + values


def _compression(height: int, width: int) -> bytes:
    """Return the box with the properties of the compressed pixels: 14 bits, 4 planes, lossless."""
    sizes = struct.pack(">HHHHLLLL", 0xFFFF, 0x30, 0x100, 0, width, height, width, height)
    return _box(b"CMP1", sizes, bytes([14, 0x40, 0, 0]), struct.pack(">L", 0x6C), bytes(20))


def _track(height: int, width: int, frames: int, kind: bytes) -> bytes:
    entry = struct.pack(">6xH16xHHLLLH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1)
    description = _box(b"stsd", struct.pack(">LL", 0, 1), _box(b"CRAW", entry.ljust(82, b"\0"), kind))
    chunks = _box(b"stsc", struct.pack(">LLLLL", 0, 1, 1, frames, 1))
    sizes = _box(
        b"stsz", struct.pack(">LLL", 0, 0, frames), struct.pack(f">{frames}L", *[FRAME_BYTES] * frames)
    )
    offsets = _box(b"co64", struct.pack(">LLQ", 0, 1, OFFSET_OF_PIXELS))
    handler = _box(b"hdlr", struct.pack(">LL4s13x", 0, 0, b"vide"))
    table = _box(b"stbl", description, chunks, sizes, offsets)
    return _box(b"trak", _box(b"mdia", handler, _box(b"minf", table)))
