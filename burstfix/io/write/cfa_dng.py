"""Write a mosaic with its levels, calibration, noise and EXIF as a CFA DNG (DNG specification 1.7.1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from burstfix.atomic import atomic_path
from burstfix.cfa import CFA_PATTERNS
from burstfix.io import tag_numbers as tn
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.io.write.picture_tags import writable
from burstfix.types import ExifTags, FrameMetadata, NoiseProfile, camera_key

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SRATIONAL, _DOUBLE = 1, 3, 4, 5, 7, 10, 12
_OPCODE_LISTS = (tn.OPCODE_LIST_1, tn.OPCODE_LIST_2, tn.OPCODE_LIST_3)

Tag = tuple[int, int, int, Any, bool]
"""A tag in the form that tifffile expects: number, type, count, value, and True for the first page only."""


def write_cfa_dng(
    path: Path | str,
    mosaic: NDArray[np.uint16],
    metadata: FrameMetadata,
    *,
    active_area: tuple[int, int, int, int] | None = None,
    linearization_table: NDArray[np.uint16] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a mosaic as an uncompressed 16-bit CFA DNG. The same input gives the same bytes.

    Args:
        path: Output file, usually with the suffix ".dng".
        mosaic: uint16 (rows, cols), the whole sensor. Its size is that of `metadata`, or larger if
            `active_area` is given.
        metadata: Values of the tags. `metadata.cfa` and the levels start at the top left of the visible
            area, as in the DNG format.
        active_area: Top, left, bottom, right of the visible area in `mosaic`; the whole mosaic by default.
        linearization_table: DN of each code in `mosaic`; levels are in DN.
        overwrite: Replace an existing file.

    Returns:
        Path of the written file.

    Raises:
        ValueError: Sizes or patterns are inconsistent.
        OutputError: The file exists or cannot be written.
    """
    area = active_area or (0, 0, *mosaic.shape)
    visible = (area[2] - area[0], area[3] - area[1])
    if mosaic.ndim != 2 or mosaic.dtype != np.uint16:
        raise ValueError(f"a mosaic is uint16 (rows, cols), not {mosaic.dtype} {mosaic.shape}")
    if visible != (metadata.height, metadata.width):
        raise ValueError(f"the visible area is {visible}, not {metadata.height, metadata.width}")
    if metadata.cfa not in CFA_PATTERNS:
        raise ValueError(f"not a Bayer pattern: {metadata.cfa}")
    tags = [*_structure_tags(metadata, area), *_level_tags(metadata), *color_tags(metadata)]
    if linearization_table is not None:
        tags.append(tag(tn.LINEARIZATION_TABLE, _SHORT, linearization_table.tolist()))
    if metadata.noise is not None:
        tags.append(tag(tn.NOISE_PROFILE, _DOUBLE, noise_values(metadata.noise)))
    if (lists := metadata.opcodes) is not None:
        for number, data in zip(_OPCODE_LISTS, (lists.first, lists.second, lists.third), strict=True):
            tags += [(number, _UNDEFINED, len(data), data, True)] if data else []
    with atomic_path(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            mosaic,
            photometric=tn.PHOTOMETRIC_CFA,
            byteorder="<",
            subfiletype=0,
            metadata=None,
            software=str(metadata.exif.image.get(305, "burstfix")),
            extratags=tags,
        )
        append_exif_ifds(temporary, exif_tags(metadata))
    return Path(path)


def _structure_tags(metadata: FrameMetadata, area: tuple[int, int, int, int]) -> list[Tag]:
    return [
        tag(tn.CFA_REPEAT, _SHORT, (2, 2)),
        tag(tn.CFA_PATTERN, _BYTE, ["RGB".index(c) for c in metadata.cfa]),
        tag(tn.CFA_PLANE_COLOR, _BYTE, (0, 1, 2)),
        tag(tn.CFA_LAYOUT, _SHORT, (1,)),
        tag(tn.DNG_VERSION, _BYTE, (1, 4, 0, 0)),
        tag(tn.DNG_BACKWARD_VERSION, _BYTE, (1, 1, 0, 0)),
        tag(tn.ACTIVE_AREA, _LONG, area),
        tag(tn.DEFAULT_CROP_ORIGIN, _LONG, (0, 0)),
        tag(tn.DEFAULT_CROP_SIZE, _LONG, (metadata.width, metadata.height)),
    ]


def _level_tags(metadata: FrameMetadata) -> list[Tag]:
    levels = metadata.levels
    tags = [
        tag(tn.BLACK_REPEAT, _SHORT, levels.black.shape),
        rationals(tn.BLACK, levels.black, signed=False),
        tag(tn.WHITE, _LONG, (round(levels.white),)),
    ]
    if levels.black_cols is not None:
        tags.append(rationals(tn.BLACK_DELTA_H, levels.black_cols))
    if levels.black_rows is not None:
        tags.append(rationals(tn.BLACK_DELTA_V, levels.black_rows))
    return tags


