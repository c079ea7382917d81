"""Read levels, colour calibration and noise from the tags of a DNG (DNG 1.7.1, chapters 4 and 6)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import MONOCHROME
from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import tag_numbers as tn
from burstfix.io.read import dng
from burstfix.io.read.dng import Area
from burstfix.io.read.noted import Noted
from burstfix.io.read.tags import FileTags
from burstfix.types import ColorProfile, Levels, NoiseProfile

XYZ_TO_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=np.float64
)
"""XYZ to linear sRGB (IEC 61966-2-1); used if the colour matrix is missing."""

_D65 = 21
# Values beyond these limits indicate damaged tags.
_MAX_EXPOSURE_EV = 10
_MAX_ENTRY = 1000  # largest plausible number in matrices and vectors
_MAX_WHITE = 65536  # one above the largest 16-bit value, because some programs write it


def levels(tags: FileTags, area: Area) -> Noted[Levels]:
    """Return black and white levels on the scale of linearised values.

    Raises:
        InputError: The levels are not usable.
    """
    assert tags.raw is not None
    warnings: list[str] = []
    repeat = tags.integers(tn.BLACK_REPEAT) or (1, 1)
    values = tags.numbers(tn.BLACK) or (0,)
    rows, columns = repeat if len(repeat) == 2 else (1, 1)
    samples = max(1, tags.raw.number(tn.SAMPLES_PER_PIXEL, 1))
    if len(values) == 1:
        values = values * samples  # not allowed by the specification, but such files exist
    if rows < 1 or columns < 1 or rows * columns * samples != len(values):
        raise InputError(f"{tags.path}: has {len(values)} black levels for a pattern of {rows}x{columns}")
    blacks = _float32(np.array(values)).reshape(rows, columns, samples)
    if samples == 2:
        blacks = blacks[..., :1]  # the first value of each pixel belongs to the mosaic
    if not np.isfinite(blacks).all():
        raise InputError(f"{tags.path}: its black level is not a finite number")
    if np.ptp(blacks, axis=2).max() > 1:
        warnings.append(f"{tags.path}: its colours have different black levels; their mean is used")
    black = blacks.mean(axis=2)

    table = tags.find(tn.LINEARIZATION_TABLE).array(tn.LINEARIZATION_TABLE)
    bits = min(max(tags.raw.number(tn.BITS_PER_SAMPLE, 16), 1), 16)
    white_values = tags.numbers(tn.WHITE)
    default_white = float(table.max()) if len(table) else float(2**bits - 1)
    white = float(white_values[0]) if white_values else default_white
    if dng.is_lossy(tags):  # LibRaw stretches its values to 16 bits
        black, white = black * (65535 / (2**bits - 1)), white * (65535 / (2**bits - 1))
    black_rows = _deltas(tags, tn.BLACK_DELTA_V, area.height, "BlackLevelDeltaV")
    black_columns = _deltas(tags, tn.BLACK_DELTA_H, area.width, "BlackLevelDeltaH")
    found = checked_levels(tags, Levels(black, white, black_rows.value, black_columns.value))
    return Noted(found, (*warnings, *black_rows.warnings, *black_columns.warnings))


def checked_levels(tags: FileTags, levels: Levels) -> Levels:
    """Return the levels if white is above black and fits in 16 bits.

    Raises:
        InputError: The white level is not above the black level, or exceeds 16 bits.
    """
    top = float(levels.black.max())
    for extra in (levels.black_rows, levels.black_cols):
        top += float(extra.max()) if extra is not None else 0.0
    if not (math.isfinite(top) and math.isfinite(levels.white) and top < levels.white):
        raise InputError(
            f"{tags.path}: the white level {levels.white:g} is not above the black level {top:g}"
        )
    if levels.white > _MAX_WHITE:
        raise InputError(f"{tags.path}: the white level {levels.white:.0f} exceeds 16 bits")
    return levels


def _deltas(tags: FileTags, tag: int, length: int, name: str) -> Noted[NDArray[np.float32] | None]:
    deltas = _float32(tags.find(tag).array(tag))
    if not len(deltas):
        return Noted(None)
    if len(deltas) != length or not np.isfinite(deltas).all():
        warning = f"{tags.path}: {name} has {len(deltas)} values instead of {length}; it is ignored"
        return Noted(None, (warning,))
    return Noted(deltas)


def _float32(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Convert to float32; values that are too large become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def color(tags: FileTags) -> Noted[ColorProfile]:
    """Return the colour calibration, for red, green and blue in this order.

    Raises:
        UnsupportedSensorError: The number of colours is not three.
    """
    warnings: tuple[str, ...] = ()
    exposure = tags.numbers(tn.BASELINE_EXPOSURE)
    baseline = float(exposure[0]) if exposure and abs(exposure[0]) <= _MAX_EXPOSURE_EV else 0.0
    if dng.cfa(tags) == MONOCHROME:
        return Noted(ColorProfile(XYZ_TO_SRGB.copy(), np.ones(3), baseline_exposure=baseline))
    order = dng.plane_order(tags)
    rows, columns, both = (order, [0, 1, 2]), ([0, 1, 2], order), (order, order)
    first = _matrix(tags, tn.COLOR_MATRIX_1, rows)
    if first is None:
        count = len(tags.numbers(tn.COLOR_MATRIX_1))
        if count in (3, 12):
            raise UnsupportedSensorError(
                f"{tags.path}: the sensor has {count // 3} colours; only three are supported"
            )
        warnings = (f"{tags.path}: has no usable colour matrix; its colours are treated as sRGB",)
        first = XYZ_TO_SRGB.copy()
    second = _matrix(tags, tn.COLOR_MATRIX_2, rows)
    illuminant_2 = tags.find(tn.ILLUMINANT_2).number(tn.ILLUMINANT_2, 0)
    paired = second is not None and illuminant_2 != 0
    neutral = _vector(tags, tn.AS_SHOT_NEUTRAL, order)
    white_xy = _vector(tags, tn.AS_SHOT_WHITE_XY, [0, 1])
    profile = ColorProfile(
        color_matrix_1=first,
        as_shot_neutral=None if neutral is None else neutral / neutral.max(),
        illuminant_1=tags.find(tn.ILLUMINANT_1).number(tn.ILLUMINANT_1, 0) or _D65,
        color_matrix_2=second if paired else None,
        illuminant_2=illuminant_2 if paired else None,
        forward_matrix_1=_matrix(tags, tn.FORWARD_MATRIX_1, columns),
        forward_matrix_2=_matrix(tags, tn.FORWARD_MATRIX_2, columns) if paired else None,
        camera_calibration_1=_matrix(tags, tn.CALIBRATION_1, both),
        camera_calibration_2=_matrix(tags, tn.CALIBRATION_2, both) if paired else None,
        analog_balance=_vector(tags, tn.ANALOG_BALANCE, order),
        as_shot_white_xy=white_xy if white_xy is not None and white_xy.sum() < 1 else None,
        baseline_exposure=baseline,
    )
    return Noted(profile, warnings)


def _matrix(tags: FileTags, tag: int, order: tuple[list[int], list[int]]) -> NDArray[np.float64] | None:
    """Return a 3x3 matrix with reordered rows and columns; None if absent or singular."""
    values = tags.numbers(tag)
    if len(values) != 9:
        return None
    matrix = np.array(values, dtype=np.float64).reshape(3, 3)[np.ix_(*order)]
    # Real camera matrices have a condition number below 20.
    usable = np.isfinite(matrix).all() and np.abs(matrix).max() <= _MAX_ENTRY and np.linalg.cond(matrix) < 1e4
    return matrix if usable else None


def _vector(tags: FileTags, tag: int, order: list[int]) -> NDArray[np.float64] | None:
    """Return positive numbers, reordered; None if absent or damaged."""
    values = tags.numbers(tag)
    if len(values) != len(order):
        return None
    vector = np.array(values, dtype=np.float64)[order]
    return vector if ((vector > 0) & (vector <= _MAX_ENTRY)).all() else None


def noise(tags: FileTags) -> Noted[NoiseProfile | None]:
    """Return the NoiseProfile: one pair (S, O) for all colours, or one for each plane."""
    values = tags.numbers(tn.NOISE_PROFILE)
    if not values:
        return Noted(None)
    usable = len(values) in (2, 6) and all(math.isfinite(x) and 0 <= x < 1 for x in values)
    if not usable or not all(s > 0 or o > 0 for s, o in zip(values[::2], values[1::2], strict=True)):
        return Noted(None, (f"{tags.path}: its noise profile is not usable; it is ignored",))
    pairs = np.array(values * 3 if len(values) == 2 else values, np.float64).reshape(3, 2)
    red, green, blue = pairs[dng.plane_order(tags)].tolist()
    return Noted(
        NoiseProfile(
            shot_gain=(red[0], green[0], green[0], blue[0]),
            read_variance=(red[1], green[1], green[1], blue[1]),
            source="file",
        )
    )
