"""Brightness: automatic exposure and the tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstfix.color.spaces import SRGB_CURVE

GREY = 0.18
"""Linear value of middle grey. Contrast does not change it."""

_AUTO_GREY = 0.14  # target of the geometric mean; slightly below middle grey, as in the exposure of cameras
_AUTO_PEAK_PERCENTILE = 99.0
_AUTO_PEAK = 1.5  # limit of that percentile, relative to white
_AUTO_RANGE_EV = (-1.0, 4.0)

_LIFT_TARGET = 0.40  # mean encoded brightness of a normally exposed picture
_LIFT_TOLERANCE_EV = 1.2  # if highlights reach white, smaller deficits may be intended
_LIFT_CERTAIN_EV = 0.4  # tolerance if highlights are 1.5 EV below white, because the picture is underexposed
_LIFT_HIGHLIGHT_EV = 3.0  # maximum level of highlights relative to white, because fusion must compress them

_WHITE_EV = float(np.log2(1 / GREY))  # EV of display white above middle grey
_TOE_EV = -2.5  # EV relative to middle grey; below it, contrast does not darken shadows further


def automatic_exposure(luminance: NDArray[np.floating]) -> float:
    """Find the EV for normal brightness without fusion.

    Args:
        luminance: Linear luminance of any shape before correction, 1 = white; a reduced picture is
            sufficient.

    Returns:
        EV, -1 to 4. It brings the geometric mean slightly below middle grey, but is limited so that at most
        about one pixel in a hundred is far above white. 0 for a black picture.
    """
    values = np.asarray(luminance, np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0 or not (peak := float(np.percentile(values, _AUTO_PEAK_PERCENTILE))) > 1e-5:
        return 0.0
    # Values far below the highlights are mostly noise, so they count as equally dark.
    mean = float(np.exp(np.mean(np.log(np.maximum(values, peak * 1e-3)))))
    gain = min(_AUTO_GREY / mean, _AUTO_PEAK / peak)
    return float(np.clip(np.log2(gain), *_AUTO_RANGE_EV))


def automatic_lift(luminance: NDArray[np.floating]) -> float:
    """Compute the EV by which to brighten an underexposed picture, for a look that compresses highlights.

    The deficit is the EV that would bring the mean encoded brightness to that of a normally exposed picture.
    If it is within a tolerance, the lift is 0. The tolerance is 1.2 EV if highlights reach white, because a
    dark picture may be intended, and 0.4 EV if they are at least 1.5 EV below white. Above the tolerance, the
    lift grows three times as fast as the deficit until only 0.2 EV of the deficit remains. In very dark
    pictures, the lift is limited to 1.3 EV plus 45% of the deficit, so that night scenes stay darker than
    daylight scenes.

    Args:
        luminance: Linear luminance, see `automatic_exposure`.

    Returns:
        Correction in EV, 0 to 4; 0 for pictures of normal brightness and for black pictures.
    """
    values = np.asarray(luminance, np.float32).ravel()
    values = np.maximum(values[np.isfinite(values)], 0)
    if values.size == 0 or not (peak := float(np.percentile(values, _AUTO_PEAK_PERCENTILE))) > 1e-5:
        return 0.0
    low, high = -4.0, 8.0
    for _ in range(12):
        middle = (low + high) / 2
        encoded = SRGB_CURVE.encode(np.minimum(values * np.float32(2.0**middle), 1))
        low, high = (middle, high) if encoded.mean() < _LIFT_TARGET else (low, middle)
    missing = low
    certainty = float(np.clip(-np.log2(peak) - 0.5, 0.0, 1.0))  # from the distance of highlights to white
    tolerance = _LIFT_TOLERANCE_EV + certainty * (_LIFT_CERTAIN_EV - _LIFT_TOLERANCE_EV)
    lift = min(3 * (missing - tolerance), missing - 0.2, 1.3 + 0.45 * missing)
    return float(np.clip(min(lift, _LIFT_HIGHLIGHT_EV - np.log2(peak)), 0.0, 4.0))


@dataclass(frozen=True, slots=True)
class ToneCurve:
    """Curve from linear scene to linear display brightness: an S-shape with a roll-off.

    Contrast is an S-curve on logarithmic axes. With u = log2(x / GREY), it adds (contrast - 1) * u to u below
    middle grey, down to -2.5 EV, and (contrast - 1) * u * (1 - u / u1) above middle grey, where u1 is display
    white. Black, middle grey and white are unchanged.

    Above `start`, the curve bends with continuous slope and reaches 1 at `white`: start + (1 - start) * k*t /
    (1 + (k - 1)*t), with t = (x - start) / (white - start) and k = (white - start) / (1 - start).

    Attributes:
        white: Brightness that becomes display white, at least 1.
        start: Brightness at which the roll-off begins, in 0..1.
        contrast: Slope at middle grey on logarithmic axes.
    """

    white: float = 1.0
    start: float = 1.0
    contrast: float = 1.0

    @classmethod
    def reaching(cls, white: float, contrast: float = 1.0) -> ToneCurve:
        """Return the curve for a picture with maximum brightness `white`; larger values bend it earlier."""
        white = max(white, 1.0)
        return cls(white, max(0.25, 0.8 - 0.13 * float(np.log2(white))), contrast)

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map brightness of any shape, 0 or more; the result is 0 to 1."""
        if self.contrast != 1.0:
            u = np.log2(np.maximum(x, np.float32(1e-6)) * np.float32(1 / GREY))
            share = np.clip(1 - u * np.float32(1 / _WHITE_EV), 0, 1)
            x = x * np.exp2(np.float32(self.contrast - 1) * np.maximum(u, np.float32(_TOE_EV)) * share)
        if self.white <= 1.0 or self.start >= 1.0:
            return np.minimum(x, 1)
        k = (self.white - self.start) / (1 - self.start)
        t = np.clip((x - np.float32(self.start)) * np.float32(1 / (self.white - self.start)), 0, 1)
        bent = np.float32(self.start) + np.float32((1 - self.start) * k) * t / (1 + np.float32(k - 1) * t)
        return np.where(t > 0, bent, x).astype(np.float32, copy=False)
