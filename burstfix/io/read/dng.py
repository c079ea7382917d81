"""What a DNG's tags say about its pixels: CFA, levels, colour, noise (DNG specification 1.7.1, chapter 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import tag_numbers as tn
from burstfix.io.read.tags import FileTags
from burstfix.opcodes import Area as OpcodeArea
from burstfix.opcodes import OpcodeLists, Polynomial, parse_list, without_polynomials
from burstfix.types import (
    CFA_PATTERNS,
    LINEAR,
    MONOCHROME,
    ColorProfile,
    Levels,
    NoiseProfile,
    lies_within,
)

# XYZ to linear sRGB (IEC 61966-2-1): stands in where a file names no colour matrix.
XYZ_TO_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=np.float64
)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the sensor in pixels."""

    top: int
    left: int
    height: int
    width: int


def check_sensor(tags: FileTags) -> None:
    """Refuses DNGs without a raw picture that burstfix can merge.

    Raises:
        UnsupportedSensorError: Its pixels are floating point, or hold neither one value nor three.
        InputError: There is no raw picture in it.
    """
    raw = tags.raw
    if raw is None:
        raise InputError(f"{tags.path}: a DNG without a raw picture in it")
    samples = raw.number(tn.SAMPLES_PER_PIXEL, 1)
    linear = raw.number(tn.PHOTOMETRIC, 0) == tn.PHOTOMETRIC_LINEAR_RAW
    if samples not in ((1, 3) if linear else (1,)):
        raise UnsupportedSensorError(
            f"{tags.path}: has {samples} values at each pixel; a mosaic has one, a demosaiced DNG three"
        )
    if raw.number(tn.SAMPLE_FORMAT, 1) == 3:
        raise UnsupportedSensorError(
            f"{tags.path}: holds floating-point pixels (an HDR merge?); merge the integer raws it was made of"
        )


def active_area(tags: FileTags) -> Area:
    """The visible part of the sensor.

    Raises:
        InputError: ActiveArea does not lie within the picture.
    """
    assert tags.raw is not None
    height, width = tags.raw.number(tn.IMAGE_LENGTH, 0), tags.raw.number(tn.IMAGE_WIDTH, 0)
    values = tags.numbers(tn.ACTIVE_AREA)
    if len(values) != 4:
        return Area(0, 0, height, width)
    top, left, bottom, right = (int(x) for x in values)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(
            f"{tags.path}: the active area (rows {top} to {bottom}, columns {left} to {right}) does not lie "
            f"within the {width}x{height} picture"
        )
    return Area(top, left, bottom - top, right - left)


def default_crop(tags: FileTags, area: Area) -> tuple[int, int, int, int] | None:
    """Top, left, height, width of the part of the active area that developers show, where it is possible."""
    numbers = (*tags.numbers(tn.DEFAULT_CROP_ORIGIN), *tags.numbers(tn.DEFAULT_CROP_SIZE))
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        return None
    left, top, width, height = (round(x) for x in numbers)
    crop = (top, left, height, width)
    return crop if lies_within(crop, area.height, area.width) else None


def cfa(tags: FileTags) -> str:
    """Colours of the 2x2 pattern from the top left of the active area, which is where CFAPattern starts.

    MONOCHROME or LINEAR where there is no mosaic.

    Raises:
        UnsupportedSensorError: A mosaic other than a 2x2 Bayer pattern.
    """
    assert tags.raw is not None
    if tags.raw.number(tn.PHOTOMETRIC, 0) == tn.PHOTOMETRIC_LINEAR_RAW:
        return MONOCHROME if tags.raw.number(tn.SAMPLES_PER_PIXEL, 1) == 1 else LINEAR
    repeat = tuple(int(x) for x in tags.numbers(tn.CFA_REPEAT)[:2])
    pattern = tags.numbers(tn.CFA_PATTERN)[:36]  # the largest known pattern is X-Trans, 6x6
    layout = tags.find(tn.CFA_LAYOUT).number(tn.CFA_LAYOUT, 1)
    letters = "RGBCMYW"
    names = "".join(letters[int(x)] if 0 <= x < 7 else "?" for x in pattern)
    if layout != 1:
        raise UnsupportedSensorError(
            f"{tags.path}: its pixels lie on a staggered grid, not on a 2x2 Bayer one; {CONVERT}"
        )
    return checked_pattern(tags, names, repeat or (2, 2))


CONVERT = "convert the frames to linear (demosaiced) DNGs, which merge with --model average"
"""What could be done about a mosaic that is no Bayer one."""