def color_tags(metadata: FrameMetadata) -> list[Tag]:
    """Make the tags of colour calibration, white balance and baseline exposure."""
    color = metadata.color
    tags = [tag(tn.ILLUMINANT_1, _SHORT, (color.illuminant_1,))]
    if color.illuminant_2 is not None:
        tags.append(tag(tn.ILLUMINANT_2, _SHORT, (color.illuminant_2,)))
    for number, matrix in (
        (tn.COLOR_MATRIX_1, color.color_matrix_1),
        (tn.COLOR_MATRIX_2, color.color_matrix_2),
        (tn.CALIBRATION_1, color.camera_calibration_1),
        (tn.CALIBRATION_2, color.camera_calibration_2),
        (tn.FORWARD_MATRIX_1, color.forward_matrix_1),
        (tn.FORWARD_MATRIX_2, color.forward_matrix_2),
    ):
        if matrix is not None:
            tags.append(rationals(number, matrix))
    if color.analog_balance is not None:
        tags.append(rationals(tn.ANALOG_BALANCE, color.analog_balance, signed=False))
    if color.as_shot_neutral is not None:
        tags.append(rationals(tn.AS_SHOT_NEUTRAL, color.as_shot_neutral, signed=False))
    elif color.as_shot_white_xy is not None:  # the format allows only one of the two
        tags.append(rationals(tn.AS_SHOT_WHITE_XY, color.as_shot_white_xy, signed=False))
    # Written even if it is 0, the default of the format, so that readers do not use a default of their own.
    tags.append(rationals(tn.BASELINE_EXPOSURE, [color.baseline_exposure]))
    return tags


def noise_values(noise: NoiseProfile) -> list[float]:
    """Return pairs (S, O) for R, G, B (DNG has one pair for green), or a single pair if all are equal."""
    pairs = [
        ((noise.shot_gain[k] + noise.shot_gain[j]) / 2, (noise.read_variance[k] + noise.read_variance[j]) / 2)
        for k, j in ((0, 0), (1, 2), (3, 3))
    ]
    if pairs[0] == pairs[1] == pairs[2]:
        pairs = pairs[:1]
    return [x for pair in pairs for x in pair]


def exif_tags(metadata: FrameMetadata) -> ExifTags:
    """Return the copied tags, updated from the metadata, without tags that EXIF cannot represent."""
    image: dict[int, Any] = dict(metadata.exif.image)
    exif: dict[int, Any] = {36864: b"0232", **metadata.exif.exif}
    image.update({271: metadata.make, 272: metadata.model} if metadata.make or metadata.model else {})
    image[274] = metadata.orientation
    camera = metadata.unique_model or camera_key(metadata.make, metadata.model) or "unknown camera"
    image[tn.UNIQUE_CAMERA_MODEL] = camera
    numbers = {33434: metadata.exposure_time, 33437: metadata.aperture, 37386: metadata.focal_length}
    for number, value in numbers.items():
        if value is not None:
            exif[number] = Fraction(value).limit_denominator(1_000_000)
    if metadata.iso is not None:
        exif[34855] = min(round(metadata.iso), 0xFFFF)  # 16 bits; RecommendedExposureIndex has 32
        if metadata.iso > 0xFFFF:
            exif.update({34864: 2, 34866: round(metadata.iso)})
    if metadata.lens:
        exif[42036] = metadata.lens
    if metadata.time is not None:
        image[306], exif[36867] = (metadata.time.strftime("%Y:%m:%d %H:%M:%S"),) * 2
        exif.update(_time_details(metadata.time))
    return writable(ExifTags(image, exif, metadata.exif.gps))


def _time_details(time: datetime) -> dict[int, str]:
    """Make SubSecTimeOriginal and OffsetTimeOriginal."""
    details = {}
    if time.microsecond:
        details[37521] = f"{time.microsecond:06d}".rstrip("0")
    if time.tzinfo is not None:
        zone = time.strftime("%z")
        details[36881] = f"{zone[:3]}:{zone[3:5]}"
    return details


def tag(number: int, kind: int, values: Iterable[Any]) -> Tag:
    """Make a tag with any number of values of one TIFF type."""
    items = tuple(values)
    return (number, kind, len(items), items, True)


def rationals(number: int, values: ArrayLike, signed: bool = True) -> Tag:
    """Make a tag of fractions with a precision of up to 6 decimals."""
    items = [Fraction(round(float(x) * 1_000_000), 1_000_000) for x in np.asarray(values).ravel()]
    flat = tuple(n for x in items for n in (x.numerator, x.denominator))
    return (number, _SRATIONAL if signed else _RATIONAL, len(items), flat, True)
