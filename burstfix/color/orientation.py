"""EXIF orientation."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)


def upright(picture: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """Return an upright view of `picture`.

    Args:
        picture: Picture (H, W, ...) as stored.
        orientation: EXIF Orientation (Exif 3.0, 4.6.5.1.6). It states which sides of the scene the first row
            and the first column show. Values outside 1 to 8 are treated as 1.

    Returns:
        (H, W, ...), or (W, H, ...) for orientations 5 to 8.
    """
    match orientation:
        case 2:  # top, right: mirrored left to right
            return picture[:, ::-1]
        case 3:  # bottom, right: rotated by 180 degrees
            return picture[::-1, ::-1]
        case 4:  # bottom, left: mirrored top to bottom
            return picture[::-1]
        case 5:  # left, top: transposed
            return picture.swapaxes(0, 1)
        case 6:  # right, top: rotate 90 degrees clockwise
            return picture[::-1].swapaxes(0, 1)
        case 7:  # right, bottom: transposed along the other diagonal
            return picture[::-1, ::-1].swapaxes(0, 1)
        case 8:  # left, bottom: rotate 90 degrees counter-clockwise
            return picture[:, ::-1].swapaxes(0, 1)
        case _:
            return picture


def as_stored(picture: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """Return a view of an upright `picture` in its stored order; the inverse of `upright`."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return upright(picture, inverse)
