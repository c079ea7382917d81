"""From tags to `FrameMetadata`; DNGs by their tags, other raws by what LibRaw knows of the camera."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io.read import dng
from burstfix.io.read.dng import Area
from burstfix.io.read.tags import FileTags
from burstfix.io.tag_numbers import IMAGE_LENGTH, IMAGE_WIDTH, UNIQUE_CAMERA_MODEL
from burstfix.types import LINEAR, MONOCHROME, ColorProfile, ExifTags, FrameMetadata, Levels, lies_within

_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 271, 272, 274, 306
_EXPOSURE_TIME, _F_NUMBER, _ISO, _DATE_TIME_ORIGINAL, _FOCAL_LENGTH = 33434, 33437, 34855, 36867, 37386
_OFFSET_TIME, _OFFSET_TIME_ORIGINAL, _SUBSEC, _SUBSEC_ORIGINAL = 36880, 36881, 37520, 37521
_RECOMMENDED_EXPOSURE_INDEX, _LENS_MODEL = 34866, 42036

# dcraw's flip bits (1 = mirror columns, 2 = mirror rows, 4 = transpose first) as EXIF orientations.
_FLIP_TO_ORIENTATION = (1, 2, 4, 3, 5, 8, 6, 7)


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What LibRaw knows of an unpacked raw and its camera (names as in rawpy).

    Attributes:
        pattern: uint8 indices into `colors`, the smallest repeating pattern of the visible area; None
            when there is no mosaic.
        channels: Values at each pixel, 1 or 3.
        is_foveon: The values are those of a sensor in layers.
        colors: Letters of the colour indices, such as "RGBG".
        black: Black level for each colour index.
        white: White level.
        xyz_to_camera: float64 (3, 3), zeros where unknown.
        white_balance: float64 (3,), camera multipliers R, G, B.
        iso, exposure_time, aperture, focal_length: 0 where unknown.
        time: None where unknown.
        lens: "" where unknown.
    """

    pattern: NDArray[np.uint8] | None
    channels: int
    is_foveon: bool
    colors: str
    black: tuple[float, ...]
    white: float
    xyz_to_camera: NDArray[np.float64]
    white_balance: NDArray[np.float64]
    iso: float
    exposure_time: float
    aperture: float
    focal_length: float
    time: datetime | None
    lens: str


@dataclass(frozen=True, slots=True)
class LibRawFacts:
    """What LibRaw says about a file.

    Attributes:
        visible: Visible area by LibRaw.
        raw_height, raw_width: Size of the whole mosaic.
        flip: dcraw's orientation bits.
        camera: None for a DNG, which says all of that in its tags.
        crop: What the camera's own pictures show, rows and columns of the whole mosaic; None where unknown.
    """

    visible: Area
    raw_height: int
    raw_width: int
    flip: int
    camera: CameraFacts | None
    crop: Area | None = None


def build_metadata(tags: FileTags, facts: LibRawFacts, notes: list[str]) -> FrameMetadata:
    """Joins what the tags and LibRaw know.

    Args:
        tags: The file's own tags.
        facts: LibRaw's view.
        notes: Warnings for people are added here.

    Raises:
        InputError: No camera can be told, or the file contradicts itself.
        UnsupportedSensorError: The sensor's mosaic is not a 2x2 Bayer pattern.
    """
    image, exif = tags.exif.image, tags.exif.exif
    make, model = _text(image.get(_MAKE)), _text(image.get(_MODEL))
    unique_model = tags.directories[0].text(UNIQUE_CAMERA_MODEL).strip() if tags.is_dng else ""
    area = visible_area(tags, facts)
    camera = facts.camera
    if camera is None:
        cfa, levels = dng.cfa(tags), dng.levels(tags, area, notes)
        color, noise = dng.color(tags, notes), dng.noise(tags, notes)
        model = model or unique_model
        orientation = 1
    else:
        if not (make or model or camera.time or camera.iso > 0):
            # LibRaw guesses the format of bare dumps by their length.
            raise InputError(
                f"{tags.path}: has no header that names a camera; its pixels cannot be understood"
            )
        cfa, levels, color = (
            _camera_cfa(tags, camera),
            _camera_levels(tags, camera),
            _camera_color(tags, camera, notes),
        )
        noise = None
        orientation = _FLIP_TO_ORIENTATION[facts.flip & 7]
    tagged = image.get(_ORIENTATION)
    if isinstance(tagged, int) and 1 <= tagged <= 8:
        orientation = tagged
    return FrameMetadata(
        path=tags.path,
        height=area.height,
        width=area.width,
        cfa=cfa,
        levels=levels,
        color=color,
        orientation=orientation,
        noise=noise,
        make=make,
        model=model,
        lens=_text(exif.get(_LENS_MODEL)) or (camera.lens if camera else ""),
        unique_model=unique_model,
        default_crop=dng.default_crop(tags, area) if tags.is_dng else _camera_crop(facts, area),
        iso=_positive(_iso(exif), camera.iso if camera else None),
        exposure_time=_positive(exif.get(_EXPOSURE_TIME), camera.exposure_time if camera else None),
        aperture=_positive(exif.get(_F_NUMBER), camera.aperture if camera else None),
        focal_length=_positive(exif.get(_FOCAL_LENGTH), camera.focal_length if camera else None),
        time=capture_time(tags.exif) or (camera.time if camera else None),
        exif=tags.exif,
        opcodes=dng.opcode_lists(tags, area) if tags.is_dng else None,
    )