def checked_pattern(tags: FileTags, names: str, repeat: tuple[int, ...]) -> str:
    """The pattern, if it is a Bayer one.

    Args:
        tags: The file's, for messages.
        names: Letters of the pattern, row by row.
        repeat: Its rows and columns.

    Raises:
        UnsupportedSensorError: It is another; the message says which, and what could be done.
    """
    if repeat == (6, 6):
        raise UnsupportedSensorError(
            f"{tags.path}: comes from an X-Trans sensor (a 6x6 colour pattern), no Bayer mosaic; {CONVERT}"
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
            f"{tags.path}: a {size} colour pattern; only 2x2 Bayer is supported; {CONVERT}"
        )
    if names not in CFA_PATTERNS:
        raise UnsupportedSensorError(
            f"{tags.path}: the colour pattern {names or 'is missing'}; "
            f"only {', '.join(CFA_PATTERNS)} are supported; {CONVERT}"
        )
    return names


def levels(tags: FileTags, area: Area, notes: list[str]) -> Levels:
    """Black and white levels, in the numbers that come out of the linearisation table.

    Raises:
        InputError: They are not usable.
    """
    repeat = tags.numbers(tn.BLACK_REPEAT) or (1, 1)
    values = tags.numbers(tn.BLACK) or (0,)
    rows, cols = (int(repeat[0]), int(repeat[1])) if len(repeat) == 2 else (1, 1)
    assert tags.raw is not None
    samples = 3 if tags.raw.number(tn.SAMPLES_PER_PIXEL, 1) == 3 else 1
    if len(values) == 1:
        values = values * samples  # not to the letter of the format, but it happens
    if rows < 1 or cols < 1 or rows * cols * samples != len(values):
        raise InputError(f"{tags.path}: {len(values)} black levels for a pattern of {rows}x{cols}")
    blacks = np.array([float(x) for x in values], dtype=np.float32).reshape(rows, cols, samples)
    if np.ptp(blacks, axis=2).max() > 1:
        notes.append(f"{tags.path}: its colours have different black levels; their mean is taken")
    black = blacks.mean(axis=2)

    table = tags.numbers(tn.LINEARIZATION_TABLE)
    bits = min(max(tags.raw.number(tn.BITS_PER_SAMPLE, 16), 1), 16)
    default_white = float(max(table)) if table else float(2**bits - 1)
    white_values = tags.numbers(tn.WHITE)
    white = float(white_values[0]) if white_values else default_white
    if _is_lossy(tags):
        # LibRaw stretches what is in the file to 16 bits.
        black, white = black * (65535 / (2**bits - 1)), white * (65535 / (2**bits - 1))
    return checked_levels(
        tags,
        Levels(
            black,
            white,
            _deltas(tags, tn.BLACK_DELTA_V, area.height, "BlackLevelDeltaV", notes),
            _deltas(tags, tn.BLACK_DELTA_H, area.width, "BlackLevelDeltaH", notes),
        ),
    )


def _is_lossy(tags: FileTags) -> bool:
    return tags.raw is not None and tags.raw.number(tn.COMPRESSION, 0) == tn.COMPRESSION_LOSSY_JPEG


def checked_levels(tags: FileTags, levels: Levels) -> Levels:
    """The levels again, if they leave room for a picture.

    Raises:
        InputError: They do not.
    """
    top = float(levels.black.max())
    for extra in (levels.black_rows, levels.black_cols):
        top += float(extra.max()) if extra is not None else 0.0
    if not (math.isfinite(top) and math.isfinite(levels.white) and top < levels.white):
        raise InputError(
            f"{tags.path}: the white level {levels.white:g} is not above the black level {top:g}"
        )
    return levels


def _deltas(tags: FileTags, tag: int, length: int, name: str, notes: list[str]) -> NDArray[np.float32] | None:
    values = tags.numbers(tag)
    if not values:
        return None
    deltas = np.array([float(x) for x in values], dtype=np.float32)
    if len(deltas) != length or not np.isfinite(deltas).all():
        notes.append(f"{tags.path}: {name} has {len(deltas)} values where {length} belong; it is ignored")
        return None
    return deltas


