"""Read layout, areas, colour pattern and opcode lists from the tags of a DNG (DNG 1.7.1, chapter 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from burstfix.cfa import CFA_PATTERNS, LINEAR, MONOCHROME
from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import tag_numbers as tn
from burstfix.io.read.tags import FileTags
from burstfix.opcodes import Area as OpcodeArea
from burstfix.opcodes import OpcodeLists, Polynomial, parse_list, without_polynomials
from burstfix.types import lies_within

CONVERT = "convert the frames to linear (demosaicked) DNGs, which merge with --model average"
"""Hint for mosaics that are not Bayer mosaics."""

_FLOATING_POINT = 3
_BITS = (8, 32)  # DNG 1.7.1, chapter 3, BitsPerSample
_MAX_SCALE = 4.0  # a larger DefaultScale indicates a damaged file


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the sensor in pixels."""

    top: int
    left: int
    height: int
    width: int


def check_sensor(tags: FileTags) -> None:
    """Raise an error for DNGs without a raw picture that burstfix can merge.

    A mosaic has one or two values per pixel. With two (Fuji SR, dual-pixel sensors), the first one is used.

    Raises:
        UnsupportedSensorError: The pixels are floating point, have another number of values, or are stored
            in an unsupported order.
        InputError: The DNG contains no raw picture.
    """
    raw = tags.raw
    if raw is None:
        raise InputError(f"{tags.path}: is a DNG without a raw picture")
    samples = raw.number(tn.SAMPLES_PER_PIXEL, 1)
    linear = raw.number(tn.PHOTOMETRIC, 0) == tn.PHOTOMETRIC_LINEAR_RAW
    if samples not in ((1, 3) if linear else (1, 2)):
        raise UnsupportedSensorError(
            f"{tags.path}: has {samples} values per pixel; a mosaic has one, a demosaicked DNG has three; "
            f"{CONVERT}"
        )
    if raw.number(tn.SAMPLE_FORMAT, 1) == _FLOATING_POINT:
        raise UnsupportedSensorError(
            f"{tags.path}: contains floating-point pixels (an HDR merge?); merge the original integer raws"
        )
    bits = raw.number(tn.BITS_PER_SAMPLE, 16)
    if not _BITS[0] <= bits <= _BITS[1]:
        raise InputError(
            f"{tags.path}: claims {bits} bits per value; DNGs have {_BITS[0]} to {_BITS[1]}; the file is "
            "damaged"
        )
    blocks = raw.numbers(tn.SUB_TILE_BLOCK_SIZE)
    if any(size != 1 for size in blocks):
        raise UnsupportedSensorError(
            f"{tags.path}: its pixels are stored in unsupported blocks (SubTileBlockSize {blocks}); "
            "convert it with Adobe's DNG Converter, compatibility Camera Raw 14 or earlier"
        )


def active_area(tags: FileTags) -> Area:
    """Return the visible part of the sensor.

    Raises:
        InputError: ActiveArea does not lie within the picture.
    """
    assert tags.raw is not None
    height, width = tags.raw.number(tn.IMAGE_LENGTH, 0), tags.raw.number(tn.IMAGE_WIDTH, 0)
    values = tags.integers(tn.ACTIVE_AREA)
    if len(values) != 4:
        return Area(0, 0, height, width)
    top, left, bottom, right = values
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(
            f"{tags.path}: the active area (rows {top} to {bottom}, columns {left} to {right}) does not lie "
            f"within the {width}x{height} picture"
        )
    return Area(top, left, bottom - top, right - left)


def default_crop(tags: FileTags, area: Area) -> tuple[int, int, int, int] | None:
    """Return top, left, height and width of the default crop in the active area; None if it is invalid."""
    numbers = (*tags.numbers(tn.DEFAULT_CROP_ORIGIN), *tags.numbers(tn.DEFAULT_CROP_SIZE))
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        return None
    left, top, width, height = (round(x) for x in numbers)
    crop = (top, left, height, width)
    return crop if lies_within(crop, area.height, area.width) else None


def default_user_crop(tags: FileTags) -> tuple[float, float, float, float] | None:
    """Return DefaultUserCrop: top, left, bottom, right as fractions of the default crop."""
    numbers = tags.numbers(tn.DEFAULT_USER_CROP)
    if len(numbers) != 4:
        return None
    top, left, bottom, right = map(float, numbers)
    is_part = 0 <= top < bottom <= 1 and 0 <= left < right <= 1
    return (top, left, bottom, right) if is_part and numbers != (0, 0, 1, 1) else None


