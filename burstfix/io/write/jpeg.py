"""JPEG files: 8 bits at full colour resolution, with an ICC profile, EXIF and XMP."""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import replace
from pathlib import Path

from PIL import Image

from burstfix.io.write.picture_tags import PictureTags, exif_block_within
from burstfix.io.write.pixels import Pixels

logger = logging.getLogger(__name__)

_SEGMENT = 65533  # bytes in a segment, without its length field
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# Tags that EXIF requires in JPEG files only (EXIF 2.32, table 17).
_COMPONENTS, _PIXEL_WIDTH, _PIXEL_HEIGHT, _YCBCR_POSITIONING, _CENTRED = 37121, 40962, 40963, 531, 1


def write_jpeg(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) uint8 pixels as a JPEG.

    EXIF and XMP get one segment of 64 KiB each. Too long EXIF loses its longest tags, with a warning. Too
    long XMP loses the settings first.
    """
    height, width, _ = pixels.shape
    required = {_COMPONENTS: b"\1\2\3\0", _PIXEL_WIDTH: width, _PIXEL_HEIGHT: height}
    complete = replace(
        tags.exif,
        image={**tags.exif.image, _YCBCR_POSITIONING: _CENTRED},
        exif={**tags.exif.exif, **required},
    )
    segments = _segment(0xE1, _EXIF + exif_block_within(complete, _SEGMENT - len(_EXIF)))
    xmp = next((x for x in (tags.xmp, tags.short_xmp) if len(_XMP) + len(x) <= _SEGMENT), None)
    if xmp is None:
        logger.warning("XMP is too long for this format: it is left out")
    else:
        segments += _segment(0xE1, _XMP + xmp)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(
        encoded, "JPEG", quality=quality, subsampling=0, icc_profile=icc, optimize=True, dpi=(72, 72)
    )
    jpeg = encoded.getbuffer()
    # After the start of image and the JFIF segment: EXIF readers look there first.
    head = 2 + (2 + struct.unpack(">H", jpeg[4:6])[0] if jpeg[2:4] == b"\xff\xe0" else 0)
    with open(path, "wb") as file:
        file.write(jpeg[:head])
        file.write(segments)
        file.write(jpeg[head:])


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
