"""PNG files: 8 or 16 bits, with an ICC profile, EXIF and XMP (PNG third edition)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np

from burstfix.io.write.picture_tags import PictureTags, exif_block_within
from burstfix.io.write.pixels import Pixels

_LEVEL = 3  # higher levels take longer and hardly reduce the size, because photographs are noisy
_HEADER = 8 + 25  # signature and IHDR
_MAX_EXIF = 1 << 24


def write_png(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) pixels as a PNG; `quality` is not used.

    Source: PNG third edition, chapter 11 (iCCP, eXIf, iTXt).
    """
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_LEVEL)
    xmp = b"XML:com.adobe.xmp\0" + b"\0\0" + b"\0" + b"\0" + tags.xmp  # not compressed, no language
    with open(path, "wb") as file:
        file.write(encoded[:_HEADER])
        file.write(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9)))
        file.write(_chunk(b"eXIf", exif_block_within(tags.exif, _MAX_EXIF)))
        file.write(_chunk(b"iTXt", xmp))
        file.write(memoryview(encoded)[_HEADER:])


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Encode a chunk (PNG third edition, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
