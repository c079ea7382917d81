"""Merged raws out: linear DNGs (camera RGB at every pixel), Bayer DNGs of merged mosaics, monochrome DNGs.

DNG specification 1.7.1. The first directory holds a JPEG to look at, a directory below it the raw picture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError
from burstfix.io import tag_numbers as tn
from burstfix.io.write.cfa_dng import Tag, color_tags, exif_tags, noise_values, rationals, tag
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.io.write.picture_tags import SOFTWARE, settings_json, xmp_packet
from burstfix.types import CFA_PATTERNS, MONOCHROME, ExifTags, FrameMetadata, NoiseProfile, RenderedImage

WHITE_CODE = 65535
BLACK_CODE = 4096
"""Of mosaics: what noise leaves under black survives. Of pictures with colours at every pixel black is 0, as
darktable (4.2) and RawTherapee (5.9) do not subtract any other from those; values under it are clipped."""

_BYTE, _SHORT, _LONG, _UNDEFINED, _DOUBLE = 1, 3, 4, 7, 12
_PREVIEW_COLOR_SPACE, _SRGB = 50970, 2
_PREVIEW_QUALITY = 90
_MAX_BYTES = (1 << 32) - (1 << 26)  # offsets of a classic TIFF have 32 bits; room for the preview and tags


def write_merged_dng(
    path: Path | str,
    data: NDArray[np.float32],
    metadata: FrameMetadata,
    preview: RenderedImage,
    *,
    noise: NoiseProfile | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a merged burst as a 16-bit DNG for raw developers.

    Args:
        path: Where to.
        data: float32 (3, H, W) camera RGB, not white-balanced; or (1, H, W): a Bayer mosaic, or luminance
            if `metadata.cfa` is MONOCHROME. 0 = black, 1 = white; values above 1 are clipped. Of a monochrome
            picture with three channels only the first is written.
        metadata: Of the reference. Opcode lists in it are carried over: the first two only with a mosaic.
        preview: A small sRGB picture, not turned upright; its settings are recorded in the file.
        noise: What is left in `data`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path written.

    Raises:
        ValueError: Sizes or patterns do not fit together.
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
    if 2 * data.size > _MAX_BYTES:
        raise OutputError(f"{path}: {2 * data.size / 1e9:.1f} GB of pixels are too many for a DNG")
    carried = _opcode_tags(metadata, is_mosaic)
    black = BLACK_CODE if is_mosaic else 0
    # tifffile writes linear raws of three values only; a monochrome one gets its name afterwards.
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
                extratags=_shared_tags(metadata, preview, needs_opcodes=bool(carried)),
            )
            tif.write(
                _codes(data, black),
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
        append_exif_ifds(temporary, _exif(metadata, preview))
    return Path(path)


def _codes(data: NDArray[np.float32], black: int) -> NDArray[np.uint16]:
    """(C, H, W) -> (H, W, C), or (H, W) of a single channel."""
    scaled = data.transpose(1, 2, 0) * np.float32(WHITE_CODE - black)
    scaled += np.float32(black + 0.5)
    codes = np.clip(scaled, 0, WHITE_CODE, out=scaled).astype(np.uint16)
    return codes[..., 0] if data.shape[0] == 1 else np.ascontiguousarray(codes)


def _jpeg_planes(preview: RenderedImage) -> NDArray[np.uint8]:
    """(H, W, 3) Y, Cb, Cr: what tifffile hands to the JPEG coder as it is."""
    rgb = np.rint(preview.data / 257.0).astype(np.uint8)
    return np.asarray(Image.fromarray(rgb).convert("YCbCr"))


def _shared_tags(metadata: FrameMetadata, preview: RenderedImage, *, needs_opcodes: bool) -> list[Tag]:
    """What holds for the whole file."""
    xmp = xmp_packet(preview)
    # Readers from before opcodes may open what has none.
    oldest = (1, 3, 0, 0) if needs_opcodes else (1, 1, 0, 0)
    tags = [
        tag(tn.DNG_VERSION, _BYTE, (1, 4, 0, 0)),
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
    """What describes the raw picture."""
    top, left, height, width = metadata.default_crop or (0, 0, metadata.height, metadata.width)
    tags = [
        tag(tn.BLACK_REPEAT, _SHORT, (1, 1)),
        tag(tn.BLACK, _SHORT, (BLACK_CODE if is_mosaic else 0,) * channels),
        tag(tn.WHITE, _SHORT, (WHITE_CODE,) * channels),
        tag(tn.ACTIVE_AREA, _LONG, (0, 0, metadata.height, metadata.width)),
        tag(tn.DEFAULT_CROP_ORIGIN, _LONG, (left, top)),
        tag(tn.DEFAULT_CROP_SIZE, _LONG, (width, height)),
    ]
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
    """Lists that have not been applied and still hold."""
    lists = metadata.opcodes
    if lists is None:
        return []
    tags = [(tn.OPCODE_LIST_3, _UNDEFINED, len(lists.third), lists.third, True)] if lists.third else []
    if is_mosaic and lists.second:
        tags.append((tn.OPCODE_LIST_2, _UNDEFINED, len(lists.second), lists.second, True))
    return tags


def _exif(metadata: FrameMetadata, preview: RenderedImage) -> ExifTags:
    """The reference's tags, with the settings as ImageDescription."""
    own = exif_tags(metadata)
    return replace(own, image={**own.image, 270: settings_json(preview.settings), 305: SOFTWARE})
