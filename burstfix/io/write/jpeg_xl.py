"""JPEG XL files: 8 or 16 bits in sRGB, with EXIF and XMP (ISO/IEC 18181-2)."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np

from burstfix.io.write.exif_ifd import exif_block
from burstfix.io.write.picture_tags import PictureTags
from burstfix.io.write.pixels import Pixels

_EFFORT = 3  # higher efforts take many times as long for a few percent smaller files


def write_jpeg_xl(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) sRGB pixels as a JPEG XL. `icc` is not used, because the codestream states sRGB.

    Quality 100 is lossless.
    """
    encoded = imagecodecs.jpegxl_encode(
        np.ascontiguousarray(pixels),
        distance=_distance(quality),
        lossless=quality == 100,
        effort=_EFFORT,
        usecontainer=True,
    )
    start = _first_codestream_box(encoded)
    with open(path, "wb") as file:
        file.write(memoryview(encoded)[:start])
        file.write(_box(b"Exif", b"\0\0\0\0" + exif_block(tags.exif)))  # offset of the TIFF, then the TIFF
        file.write(_box(b"xml ", tags.xmp))
        file.write(memoryview(encoded)[start:])


def _distance(quality: int) -> float:
    """Convert a quality to a Butteraugli distance: 0 at 100, 1 (hardly visible) at 90.

    >>> _distance(90), _distance(100)
    (1.0, 0.0)
    """
    if quality == 100:
        return 0.0
    distance = 0.1 + 0.09 * (100 - quality) if quality >= 30 else min(25.0, 6.4 + 0.62 * (30 - quality))
    return round(distance, 3)


def _first_codestream_box(container: bytes | bytearray) -> int:
    """Return the offset of the picture in a container, after the boxes for signature, type and level."""
    start = 0
    while container[start + 4 : start + 8] not in (b"jxlc", b"jxlp"):
        start += struct.unpack_from(">I", container, start)[0]
    return start


def _box(kind: bytes, data: bytes) -> bytes:
    """Encode a box (ISO/IEC 14496-12, 4.2)."""
    return struct.pack(">I", len(data) + 8) + kind + data
