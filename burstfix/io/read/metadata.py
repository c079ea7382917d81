"""Build `FrameMetadata` from the tags of a DNG, or from LibRaw's data for other raws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

from burstfix.errors import InputError
from burstfix.io.read import calibration, camera, dng
from burstfix.io.read.camera import CameraFacts
from burstfix.io.read.dng import Area
from burstfix.io.read.noted import Noted
from burstfix.io.read.tags import FileTags
from burstfix.io.tag_numbers import IMAGE_LENGTH, IMAGE_WIDTH, UNIQUE_CAMERA_MODEL
from burstfix.types import ColorProfile, ExifTags, FrameMetadata, Levels, NoiseProfile

_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 271, 272, 274, 306
_EXPOSURE_TIME, _F_NUMBER, _DATE_TIME_ORIGINAL, _FOCAL_LENGTH = 33434, 33437, 36867, 37386
_OFFSET_TIME, _OFFSET_TIME_ORIGINAL, _SUBSEC, _SUBSEC_ORIGINAL = 36880, 36881, 37520, 37521
_ISO, _STANDARD_OUTPUT_SENSITIVITY, _RECOMMENDED_EXPOSURE_INDEX, _ISO_SPEED = 34855, 34865, 34866, 34867
_LENS_MODEL = 42036
_MAX_SHORT = 65535

# dcraw's flip bits (1 = mirror columns, 2 = mirror rows, 4 = transpose first) to EXIF orientations.
_FLIP_TO_ORIENTATION = (1, 2, 4, 3, 5, 8, 6, 7)


@dataclass(frozen=True, slots=True)
class LibRawFacts:
    """Data that the decoder reports about a file.

    Attributes:
        visible: Visible area according to LibRaw.
        raw_height, raw_width: Size of the whole mosaic.
        flip: dcraw's orientation bits.
        camera: Camera data from LibRaw; None for a DNG, which contains them in its tags.
        crop: Part of the whole mosaic that the camera's own pictures show; None if unknown.
        pixel_aspect: Width / height of a pixel.
        raw_count: Number of raws in the file that are frames of a burst (a roll of a CR3).
    """

    visible: Area
    raw_height: int
    raw_width: int
    flip: int = 0
    camera: CameraFacts | None = None
    crop: Area | None = None
    pixel_aspect: float = 1.0
    raw_count: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Sensor:
    """The part of the metadata that comes from the tags of a DNG, or from LibRaw."""

    cfa: str
    levels: Levels
    color: ColorProfile
    noise: NoiseProfile | None
    default_crop: tuple[int, int, int, int] | None
    default_scale: tuple[float, float] | None
    warnings: tuple[str, ...]


def build_metadata(tags: FileTags, facts: LibRawFacts) -> Noted[FrameMetadata]:
    """Combine the tags with the data from LibRaw.

    Raises:
        InputError: The camera is unknown, or the file is inconsistent.
        UnsupportedSensorError: The sensor's mosaic is not a 2x2 Bayer pattern.
    """
    image, exif = tags.exif.image, tags.exif.exif
    make, model = _text(image.get(_MAKE)), _text(image.get(_MODEL))
    unique_model = tags.directories[0].text(UNIQUE_CAMERA_MODEL) if tags.is_dng else ""
    area = visible_area(tags, facts)
    known = facts.camera
    if known is None:
        sensor = _dng_sensor(tags, area)
        model = model or unique_model
    elif make or model or known.time or known.iso > 0:
        sensor = _camera_sensor(tags, facts, known, area)
    else:
        # LibRaw guesses the format of files without a header from their length.
        raise InputError(f"{tags.path}: has no header that names a camera; its pixels cannot be interpreted")
    metadata = FrameMetadata(
        path=tags.path,
        height=area.height,
        width=area.width,
        cfa=sensor.cfa,
        levels=sensor.levels,
        color=sensor.color,
        orientation=_orientation(image.get(_ORIENTATION), 0 if known is None else facts.flip),
        noise=sensor.noise,
        make=make,
        model=model,
        lens=_text(exif.get(_LENS_MODEL)) or (known.lens if known else ""),
        unique_model=unique_model,
        default_crop=sensor.default_crop,
        default_user_crop=dng.default_user_crop(tags) if tags.is_dng else None,
        default_scale=sensor.default_scale,
        iso=_positive(_iso(exif), known.iso if known else None),
        exposure_time=_positive(exif.get(_EXPOSURE_TIME), known.exposure_time if known else None),
        aperture=_positive(exif.get(_F_NUMBER), known.aperture if known else None),
        focal_length=_positive(exif.get(_FOCAL_LENGTH), known.focal_length if known else None),
        time=capture_time(tags.exif) or (known.time if known else None),
        exif=tags.exif,
        opcodes=dng.opcode_lists(tags, area) if tags.is_dng else None,
        raw_index=tags.raw_index,
        raw_count=max(tags.raw_count, facts.raw_count),
    )
    return Noted(metadata, sensor.warnings)


def _dng_sensor(tags: FileTags, area: Area) -> _Sensor:
    levels, color, noise = calibration.levels(tags, area), calibration.color(tags), calibration.noise(tags)
    return _Sensor(
        cfa=dng.cfa(tags),
        levels=levels.value,
        color=color.value,
        noise=noise.value,
        default_crop=dng.default_crop(tags, area),
        default_scale=dng.default_scale(tags),
        warnings=(*levels.warnings, *color.warnings, *noise.warnings),
    )


def _camera_sensor(tags: FileTags, facts: LibRawFacts, known: CameraFacts, area: Area) -> _Sensor:
    cfa, color = camera.cfa(tags, known), camera.color(tags, known)
    return _Sensor(
        cfa=cfa,
        levels=camera.levels(tags, known),
        color=color.value,
        noise=None,
        default_crop=camera.crop(facts.crop, area),
        default_scale=dng.square_pixels(facts.pixel_aspect),
        warnings=color.warnings,
    )


def visible_area(tags: FileTags, facts: LibRawFacts) -> Area:
    """Return the visible part of the mosaic: ActiveArea of a DNG, otherwise the area from LibRaw.

    Raises:
        InputError: The area exceeds the decoded pixels, or their size differs from the one in the tags.
    """
    if not tags.is_dng:
        v = facts.visible
        if not (v.height > 0 and v.width > 0 and v.top >= 0 and v.left >= 0):
            raise InputError(f"{tags.path}: the decoder found no visible pixels in it; the file is damaged")
        if v.top + v.height > facts.raw_height or v.left + v.width > facts.raw_width:
            raise InputError(f"{tags.path}: its visible area is larger than its pixels; the file is damaged")
        return v
    dng.check_sensor(tags)
    area = dng.active_area(tags)
    assert tags.raw is not None
    size = (tags.raw.number(IMAGE_LENGTH, 0), tags.raw.number(IMAGE_WIDTH, 0))
    if size == (facts.raw_height, facts.raw_width):
        return area
    raise InputError(
        f"{tags.path}: its tags describe {size[1]}x{size[0]} pixels, "
        f"the decoder found {facts.raw_width}x{facts.raw_height}"
    )


def capture_time(exif: ExifTags) -> datetime | None:
    """Return the capture time, with fractions of a second and UTC offset if the tags contain them."""
    for text, subsec, offset in (
        (
            exif.exif.get(_DATE_TIME_ORIGINAL),
            exif.exif.get(_SUBSEC_ORIGINAL),
            exif.exif.get(_OFFSET_TIME_ORIGINAL),
        ),
        (exif.image.get(_DATE_TIME), exif.exif.get(_SUBSEC), exif.exif.get(_OFFSET_TIME)),
    ):
        time = _parse_time(_text(text))
        if time is None:
            continue
        digits = _text(subsec)
        if digits.isascii() and digits.isdigit():
            time = time.replace(microsecond=int(digits[:6].ljust(6, "0")))
        zone = _utc_offset(_text(offset))
        return time if zone is None else time.replace(tzinfo=zone)
    return None


def _parse_time(text: str) -> datetime | None:
    """Parse EXIF's "2024:05:06 07:08:09", or ISO 8601, which some programs write instead."""
    try:
        return datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text) if len(text) >= 16 else None
    except ValueError:
        return None