def color(tags: FileTags, notes: list[str]) -> ColorProfile:
    """Colour calibration.

    Raises:
        UnsupportedSensorError: The sensor has other than three colours.
    """
    exposure = tags.numbers(tn.BASELINE_EXPOSURE)
    # Beyond +-10 EV it is damage, not photography.
    baseline = float(exposure[0]) if exposure and abs(exposure[0]) <= 10 else 0.0
    if cfa(tags) == MONOCHROME:
        return ColorProfile(XYZ_TO_SRGB.copy(), np.ones(3), baseline_exposure=baseline)  # grey stays grey
    first = _matrix(tags, tn.COLOR_MATRIX_1)
    if first is None:
        count = len(tags.numbers(tn.COLOR_MATRIX_1))
        if count in (3, 12):
            raise UnsupportedSensorError(
                f"{tags.path}: a sensor of {count // 3} colours; three are supported"
            )
        notes.append(f"{tags.path}: no usable colour matrix; its colours are taken for sRGB")
        first = XYZ_TO_SRGB.copy()
    second = _matrix(tags, tn.COLOR_MATRIX_2)
    illuminant_2 = tags.find(tn.ILLUMINANT_2).number(tn.ILLUMINANT_2, 0)
    paired = second is not None and illuminant_2 != 0
    neutral = _vector(tags, tn.AS_SHOT_NEUTRAL, 3)
    white_xy = _vector(tags, tn.AS_SHOT_WHITE_XY, 2)
    return ColorProfile(
        color_matrix_1=first,
        as_shot_neutral=None if neutral is None else neutral / neutral.max(),
        illuminant_1=tags.find(tn.ILLUMINANT_1).number(tn.ILLUMINANT_1, 0) or 21,
        color_matrix_2=second if paired else None,
        illuminant_2=illuminant_2 if paired else None,
        forward_matrix_1=_matrix(tags, tn.FORWARD_MATRIX_1),
        forward_matrix_2=_matrix(tags, tn.FORWARD_MATRIX_2) if paired else None,
        camera_calibration_1=_matrix(tags, tn.CALIBRATION_1),
        camera_calibration_2=_matrix(tags, tn.CALIBRATION_2) if paired else None,
        analog_balance=_vector(tags, tn.ANALOG_BALANCE, 3),
        as_shot_white_xy=white_xy if white_xy is not None and white_xy.sum() < 1 else None,
        baseline_exposure=baseline,
    )


def _matrix(tags: FileTags, tag: int) -> NDArray[np.float64] | None:
    """A 3x3 matrix, None when it is absent or cannot be inverted."""
    values = tags.numbers(tag)
    if len(values) != 9:
        return None
    matrix = np.array([float(x) for x in values], dtype=np.float64).reshape(3, 3)
    # Real camera matrices have a condition number below 20.
    return matrix if np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e4 else None


def _vector(tags: FileTags, tag: int, length: int) -> NDArray[np.float64] | None:
    """Positive numbers, None when absent or damaged."""
    values = tags.numbers(tag)
    if len(values) != length:
        return None
    vector = np.array([float(x) for x in values], dtype=np.float64)
    return vector if np.isfinite(vector).all() and (vector > 0).all() else None


def opcode_lists(tags: FileTags, area: Area) -> OpcodeLists | None:
    """The opcode lists as bytes; None where there are none.

    Raises:
        UnsupportedSensorError: A lossy DNG without the curves that LibRaw takes for granted.
        InputError: A lossy DNG's list 2 is malformed.
    """
    assert tags.raw is not None
    first, second, third = (
        tags.find(tag).data(tag) for tag in (tn.OPCODE_LIST_1, tn.OPCODE_LIST_2, tn.OPCODE_LIST_3)
    )
    if _is_lossy(tags):
        second = _left_by_libraw(tags, area, second)
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
        linearised=bool(tags.numbers(tn.LINEARIZATION_TABLE)),
    )


def _left_by_libraw(tags: FileTags, area: Area, second: bytes) -> bytes:
    """List 2 of a lossy DNG without the curves (one for each colour), which LibRaw applies as it decodes."""
    opcodes = parse_list(second, 2, str(tags.path))
    whole = [OpcodeArea(0, 0, area.height, area.width, plane) for plane in range(3)]
    curves = [opcode.area for opcode in opcodes[:3] if isinstance(opcode, Polynomial)]
    if sorted(curves, key=lambda one: one.plane) != whole or any(
        isinstance(opcode, Polynomial) for opcode in opcodes[3:]
    ):
        raise UnsupportedSensorError(
            f"{tags.path}: is a lossy DNG whose OpcodeList2 does not begin with a curve for each colour, on "
            "which LibRaw counts; convert it to a lossless DNG first"
        )
    return without_polynomials(second)


def noise(tags: FileTags, notes: list[str]) -> NoiseProfile | None:
    """The NoiseProfile: one pair (S, O) for all colours, or one for each of R, G, B."""
    values = [float(x) for x in tags.numbers(tn.NOISE_PROFILE)]
    if not values:
        return None
    usable = len(values) in (2, 6) and all(math.isfinite(x) and 0 <= x < 1 for x in values)
    if not usable or not all(s > 0 or o > 0 for s, o in zip(values[::2], values[1::2], strict=True)):
        notes.append(f"{tags.path}: its noise profile is not usable; it is ignored")
        return None
    gains, offsets = values[::2], values[1::2]
    if len(gains) == 1:
        gains, offsets = gains * 3, offsets * 3
    return NoiseProfile(
        shot_gain=(gains[0], gains[1], gains[1], gains[2]),
        read_variance=(offsets[0], offsets[1], offsets[1], offsets[2]),
        source="file",
    )
