"""Write JPEG files: 8 bits, full colour resolution, ICC profile, EXIF with a thumbnail, and XMP."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from burstfix.io.write.picture_tags import PictureTags, exif_block_within
from burstfix.io.write.pixels import Pixels
from burstfix.io.write.xmp_packet import split_xmp

_SEGMENT = 65533  # maximum bytes in a segment, without its length field
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_THUMBNAIL_SIDE, _THUMBNAIL_QUALITY = 160, 80
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_PART = 65_400  # bytes of extended XMP in a segment (Adobe XMP specification part 3, 1.1.3.1)
# Tags that EXIF requires in JPEG files only (EXIF 2.32, table 17).
_COMPONENTS, _PIXEL_WIDTH, _PIXEL_HEIGHT, _YCBCR_POSITIONING, _CENTRED = 37121, 40962, 40963, 531, 1


def write_jpeg(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) uint8 pixels as a JPEG.

    EXIF must fit into one segment of 64 KiB; otherwise its longest tags are dropped with a warning. If XMP
    does not fit into one segment, its longest properties are written to segments of extended XMP.
    """
    height, width, _ = pixels.shape
    required = {_COMPONENTS: b"\1\2\3\0", _PIXEL_WIDTH: width, _PIXEL_HEIGHT: height}
    complete = replace(
        tags.exif,
        image={**tags.exif.image, _YCBCR_POSITIONING: _CENTRED},
        exif={**tags.exif.exif, **required},
    )
    exif = exif_block_within(complete, _SEGMENT - len(_EXIF), _thumbnail(pixels))
    segments = _segment(0xE1, _EXIF + exif)
    segments += _xmp_segments(tags)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(
        encoded, "JPEG", quality=quality, subsampling=0, icc_profile=icc, optimize=True, dpi=(72, 72)
    )
    jpeg = encoded.getbuffer()
    # Insert after the start of image and the JFIF segment, where EXIF readers look first.
    head = 2 + (2 + struct.unpack(">H", jpeg[4:6])[0] if jpeg[2:4] == b"\xff\xe0" else 0)
    with open(path, "wb") as file:
        file.write(jpeg[:head])
        file.write(segments)
        file.write(jpeg[head:])


def _thumbnail(pixels: Pixels) -> bytes:
    """Encode a small JPEG for file browsers."""
    step = max(1, max(pixels.shape[:2]) // (4 * _THUMBNAIL_SIDE))
    small = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=_THUMBNAIL_QUALITY, subsampling="4:2:0")
    return encoded.getvalue()


def _xmp_segments(tags: PictureTags) -> bytes:
    """Return XMP as one segment, followed by segments of extended XMP if it is too long for one."""
    xmp = split_xmp(tags.xmp_elements, _SEGMENT - len(_XMP))
    segments = _segment(0xE1, _XMP + xmp.standard)
    for offset in range(0, len(xmp.extended), _EXTENDED_PART):
        header = struct.pack(">II", len(xmp.extended), offset)
        part = xmp.extended[offset : offset + _EXTENDED_PART]
        segments += _segment(0xE1, _EXTENDED_XMP + xmp.guid + header + part)
    return segments


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