def default_scale(tags: FileTags) -> tuple[float, float] | None:
    """Return the scale factors for height and width. DefaultScale stores the factor for width first."""
    numbers = tags.numbers(tn.DEFAULT_SCALE)
    return square_pixels(numbers[0] / numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None


def square_pixels(aspect: float) -> tuple[float, float] | None:
    """Return the factors for height and width that make pixels square; None for (1, 1).

    Args:
        aspect: Width over height of a pixel.

    Returns:
        The factors. The smaller one is 1, because pictures are stretched and never reduced.
    """
    if not 1 / _MAX_SCALE <= aspect <= _MAX_SCALE or aspect == 1:
        return None
    return (1.0, float(aspect)) if aspect > 1 else (float(1 / aspect), 1.0)


def cfa(tags: FileTags) -> str:
    """Return the colours of the 2x2 pattern from the top left of the active area.

    If there is no mosaic, return MONOCHROME or LINEAR.

    Raises:
        UnsupportedSensorError: The mosaic is not a 2x2 Bayer pattern.
    """
    assert tags.raw is not None
    if tags.raw.number(tn.PHOTOMETRIC, 0) == tn.PHOTOMETRIC_LINEAR_RAW:
        return MONOCHROME if tags.raw.number(tn.SAMPLES_PER_PIXEL, 1) == 1 else LINEAR
    repeat = tags.integers(tn.CFA_REPEAT)[:2]
    pattern = tags.integers(tn.CFA_PATTERN)[:36]  # the largest known pattern is X-Trans, 6x6
    layout = tags.find(tn.CFA_LAYOUT).number(tn.CFA_LAYOUT, 1)
    letters = "RGBCMYW"
    names = "".join(letters[x] if 0 <= x < 7 else "?" for x in pattern)
    if layout != 1:
        raise UnsupportedSensorError(
            f"{tags.path}: its pixels lie on a staggered grid, not on a 2x2 Bayer grid; {CONVERT}"
        )
    return checked_pattern(tags, names, repeat or (2, 2))


def plane_order(tags: FileTags) -> list[int]:
    """Return the indices of red, green and blue in the plane order of matrices (CFAPlaneColor).

    Raises:
        UnsupportedSensorError: The planes are not red, green and blue.
    """
    planes = tags.integers(tn.CFA_PLANE_COLOR) or (0, 1, 2)
    if sorted(planes) != [0, 1, 2] or cfa(tags) not in CFA_PATTERNS:
        if cfa(tags) in CFA_PATTERNS:
            raise UnsupportedSensorError(
                f"{tags.path}: its colours (CFAPlaneColor {', '.join(map(str, planes))}) are not red, green "
                f"and blue; {CONVERT}"
            )
        return [0, 1, 2]
    return [planes.index(color) for color in range(3)]


def checked_pattern(tags: FileTags, names: str, repeat: tuple[int, ...]) -> str:
    """Return the pattern if it is a Bayer pattern.

    Args:
        tags: The file's tags, for messages.
        names: Letters of the pattern, row by row.
        repeat: Number of rows and columns of the pattern.

    Raises:
        UnsupportedSensorError: The pattern is not a Bayer pattern. The message states the pattern and what to
            do.
    """
    if repeat == (6, 6):
        raise UnsupportedSensorError(
            f"{tags.path}: comes from an X-Trans sensor (a 6x6 colour pattern), not a Bayer sensor; {CONVERT}"
        )
    if repeat == (4, 4) and len(names) == 16:
        blocks = "".join(names[k] for k in (0, 2, 8, 10))
        if all(names[4 * y + x] == blocks[y // 2 * 2 + x // 2] for y in range(4) for x in range(4)):
            raise UnsupportedSensorError(
                f"{tags.path}: comes from a Quad-Bayer sensor at full resolution; shoot at its standard "
                f"(binned) resolution, which gives Bayer raws, or {CONVERT}"
            )
    if repeat != (2, 2):
        size = "x".join(map(str, repeat))
        raise UnsupportedSensorError(
            f"{tags.path}: has a {size} colour pattern; only 2x2 Bayer is supported; {CONVERT}"
        )
    if names not in CFA_PATTERNS:
        raise UnsupportedSensorError(
            f"{tags.path}: has {f'the colour pattern {names}' if names else 'no colour pattern'}; "
            f"only {', '.join(CFA_PATTERNS)} are supported; {CONVERT}"
        )
    return names


def is_lossy(tags: FileTags) -> bool:
    """Return True for 8-bit JPEG data, which LibRaw stretches to 16 bits."""
    return tags.raw is not None and tags.raw.number(tn.COMPRESSION, 0) == tn.COMPRESSION_LOSSY_JPEG


def opcode_lists(tags: FileTags, area: Area) -> OpcodeLists | None:
    """Return the opcode lists as bytes; None if there are none.

    Raises:
        UnsupportedSensorError: A lossy DNG lacks the curves that LibRaw expects.
        InputError: OpcodeList2 of a lossy DNG is malformed.
    """
    assert tags.raw is not None
    first, second, third = (
        tags.find(tag).data(tag) for tag in (tn.OPCODE_LIST_1, tn.OPCODE_LIST_2, tn.OPCODE_LIST_3)
    )
    if is_lossy(tags):
        second = _without_applied_curves(tags, area, second)
    if not (first or second or third):
        return None
    return OpcodeLists(
        first,
        second,
        third,
        sensor_height=tags.raw.number(tn.IMAGE_LENGTH, 0),
        sensor_width=tags.raw.number(tn.IMAGE_WIDTH, 0),
        top=area.top,
        left=area.left,
        linearised=bool(len(tags.find(tn.LINEARIZATION_TABLE).array(tn.LINEARIZATION_TABLE))),
    )


def _without_applied_curves(tags: FileTags, area: Area, second: bytes) -> bytes:
    """Return OpcodeList2 of a lossy DNG without the curves (one per colour) that LibRaw applies."""
    opcodes = parse_list(second, 2, str(tags.path))
    whole = [OpcodeArea(0, 0, area.height, area.width, plane) for plane in range(3)]
    curves = [opcode.area for opcode in opcodes[:3] if isinstance(opcode, Polynomial)]
    if sorted(curves, key=lambda one: one.plane) != whole or any(
        isinstance(opcode, Polynomial) for opcode in opcodes[3:]
    ):
        raise UnsupportedSensorError(
            f"{tags.path}: is a lossy DNG, but OpcodeList2 does not begin with one curve per colour, which "
            "LibRaw expects; convert it to a lossless DNG first"
        )
    return without_polynomials(second)
