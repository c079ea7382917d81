"""Find and repair the pixels that opcode lists mark as bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError
from burstfix.opcodes.parse import SKIP_HINT
from burstfix.opcodes.plan import OpcodePlan
from burstfix.opcodes.records import BadPixelList, BadPixelValue
from burstfix.types import Frame, Levels

_FULL = 65535.0
# A file with a larger share of bad pixels counts as damaged. Focus pixels are less than half of this share.
_MAX_BAD = 0.1


def find_bad_pixels(frame: Frame, plan: OpcodePlan) -> NDArray[np.int32]:
    """Return the pixels that opcodes mark as bad.

    Returns:
        int32 (count, 2), rows and columns in the visible area, in reading order without duplicates.
    """
    height, width = frame.mosaic.shape
    steps = [(number, step) for number, of_list in ((1, plan.sensor), (2, plan.mosaic)) for step in of_list]
    if not any(isinstance(step.opcode, (BadPixelValue, BadPixelList)) for _, step in steps):
        return np.empty((0, 2), np.int32)
    bad = np.zeros((height, width), bool)
    for number, step in steps:
        opcode = step.opcode
        if isinstance(opcode, BadPixelValue):
            bad |= frame.mosaic == _in_dn(opcode.value, number, frame.metadata.levels)
        elif isinstance(opcode, BadPixelList):
            points = opcode.points + step.origin
            inside = ((points >= 0) & (points < (height, width))).all(1)
            bad[points[inside, 0], points[inside, 1]] = True
            bad |= _inside_any(opcode.rectangles + np.tile(step.origin, 2), height, width)
    return np.argwhere(bad).astype(np.int32)


def _inside_any(boxes: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask (height, width) of the pixels inside any rectangle. Fast for many rectangles."""
    corners = np.zeros((height + 1, width + 1), np.int32)
    limited = np.clip(boxes, 0, (height, width, height, width))
    top, left, bottom, right = limited.T
    for rows, cols, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(corners, (rows, cols), sign)
    return corners.cumsum(0).cumsum(1)[:height, :width] > 0


def _in_dn(value: int, number: int, levels: Levels) -> int:
    """Convert a value to DN. In list 2, 0 is black and 65535 is white; values of list 1 are DN."""
    if number == 1:
        return value
    black = float(levels.black.mean())
    return round(black + value / _FULL * (levels.white - black))


def fill_bad_pixels(
    mosaic: NDArray[np.uint16], places: NDArray[np.int32], pitch: int, where: str
) -> NDArray[np.uint16]:
    """Interpolate bad pixels from their nearest good neighbours of the same colour.

    Clusters are filled from the outside inward.

    Args:
        mosaic: (H, W) in DN.
        places: (count, 2), rows and columns, without duplicates.
        pitch: Distance between neighbours of one colour: 2 in a Bayer mosaic.
        where: The file, for messages.

    Returns:
        uint16 (count,), the new values.

    Raises:
        InputError: Too many pixels are bad.
    """
    height, width = mosaic.shape
    if len(places) > _MAX_BAD * height * width:
        raise InputError(
            f"{where}: its opcodes declare {len(places) / (height * width):.0%} of its pixels bad; "
            f"the file is damaged ({SKIP_HINT})"
        )
    values = mosaic.astype(np.float32)
    bad = np.zeros(mosaic.shape, bool)
    bad[places[:, 0], places[:, 1]] = True
    left = places.astype(np.int64)
    while len(left):
        total, weight = np.zeros(len(left), np.float32), np.zeros(len(left), np.float32)
        # Diagonal neighbours have half the weight, because they are farther away.
        for dy, dx, share in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5)):
            (before, good_before), (after, good_after) = (
                _neighbours(values, bad, left[:, 0] + sign * pitch * dy, left[:, 1] + sign * pitch * dx)
                for sign in (-1, 1)
            )
            # Pairs of opposite neighbours preserve gradients. Single neighbours count only if there is no
            # pair.
            trust = np.float32(share) * np.where(good_before & good_after, 1.0, 1e-4)
            total += (before * good_before + after * good_after) * trust
            weight += (1.0 * good_before + good_after) * trust
        known = weight > 0
        if not known.any():
            raise InputError(
                f"{where}: its opcodes declare all pixels of a colour bad; the file is damaged ({SKIP_HINT})"
            )
        done = left[known]
        values[done[:, 0], done[:, 1]] = total[known] / weight[known]
        bad[done[:, 0], done[:, 1]] = False
        left = left[~known]
    return np.rint(values[places[:, 0], places[:, 1]]).astype(np.uint16)


def _neighbours(
    values: NDArray[np.float32], bad: NDArray[np.bool_], y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the values at positions, and a mask of positions that are good and inside the mosaic."""
    height, width = values.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    return values[y, x], inside & ~bad[y, x]
