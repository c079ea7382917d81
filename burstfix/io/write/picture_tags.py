"""Metadata of a written picture: EXIF, and XMP with the settings of the merge."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from burstfix._version import __version__
from burstfix.io.write.exif_ifd import exif_block
from burstfix.io.write.xmp_packet import xmp_elements, xmp_packet
from burstfix.types import ExifTags, RenderedImage

logger = logging.getLogger(__name__)

SOFTWARE = f"burstfix {__version__}"

# Tag numbers of EXIF 2.32, tables 4 and 7.
_IMAGE_DESCRIPTION, _ORIENTATION, _SOFTWARE_TAG = 270, 274, 305
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_EXIF_VERSION, _FLASHPIX_VERSION, _COLOR_SPACE = 36864, 40960, 40961
_COLOR_SPACE_SRGB, _COLOR_SPACE_OTHER = 1, 0xFFFF
_INCH = 2

_DIRECTORIES = ("image", "exif", "gps")


@dataclass(frozen=True, slots=True)
class PictureTags:
    """Metadata for a writer.

    Attributes:
        exif: EXIF tags. All have valid types, and Orientation is 1.
        xmp_elements: XMP properties as XML elements; see `xmp_packet`.
    """

    exif: ExifTags
    xmp_elements: tuple[str, ...]

    @property
    def xmp(self) -> bytes:
        """An XMP packet in UTF-8."""
        return xmp_packet(self.xmp_elements)


def picture_tags(image: RenderedImage) -> PictureTags:
    """Copy EXIF and XMP of the reference frame, and replace values that describe the new file.

    ImageDescription is the photographer's caption and is not changed. The settings are only in XMP.
    """
    space = (image.settings.get("render") or {}).get("color_space")
    exif = replace(
        image.exif,
        image={
            **image.exif.image,
            _X_RESOLUTION: 72,
            _Y_RESOLUTION: 72,
            _RESOLUTION_UNIT: _INCH,
            _ORIENTATION: 1,
            _SOFTWARE_TAG: SOFTWARE,
        },
        exif={
            _EXIF_VERSION: b"0232",
            **image.exif.exif,
            _FLASHPIX_VERSION: b"0100",
            _COLOR_SPACE: _COLOR_SPACE_SRGB if space == "srgb" else _COLOR_SPACE_OTHER,
        },
    )
    return PictureTags(writable(exif), xmp_elements(image))


def is_merged(exif: ExifTags) -> bool:
    """Return True for the tags of a DNG written by burstfix.

    Simulated frames also name burstfix as Software, but without a version.
    """
    if re.match(r"burstfix \d", str(exif.image.get(_SOFTWARE_TAG, ""))):
        return True
    # Version 0.1 wrote its settings as the caption.
    text = str(exif.image.get(_IMAGE_DESCRIPTION, ""))
    return text.startswith('{"software": "burstfix ') and '"model": ' in text


def exif_block_within(exif: ExifTags, limit: int, thumbnail: bytes = b"") -> bytes:
    """Encode EXIF in at most `limit` bytes; drop the longest tags if necessary, with a warning."""
    block = exif_block(exif, thumbnail)
    while len(block) > limit:
        _, directory, tag = max(
            (len(_as_bytes(value)), directory, tag)
            for directory in _DIRECTORIES
            for tag, value in getattr(exif, directory).items()
        )
        logger.warning("EXIF is too long for this format: tag %d is left out", tag)
        exif = _without(exif, directory, tag)
        block = exif_block(exif, thumbnail)
    return block


def writable(exif: ExifTags) -> ExifTags:
    """Drop tags that EXIF cannot represent, with a warning, so that the picture can still be written."""
    for directory in _DIRECTORIES:
        for tag, value in getattr(exif, directory).items():
            try:
                exif_block(ExifTags(**{directory: {tag: value}}))
            except (ValueError, TypeError, OverflowError) as error:
                logger.warning("EXIF tag %d is left out: %s", tag, error)
                exif = _without(exif, directory, tag)
    return exif


def _without(exif: ExifTags, directory: str, tag: int) -> ExifTags:
    kept = {t: v for t, v in getattr(exif, directory).items() if t != tag}
    return replace(exif, **{directory: kept})


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