def visible_area(tags: FileTags, facts: LibRawFacts) -> Area:
    """The visible part of LibRaw's mosaic: ActiveArea for a DNG, else LibRaw's own choice.

    Raises:
        InputError: The area is no part of the pixels decoded, or their size is not what the tags describe.
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
    """The moment of capture, with sub-seconds and UTC offset where the tags have them."""
    for text, subsec, offset in (
        (
            exif.exif.get(_DATE_TIME_ORIGINAL),
            exif.exif.get(_SUBSEC_ORIGINAL),
            exif.exif.get(_OFFSET_TIME_ORIGINAL),
        ),
        (exif.image.get(_DATE_TIME), exif.exif.get(_SUBSEC), exif.exif.get(_OFFSET_TIME)),
    ):
        try:
            time = datetime.strptime(_text(text)[:19], "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        digits = _text(subsec)
        if digits.isascii() and digits.isdigit():
            time += timedelta(microseconds=int(digits[:6].ljust(6, "0")))
        zone = _utc_offset(_text(offset))
        return time if zone is None else time.replace(tzinfo=zone)
    return None


def _utc_offset(text: str) -> timezone | None:
    """EXIF's "+hh:mm" as a time zone."""
    try:
        return timezone(timedelta(seconds=datetime.strptime(text, "%z").utcoffset().total_seconds()))  # type: ignore[union-attr]
    except ValueError:
        return None


def _iso(exif: Mapping[int, Any]) -> Any:
    """The ISO tag, which ends at 65535; cameras that go beyond say so in RecommendedExposureIndex."""
    speed = exif.get(_ISO)
    return exif.get(_RECOMMENDED_EXPOSURE_INDEX, speed) if speed in (None, 0, 65535) else speed


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _positive(*values: Any) -> float | None:
    """The first of several tags that holds a positive number, as a float (of a list, its first)."""
    for value in values:
        number = value[0] if isinstance(value, tuple) and value else value
        if isinstance(number, (int, float, Fraction)) and math.isfinite(number) and number > 0:
            return float(number)
    return None


def _camera_crop(facts: LibRawFacts, area: Area) -> tuple[int, int, int, int] | None:
    """Like `dng.default_crop`."""
    if facts.crop is None:
        return None
    height, width = facts.crop.height, facts.crop.width
    crop = (facts.crop.top - area.top, facts.crop.left - area.left, height, width)
    # A maker's crop takes a few pixels away; one that takes half a side is damage.
    likely = 2 * height > area.height and 2 * width > area.width
    return crop if likely and lies_within(crop, area.height, area.width) else None


def _camera_cfa(tags: FileTags, camera: CameraFacts) -> str:
    if camera.is_foveon:
        raise UnsupportedSensorError(
            f"{tags.path}: comes from a Foveon sensor, whose three layers need the maker's own colours; "
            f"{dng.CONVERT}"
        )
    if camera.channels == 3:
        return LINEAR
    if camera.pattern is None or len(camera.colors) == 1:
        return MONOCHROME
    names = "".join(camera.colors[c] if c < len(camera.colors) else "?" for c in camera.pattern.ravel())
    return dng.checked_pattern(tags, names, camera.pattern.shape)


def _camera_levels(tags: FileTags, camera: CameraFacts) -> Levels:
    if camera.pattern is not None and camera.pattern.shape == (2, 2):
        black = np.array([camera.black[c] for c in camera.pattern.ravel()], dtype=np.float32).reshape(2, 2)
    else:
        black = np.full((1, 1), np.mean(camera.black[: camera.channels]), np.float32)
    return dng.checked_levels(tags, Levels(black, camera.white))


def _camera_color(tags: FileTags, camera: CameraFacts, notes: list[str]) -> ColorProfile:
    if camera.channels == 1 and (camera.pattern is None or len(camera.colors) == 1):
        return ColorProfile(dng.XYZ_TO_SRGB.copy(), np.ones(3))  # monochrome: grey stays grey
    matrix = camera.xyz_to_camera
    if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e4:
        notes.append(
            f"{tags.path}: LibRaw knows no colour matrix for this camera; its colours are taken for sRGB"
        )
        matrix = dng.XYZ_TO_SRGB.copy()
    gains = camera.white_balance
    neutral = None
    if np.isfinite(gains).all() and (gains > 0).all():
        neutral = (1 / gains) / (1 / gains).max()
    return ColorProfile(color_matrix_1=matrix, as_shot_neutral=neutral)
