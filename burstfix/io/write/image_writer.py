"""Finished pictures to files: TIFF, PNG and JPEG with ICC profile, EXIF and XMP."""

from __future__ import annotations

import io
import json
import logging
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError, UsageError
from burstfix.io.tag_numbers import XMP
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.io.write.picture_tags import SOFTWARE, PictureTags, exif_block_within, picture_tags
from burstfix.types import RenderedImage

logger = logging.getLogger(__name__)

# Speed against size: photographs keep their noise, so higher levels hardly gain anything.
_TIFF_LEVEL = 4
_PNG_LEVEL = 3

_STRIP_BYTES = 1 << 20
_MAX_TIFF_BYTES = (1 << 32) - (1 << 24)  # offsets of a classic TIFF have 32 bits; some room for tags

_JPEG_SEGMENT = 65533  # what a segment holds, its length field not counted
_JPEG_EXIF = b"Exif\0\0"
# Tags that EXIF asks of JPEG alone (EXIF 2.32, table 17).
_COMPONENTS, _PIXEL_WIDTH, _PIXEL_HEIGHT, _YCBCR_POSITIONING, _CENTRED = 37121, 40962, 40963, 531, 1
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"

_PNG_HEADER = 8 + 25  # signature and IHDR

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def write_image(
    image: RenderedImage,
    path: Path | str,
    *,
    bit_depth: int | None = None,
    quality: int = 95,
    overwrite: bool = False,
) -> Path:
    """Writes a picture; the format follows from the name: .tif, .tiff, .png, .jpg or .jpeg.

    The file carries the ICC profile, the EXIF tags of the reference frame, Software, and the settings as JSON
    (ImageDescription) and as XMP. It appears whole or not at all.

    Args:
        image: What to write; it is upright already.
        path: Where to write it; the folder must exist.
        bit_depth: 8 or 16 for TIFF and PNG (16 by default), 8 for JPEG.
        quality: Of JPEG, 1 to 100; colour is never subsampled.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path written.

    Raises:
        OutputError: The file exists, or the suffix is not known, or it cannot be written.
        UsageError: The format does not have that bit depth, or quality is out of range.
    """
    target = Path(path)
    kind = _format_of(target)
    depth = kind.depths[0] if bit_depth is None else bit_depth
    if depth not in kind.depths:
        have = " or ".join(str(d) for d in kind.depths)
        raise UsageError(f"{target}: {kind.name} has {have} bits a channel here, not {depth}")
    if not 1 <= quality <= 100:
        raise UsageError(f"{target}: quality {quality} is not within 1 to 100")
    pixels: Pixels = image.data if depth == 16 else _to_8_bit(image.data)
    with atomic_path(target, overwrite) as temporary:
        kind.write(temporary, pixels, image.icc_profile, picture_tags(image), quality)
    return target


def write_linear_tiff(
    path: Path | str,
    data: NDArray[np.float32],
    *,
    white: float = 1.0,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes linear values as a 16-bit TIFF without a colour profile: a ground truth, not for looking at.

    Value = code * white / 65535; ImageDescription says so as JSON, with `facts`.

    Args:
        path: Where to write it.
        data: float32 (3, H, W); what lies outside 0 to `white` is clipped.
        white: The value that the highest code stands for.
        facts: More to state in ImageDescription; must be representable as JSON.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path written.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    target = Path(path)
    scaled = np.clip(data * np.float32(65535.0 / white), 0.0, 65535.0)
    codes = np.rint(scaled.transpose(1, 2, 0)).astype(np.uint16)
    description = {"software": SOFTWARE, "linear": True, "white": white, "white_code": 65535, **(facts or {})}
    with atomic_path(target, overwrite) as temporary:
        _write_tiff_pixels(temporary, codes, description=json.dumps(description, default=str))
    return target


def _write_tiff(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, _quality: int) -> None:
    xmp = (XMP, tifffile.DATATYPE.BYTE, len(tags.xmp), tags.xmp, True)
    _write_tiff_pixels(path, pixels, iccprofile=icc, extratags=[xmp])
    append_exif_ifds(path, tags.exif)


def _write_tiff_pixels(path: Path, pixels: Pixels, **options: Any) -> None:
    """A TIFF of strips, deflated after horizontal differencing."""
    if pixels.nbytes > _MAX_TIFF_BYTES:
        raise OutputError(
            f"{path.name}: {pixels.nbytes / 1e9:.1f} GB of pixels are more than a TIFF holds;"
            " write PNG, or 8 bits"
        )
    height, width, channels = pixels.shape
    tifffile.imwrite(
        path,
        pixels,
        bigtiff=False,
        photometric="rgb",
        compression="adobe_deflate",
        compressionargs={"level": _TIFF_LEVEL},
        predictor=True,
        rowsperstrip=min(height, max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))),
        metadata=None,
        software=SOFTWARE,
        **options,
    )


