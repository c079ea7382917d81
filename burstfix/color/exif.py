"""The EXIF tags of a rendered picture."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from burstfix.types import ExifTags, FrameMetadata

# EXIF 2.32, tables 4, 7 and 8.
_MAKE, _MODEL, _ORIENTATION = 271, 272, 274
_EXPOSURE_TIME, _F_NUMBER, _ISO, _DATE_TIME_ORIGINAL = 33434, 33437, 34855, 36867
_OFFSET_TIME_ORIGINAL, _FOCAL_LENGTH, _SUBSEC_ORIGINAL, _LENS_MODEL = 36881, 37386, 37521, 42036

_MAX_SHORT_ISO = 65535


def exif_of(metadata: FrameMetadata) -> ExifTags:
    """Return the frame's own tags, completed from its metadata, with Orientation 1."""
    image: dict[int, Any] = {_MAKE: metadata.make, _MODEL: metadata.model}
    exif: dict[int, Any] = {
        _LENS_MODEL: metadata.lens,
        _EXPOSURE_TIME: _fraction(metadata.exposure_time),
        _F_NUMBER: _fraction(metadata.aperture),
        _FOCAL_LENGTH: _fraction(metadata.focal_length),
        _ISO: None if metadata.iso is None else min(round(metadata.iso), _MAX_SHORT_ISO),
    }
    if metadata.time is not None and _DATE_TIME_ORIGINAL not in metadata.exif.exif:
        exif[_DATE_TIME_ORIGINAL] = metadata.time.strftime("%Y:%m:%d %H:%M:%S")
        if metadata.time.microsecond:
            exif[_SUBSEC_ORIGINAL] = f"{metadata.time.microsecond:06d}"
        if metadata.time.tzinfo is not None:
            exif[_OFFSET_TIME_ORIGINAL] = metadata.time.isoformat()[-6:]
    return ExifTags(
        image={**_present(image), **metadata.exif.image, _ORIENTATION: 1},
        exif={**_present(exif), **metadata.exif.exif},
        gps=metadata.exif.gps,
        xmp=metadata.exif.xmp,
    )


def _present(tags: dict[int, Any]) -> dict[int, Any]:
    return {tag: value for tag, value in tags.items() if value not in (None, "")}


def _fraction(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value).limit_denominator(1_000_000)