def _utc_offset(text: str) -> timezone | None:
    """Return EXIF's "+hh:mm" as a time zone."""
    try:
        offset = datetime.strptime(text, "%z").utcoffset()
    except ValueError:
        return None
    return None if offset is None else timezone(timedelta(seconds=offset.total_seconds()))


def _orientation(tagged: Any, flip: int) -> int:
    if isinstance(tagged, int) and 1 <= tagged <= 8:
        return tagged
    return _FLIP_TO_ORIENTATION[flip & 7]


def _iso(exif: Mapping[int, Any]) -> Any:
    """Return the ISO; if the 16-bit tag is at its maximum, use the tags for larger numbers."""
    speed = exif.get(_ISO)
    if speed in (None, 0, _MAX_SHORT):
        for tag in (_RECOMMENDED_EXPOSURE_INDEX, _STANDARD_OUTPUT_SENSITIVITY, _ISO_SPEED):
            if _positive(exif.get(tag)) is not None:
                return exif[tag]
    return speed


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _positive(*values: Any) -> float | None:
    """Return the first positive number among the first values of several tags, as a float."""
    for value in values:
        number = value[0] if isinstance(value, tuple) and value else value
        if isinstance(number, (int, float, Fraction)) and math.isfinite(number) and number > 0:
            return float(number)
    return None