def _write_png(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, _quality: int) -> None:
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_PNG_LEVEL)
    xmp = b"XML:com.adobe.xmp\0" + b"\0\0" + b"\0" + b"\0" + tags.xmp  # not compressed, no language
    with open(path, "wb") as file:
        file.write(encoded[:_PNG_HEADER])
        file.write(_png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9)))
        file.write(_png_chunk(b"eXIf", exif_block_within(tags.exif, 1 << 24)))
        file.write(_png_chunk(b"iTXt", xmp))
        file.write(memoryview(encoded)[_PNG_HEADER:])


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    """PNG (third edition), 5.3."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _write_jpeg(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    height, width, _ = pixels.shape
    required = {_COMPONENTS: b"\1\2\3\0", _PIXEL_WIDTH: width, _PIXEL_HEIGHT: height}
    complete = replace(
        tags.exif,
        image={**tags.exif.image, _YCBCR_POSITIONING: _CENTRED},
        exif={**tags.exif.exif, **required},
    )
    exif = _JPEG_EXIF + exif_block_within(complete, _JPEG_SEGMENT - len(_JPEG_EXIF))
    segments = _jpeg_segment(0xE1, exif)
    xmp = next((x for x in (tags.xmp, tags.short_xmp) if len(_JPEG_XMP) + len(x) <= _JPEG_SEGMENT), None)
    if xmp is None:
        logger.warning("XMP is too long for this format: it is left out")
    else:
        segments += _jpeg_segment(0xE1, _JPEG_XMP + xmp)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(
        encoded, "JPEG", quality=quality, subsampling=0, icc_profile=icc, optimize=True, dpi=(72, 72)
    )
    jpeg = encoded.getbuffer()
    # After the start of image and the JFIF segment, where Exif readers look first.
    head = 2 + (2 + struct.unpack(">H", jpeg[4:6])[0] if jpeg[2:4] == b"\xff\xe0" else 0)
    with open(path, "wb") as file:
        file.write(jpeg[:head])
        file.write(segments)
        file.write(jpeg[head:])


def _jpeg_segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _to_8_bit(data: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """0..65535 to 0..255, rounded."""
    table = np.rint(np.arange(65536) / 257).astype(np.uint8)
    return table[data]


@dataclass(frozen=True, slots=True)
class _Format:
    """A file format: its name, its depths (the first is the default), and what writes it."""

    name: str
    depths: tuple[int, ...]
    write: Callable[[Path, Pixels, bytes, PictureTags, int], None]


_TIFF = _Format("TIFF", (16, 8), _write_tiff)
_PNG = _Format("PNG", (16, 8), _write_png)
_JPEG = _Format("JPEG", (8,), _write_jpeg)

FORMATS: dict[str, _Format] = {".tif": _TIFF, ".tiff": _TIFF, ".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG}
"""What `write_image` can write, by suffix."""


def _format_of(path: Path) -> _Format:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(
            f"{path}: pictures are not written as {path.suffix or 'files without a suffix'};"
            f" use one of {', '.join(FORMATS)}"
        )
    return kind
