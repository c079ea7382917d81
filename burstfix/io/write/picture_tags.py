"""What is written with a picture besides its pixels: EXIF, and the settings used, as JSON and as XMP."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from burstfix._version import __version__
from burstfix.io.write.exif_ifd import exif_block
from burstfix.io.write.xmp_packet import xmp_elements, xmp_packet
from burstfix.types import ExifTags, RenderedImage

logger = logging.getLogger(__name__)

SOFTWARE = f"burstfix {__version__}"

# EXIF 2.32, tables 4 and 7.
_IMAGE_DESCRIPTION, _ORIENTATION, _SOFTWARE_TAG = 270, 274, 305
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_EXIF_VERSION, _FLASHPIX_VERSION, _COLOR_SPACE = 36864, 40960, 40961
_COLOR_SPACE_SRGB, _COLOR_SPACE_OTHER = 1, 0xFFFF
_INCH = 2

_DIRECTORIES = ("image", "exif", "gps")


@dataclass(frozen=True, slots=True)
class PictureTags:
    """What a writer puts beside the pixels.

    Attributes:
        exif: Tags, all of a kind that EXIF can hold; Orientation is 1.
        xmp_elements: XMP properties, each as an XML element; see `xmp_packet`.
    """

    exif: ExifTags
    xmp_elements: tuple[str, ...]

    @property
    def xmp(self) -> bytes:
        """An XMP packet in UTF-8."""
        return xmp_packet(self.xmp_elements)


def picture_tags(image: RenderedImage) -> PictureTags:
    """The reference frame's EXIF with Software, ImageDescription (settings as JSON) and Orientation set.

    What the frame itself had as ImageDescription moves to dc:description of the XMP packet.
    """
    space = (image.settings.get("render") or {}).get("color_space")
    exif = replace(
        image.exif,
        image={
            **image.exif.image,
            _X_RESOLUTION: 72,
            _Y_RESOLUTION: 72,
            _RESOLUTION_UNIT: _INCH,
            _IMAGE_DESCRIPTION: settings_json(image.settings),
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
    """Whether burstfix has merged the picture that these tags come from: it has left in them what with."""
    text = str(exif.image.get(_IMAGE_DESCRIPTION, ""))
    return text.startswith('{"software": "burstfix ') and '"model": ' in text


def settings_json(settings: Mapping[str, Any]) -> str:
    """The settings as one line of ASCII JSON, the program's name and version first."""
    return json.dumps({"software": SOFTWARE, **settings}, default=str)


def exif_block_within(exif: ExifTags, limit: int) -> bytes:
    """`exif_ifd.exif_block` of at most `limit` bytes; where that is too little, the longest values go."""
    block = exif_block(exif)
    while len(block) > limit:
        _, directory, tag = max(
            (len(_as_bytes(value)), directory, tag)
            for directory in _DIRECTORIES
            for tag, value in getattr(exif, directory).items()
        )
        logger.warning("EXIF is too long for this format: tag %d is left out", tag)
        exif = _without(exif, directory, tag)
        block = exif_block(exif)
    return block


def writable(exif: ExifTags) -> ExifTags:
    """The tags without values that EXIF cannot hold, each with a warning: no picture is lost over a tag."""
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
