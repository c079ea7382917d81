"""Write merged bursts as DNGs: linear (camera RGB at every pixel), Bayer mosaics, monochrome.

The first directory contains a JPEG preview, its SubIFD the raw picture. Source: DNG specification 1.7.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from burstfix.atomic import atomic_path
from burstfix.cfa import CFA_PATTERNS, MONOCHROME
from burstfix.errors import OutputError
from burstfix.io import tag_numbers as tn
from burstfix.io.write.cfa_dng import Tag, color_tags, exif_tags, noise_values, rationals, tag
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.io.write.formats import DNG_COMPRESSIONS, DngCompression
from burstfix.io.write.picture_tags import SOFTWARE
from burstfix.io.write.xmp_packet import xmp_elements, xmp_packet
from burstfix.types import ExifTags, FrameMetadata, NoiseProfile, RenderedImage

WHITE_CODE = 65535
BLACK_CODE = 4096
"""Black level of mosaics.

It is above 0 to keep noise below black. Linear DNGs have black level 0, because darktable (4.2) and
RawTherapee (5.9) do not subtract other levels from them; their values below black are clipped.
"""

_CODE_OF = {"ljpeg": 7, "jxl": 52546}  # TIFF tag Compression
_TILE = 512
_JXL_EFFORT = 3  # higher efforts take many times as long for a few percent smaller files

_BYTE, _SHORT, _LONG, _UNDEFINED, _DOUBLE = 1, 3, 4, 7, 12
_PREVIEW_COLOR_SPACE, _SRGB = 50970, 2
_PREVIEW_QUALITY = 90
_SOFTWARE_TAG = 305
_MAX_BYTES = (1 << 32) - (1 << 26)  # offsets of a classic TIFF have 32 bits; leaves room for preview and tags


def write_merged_dng(
    path: Path | str,
    data: NDArray[np.float32],
    metadata: FrameMetadata,
    preview: RenderedImage,
    *,
    noise: NoiseProfile | None = None,
    compression: DngCompression = "ljpeg",
    overwrite: bool = False,
) -> Path:
    """Write a merged burst as a 16-bit DNG for raw converters.

    Args:
        path: Output file.
        data: float32 (3, H, W) camera RGB, not white-balanced; or (1, H, W): a Bayer mosaic, or luminance
            if `metadata.cfa` is MONOCHROME. 0 = black, 1 = white; values above 1 are clipped. For a
            monochrome sensor, only the first of three channels is written.
        metadata: Metadata of the reference. Opcode list 3 is written, and list 2 with a mosaic.
        preview: A small sRGB picture in the orientation of the sensor. Its settings are written to the file.
        noise: Remaining noise in `data`.
        compression: One of `DNG_COMPRESSIONS`. All are lossless. Every raw converter can read "ljpeg". "jxl"
            gives smaller files, but requires support for DNG 1.7.
        overwrite: Replace an existing file.

    Returns:
        Path of the written file.

    Raises:
        ValueError: Sizes, patterns or the compression are inconsistent.
        OutputError: The file exists, cannot be written, or the picture is too large for the format.
    """
    if metadata.cfa == MONOCHROME:
        data = data[:1]
    channels, height, width = data.shape
    if (height, width) != (metadata.height, metadata.width):
        raise ValueError(f"the picture is {height, width}, not {metadata.height, metadata.width}")
    is_mosaic = channels == 1 and metadata.cfa != MONOCHROME
    if channels not in (1, 3) or (is_mosaic and metadata.cfa not in CFA_PATTERNS):
        raise ValueError(f"{channels} channels with the pattern {metadata.cfa}")
    if compression not in DNG_COMPRESSIONS:
        raise ValueError(f"compression {compression!r} is not one of {', '.join(DNG_COMPRESSIONS)}")
    if 2 * data.size > _MAX_BYTES:
        raise OutputError(f"{path}: {2 * data.size / 1e9:.1f} GB of pixels are too many for a DNG")
    carried = _opcode_tags(metadata, is_mosaic)
    black = BLACK_CODE if is_mosaic else 0
    # tifffile writes LinearRaw only with three samples, so the tag is set afterwards for monochrome.
    photometric: Any = tn.PHOTOMETRIC_CFA if is_mosaic else tn.PHOTOMETRIC_LINEAR_RAW
    if channels == 1 and not is_mosaic:
        photometric = "minisblack"
    with atomic_path(path, overwrite) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=False, byteorder="<") as tif:
            tif.write(
                _jpeg_planes(preview),
                photometric="ycbcr",
                subsampling=(1, 1),
                compression="jpeg",
                compressionargs={"level": _PREVIEW_QUALITY},
                rowsperstrip=preview.data.shape[0],
                subfiletype=1,
                subifds=1,
                metadata=None,
                software=SOFTWARE,
                extratags=_shared_tags(metadata, preview, _oldest_reader(compression, bool(carried))),
            )
            tif.write(
                **_pixels(_codes(data, black), compression),
                photometric=photometric,
                planarconfig="contig" if channels == 3 else None,
                subfiletype=0,
                metadata=None,
                software=False,
                extratags=[*_raw_tags(metadata, channels, is_mosaic, noise), *carried],
            )
        if photometric == "minisblack":
            with tifffile.TiffFile(temporary, mode="r+") as tif:
                raw: Any = tif.pages[0]
                raw.pages[0].tags[tn.PHOTOMETRIC].overwrite(tn.PHOTOMETRIC_LINEAR_RAW)
        append_exif_ifds(temporary, _exif(metadata))
    return Path(path)


def _codes(data: NDArray[np.float32], black: int) -> NDArray[np.uint16]:
    """Quantise (C, H, W) to (H, W, C), or to (H, W) for a single channel."""
    scaled = data.transpose(1, 2, 0) * np.float32(WHITE_CODE - black)
    scaled += np.float32(black + 0.5)
    codes = np.clip(scaled, 0, WHITE_CODE, out=scaled).astype(np.uint16)
    return codes[..., 0] if data.shape[0] == 1 else np.ascontiguousarray(codes)


def _pixels(codes: NDArray[np.uint16], compression: DngCompression) -> dict[str, Any]:
    """Return the arguments of `TiffWriter.write` that contain the pixels."""
    if compression == "none" or min(codes.shape[:2]) < 16:  # too small for a tile
        return {"data": codes}
    tile = (_tile_side(codes.shape[0]), _tile_side(codes.shape[1]))
    return {
        "data": _encoded_tiles(codes, tile, compression),
        "shape": codes.shape,
        "dtype": codes.dtype,
        "compression": _CODE_OF[compression],
        "tile": tile,
    }


def _tile_side(size: int) -> int:
    """Divide a side into equal tiles of at most `_TILE` pixels; TIFF requires multiples of 16.

    A tile is never larger than the picture, because dcraw and LibRaw would read its padding as pixels of the
    next row. A tile never contains only one column of the picture, because RawSpeed cannot read such a tile
    as two components.

    >>> _tile_side(556), _tile_side(161), _tile_side(4000)
    (288, 96, 512)
    """
    tiles = -(-size // _TILE)
    side = -(-size // tiles // 16) * 16
    return side if side <= size else max(16, -(-size // (tiles + 1) // 16) * 16)


def _encoded_tiles(
    codes: NDArray[np.uint16], tile: tuple[int, int], compression: DngCompression
) -> Iterator[bytes]:
    """Encode tiles row by row; those at the right and the bottom are padded with zeros."""
    height, width = tile
    for top in range(0, codes.shape[0], height):
        for left in range(0, codes.shape[1], width):
            part = codes[top : top + height, left : left + width]
            missing = [(0, height - part.shape[0]), (0, width - part.shape[1])]
            full = np.ascontiguousarray(np.pad(part, missing + [(0, 0)] * (part.ndim - 2)))
            yield _lossless_jpeg(full) if compression == "ljpeg" else _jpeg_xl(full)


def _lossless_jpeg(tile: NDArray[np.uint16]) -> bytes:
    """Encode a tile for DNG compression 7."""
    if tile.ndim == 2:
        # Pairs of columns are two components, so that neighbours within a component have the same colour.
        tile = tile.reshape(tile.shape[0], -1, 2)
    # Only predictor 1 is supported by all raw converters.
    return bytes(imagecodecs.jpeg_encode(tile, lossless=True, predictor=1, bitspersample=16))


def _jpeg_xl(tile: NDArray[np.uint16]) -> bytes:
    """Encode a tile for DNG compression 52546."""
    return bytes(imagecodecs.jpegxl_encode(tile, lossless=True, effort=_JXL_EFFORT))


def _jpeg_planes(preview: RenderedImage) -> NDArray[np.uint8]:
    """Convert a preview to (H, W, 3) Y, Cb, Cr, as tifffile passes it to the JPEG encoder."""
    rgb = np.rint(preview.data / 257.0).astype(np.uint8)
    return np.asarray(Image.fromarray(rgb).convert("YCbCr"))


def _oldest_reader(compression: DngCompression, has_opcodes: bool) -> tuple[int, int, int, int]:
    """Return the oldest DNG version that readers must support."""
    if compression == "jxl":
        return (1, 7, 0, 0)
    return (1, 3, 0, 0) if has_opcodes else (1, 1, 0, 0)


def _shared_tags(
    metadata: FrameMetadata, preview: RenderedImage, oldest: tuple[int, int, int, int]
) -> list[Tag]:
    """Make the tags that describe the whole file."""
    xmp = xmp_packet(xmp_elements(preview))
    tags = [
        tag(tn.DNG_VERSION, _BYTE, max((1, 4, 0, 0), oldest)),
        tag(tn.DNG_BACKWARD_VERSION, _BYTE, oldest),
        (tn.XMP, _BYTE, len(xmp), xmp, True),
        tag(_PREVIEW_COLOR_SPACE, _LONG, (_SRGB,)),
    ]
    if metadata.cfa != MONOCHROME:
        return [*tags, *color_tags(metadata)]
    return [*tags, rationals(tn.BASELINE_EXPOSURE, [metadata.color.baseline_exposure])]


def _raw_tags(
    metadata: FrameMetadata, channels: int, is_mosaic: bool, noise: NoiseProfile | None
) -> list[Tag]:
    """Make the tags that describe the raw picture."""
    top, left, height, width = metadata.default_crop or (0, 0, metadata.height, metadata.width)
    tags = [
        tag(tn.BLACK_REPEAT, _SHORT, (1, 1)),
        tag(tn.BLACK, _SHORT, (BLACK_CODE if is_mosaic else 0,) * channels),
        tag(tn.WHITE, _SHORT, (WHITE_CODE,) * channels),
        tag(tn.ACTIVE_AREA, _LONG, (0, 0, metadata.height, metadata.width)),
        tag(tn.DEFAULT_CROP_ORIGIN, _LONG, (left, top)),
        tag(tn.DEFAULT_CROP_SIZE, _LONG, (width, height)),
    ]
    if metadata.default_scale is not None:
        vertical, horizontal = metadata.default_scale
        tags.append(rationals(tn.DEFAULT_SCALE, (horizontal, vertical), signed=False))
    if metadata.default_user_crop is not None:
        tags.append(rationals(tn.DEFAULT_USER_CROP, metadata.default_user_crop, signed=False))
    if is_mosaic:
        tags += [
            tag(tn.CFA_REPEAT, _SHORT, (2, 2)),
            tag(tn.CFA_PATTERN, _BYTE, ["RGB".index(c) for c in metadata.cfa]),
            tag(tn.CFA_PLANE_COLOR, _BYTE, (0, 1, 2)),
            tag(tn.CFA_LAYOUT, _SHORT, (1,)),
        ]
    if noise is not None:
        pairs = noise_values(noise)
        tags.append(tag(tn.NOISE_PROFILE, _DOUBLE, pairs[:2] if metadata.cfa == MONOCHROME else pairs))
    return tags


def _opcode_tags(metadata: FrameMetadata, is_mosaic: bool) -> list[Tag]:
    """Make the tags of the opcode lists that a raw converter has to apply."""
    lists = metadata.opcodes
    if lists is None:
        return []
    tags = [(tn.OPCODE_LIST_3, _UNDEFINED, len(lists.third), lists.third, True)] if lists.third else []
    if is_mosaic and lists.second:
        tags.append((tn.OPCODE_LIST_2, _UNDEFINED, len(lists.second), lists.second, True))
    return tags


def _exif(metadata: FrameMetadata) -> ExifTags:
    """Return the EXIF of the reference with burstfix as Software."""
    own = exif_tags(metadata)
    return replace(own, image={**own.image, _SOFTWARE_TAG: SOFTWARE})
