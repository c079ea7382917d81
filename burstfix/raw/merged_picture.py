"""Make a linear image from the result of the engine: apply opcodes, trim, and add metadata."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import CFA_PATTERNS, MONOCHROME
from burstfix.opcodes import OpcodeLists
from burstfix.raw.picture_opcodes import apply_to_picture
from burstfix.types import Frame, LinearImage


def linear_image(data: NDArray[np.float32], reference: Frame) -> LinearImage:
    """Apply the opcodes that follow the merge, and add metadata.

    Args:
        data: Result of `engine.merge_tiled`: float32 (3, H, W) camera RGB; or (1, H, W), a mosaic or the
            luminance of a monochrome sensor. It may be changed in place.
        reference: Reference frame. Its plan determines if opcode list 3 is applied to pictures. Mosaics keep
            this list for the raw converter, because lens corrections need all colours at every pixel.

    Returns:
        (3, H, W), or (1, H, W) for a Bayer mosaic. Its metadata contain the opcode lists that remain to be
        applied.
    """
    metadata, plan = reference.metadata, reference.plan
    left = None if plan.mode == "apply" else metadata.opcodes
    cfa, crop, user_crop = metadata.cfa, metadata.default_crop, metadata.default_user_crop
    if data.shape[0] == 1 and cfa in CFA_PATTERNS:
        top, left_column, bottom, right = plan.crop or (0, 0, metadata.height, metadata.width)
        data = data[:, top:bottom, left_column:right]
        cfa = _pattern_from(cfa, top, left_column)
        if metadata.opcodes is not None and metadata.opcodes.third:
            left = replace(left or OpcodeLists(), third=metadata.opcodes.third)
    else:
        data = apply_to_picture(data, plan, str(metadata.path))
    if cfa == MONOCHROME:
        data = np.repeat(data, 3, axis=0)
    height, width = data.shape[1:]
    if (height, width) != (metadata.height, metadata.width):
        crop = user_crop = None  # their coordinates refer to a corner that has been removed
    described = replace(
        metadata,
        height=height,
        width=width,
        cfa=cfa,
        opcodes=left,
        default_crop=crop,
        default_user_crop=user_crop,
    )
    return LinearImage(data, described)


def _pattern_from(cfa: str, top: int, left: int) -> str:
    """Return the Bayer pattern that begins at another pixel.

    >>> _pattern_from("RGGB", 0, 1)
    'GRBG'
    """
    return "".join(cfa[2 * ((y + top) % 2) + (x + left) % 2] for y in (0, 1) for x in (0, 1))
