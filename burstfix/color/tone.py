"""Brightness: automatic exposure and the filmic curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREY = 0.18
"""Linear value of middle grey, which the filmic curve leaves in place."""

_CONTRAST = 1.3  # steepness of the filmic curve; a mild print

_AUTO_GREY = 0.14  # where the average of the logarithm shall lie; a little under middle grey, as cameras do
_AUTO_PEAK_PERCENTILE = 99.0
_AUTO_PEAK = 1.5  # how far above white that percentile may be brought
_AUTO_RANGE_EV = (-1.0, 4.0)


def automatic_exposure(luminance: NDArray[np.floating]) -> float:
    """Exposure correction in EV that gives a picture ordinary brightness.

    Args:
        luminance: Linear luminance of any shape, 1 = white, before correction (a thumbnail will do).

    Returns:
        EV, -1 to 4: brings the geometric mean to a little under middle grey, but hardly more than one in a
        hundred pixels above white; 0 for a picture without light.
    """
    values = np.asarray(luminance, np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0 or not (peak := float(np.percentile(values, _AUTO_PEAK_PERCENTILE))) > 1e-5:
        return 0.0
    # Values far below the highlights are mostly noise: they count as equally dark.
    mean = float(np.exp(np.mean(np.log(np.maximum(values, peak * 1e-3)))))
    gain = min(_AUTO_GREY / mean, _AUTO_PEAK / peak)
    return float(np.clip(np.log2(gain), *_AUTO_RANGE_EV))


def filmic(rgb: NDArray[np.float32], white: float) -> NDArray[np.float32]:
    """A film-like curve that keeps hue: more contrast around middle grey, highlights that roll off.

    The curve is (1 + k / white^c) * x^c / (x^c + k): 0 stays 0, middle grey stays, `white` becomes 1. It is
    applied to the largest and the smallest component; the middle one keeps its place between them, so that
    hue is kept while bright colours pale as on film.

    Args:
        rgb: (3, ...) linear, 0 to `white`; changed in place.
        white: The largest value in play, at least 1.

    Returns:
        `rgb`, 0 to 1.
    """
    white_c, grey_c = max(white, 1.0) ** _CONTRAST, GREY**_CONTRAST
    k = grey_c * white_c * (1 - GREY) / (GREY * white_c - grey_c)
    scale = 1 + k / white_c

    def curve(x: NDArray[np.float32]) -> NDArray[np.float32]:
        powered = np.power(x, _CONTRAST)
        return scale * powered / (powered + k)

    high, low = rgb.max(axis=0), rgb.min(axis=0)
    high_out, low_out = curve(high), curve(low)
    rgb -= low
    rgb *= (high_out - low_out) / np.maximum(high - low, 1e-9)
    rgb += low_out
    return np.minimum(rgb, 1.0, out=rgb)
