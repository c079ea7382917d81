"""Oklab: a perceptual colour space in which hue stays constant while lightness and chroma change.

Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/) is chosen over JzAzBz (Safdar et al. 2017) for
three reasons. It needs no absolute luminance, which a raw file does not state. It takes three cube roots per
pixel instead of six powers. Blue does not shift to purple when chroma is reduced, as it does in CIELAB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import D65_XY, Matrix, adaptation, xy_to_xyz
from burstfix.color.spaces import ColorSpace

_XYZ_TO_LMS: Matrix = np.array(
    [
        [0.8189330101, 0.3618667424, -0.1288597137],
        [0.0329845436, 0.9293118715, 0.0361456387],
        [0.0482003018, 0.2643662691, 0.6338517070],
    ]
)
"""XYZ (D65, white has Y = 1) to cone responses; Ottosson 2020, matrix M1."""

_LMS_TO_LAB: Matrix = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""Cube roots of cone responses to L, a, b; Ottosson 2020, matrix M2."""


class Oklab:
    """Conversion between Oklab and the linear RGB of a display colour space.

    Example:
        >>> from burstfix.color.spaces import SPACES
        >>> lab = Oklab(SPACES["srgb"]).from_rgb(np.ones((3, 1), np.float32))
        >>> [abs(round(float(x), 3)) for x in lab[:, 0]]
        [1.0, 0.0, 0.0]
    """

    def __init__(self, space: ColorSpace) -> None:
        to_lms = _XYZ_TO_LMS @ adaptation(space.white_xyz, xy_to_xyz(D65_XY)) @ space.to_xyz()
        # Correct the rounding of the published numbers, so that white has exactly a = b = 0.
        to_lms /= to_lms.sum(axis=1, keepdims=True)
        to_lab = _LMS_TO_LAB.copy()
        to_lab[0] /= to_lab[0].sum()
        to_lab[1:] -= to_lab[1:].mean(axis=1, keepdims=True)
        self._rgb_to_lms = to_lms.astype(np.float32)
        self._lms_to_lab = to_lab.astype(np.float32)
        self._lab_to_lms = np.linalg.inv(to_lab).astype(np.float32)
        self._lms_to_rgb = np.linalg.inv(to_lms).astype(np.float32)

    def from_rgb(self, rgb: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert (3, n) linear RGB of any range to (3, n) L, a, b; L is 1 for white."""
        return self._lms_to_lab @ np.cbrt(self._rgb_to_lms @ rgb)

    def to_rgb(self, lab: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert (3, n) L, a, b to (3, n) linear RGB; the inverse of `from_rgb`."""
        roots = self._lab_to_lms @ lab
        return self._lms_to_rgb @ (roots * roots * roots)
