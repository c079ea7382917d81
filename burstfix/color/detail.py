"""Fine detail of a rendered picture: sharpening without amplification of noise, and grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix
from burstfix.color.planes import least_around
from burstfix.types import NoiseProfile

Plane = NDArray[np.float32]

_BLUR_REACH = 2
_APART = 3
REACH = _APART + 1
"""Rows above and below a strip that `sharpen` needs."""

_WEIGHTS = np.array([0.25, 0.5, 0.25], np.float32)  # weights of encoded R, G, B in brightness
_PATCH = 32  # columns of a patch for noise measurement
_FLAT_PERCENTILE = 20.0  # patches of one tone with a deviation below this percentile are flat
_TONES = 5
_MEDIAN_TO_SIGMA = 1.4826
_CORE = np.float32(3)  # detail of this many standard deviations of the noise is sharpened with half strength
_STRENGTH = np.float32(1.5)
# Faint texture may exceed the range of its neighbourhood by this share of that range.
_OVERSHOOT = np.float32(0.5)
_EDGE = np.float32(0.04)  # a neighbourhood with at least this encoded range counts as an edge


@dataclass(frozen=True, slots=True, eq=False)
class DetailNoise:
    """Noise in the finest detail of a rendered picture.

    Attributes:
        tones: float32 (k,) encoded brightness, ascending.
        deviations: float32 (k,) standard deviation of `detail` in flat areas of that brightness.
    """

    tones: Plane
    deviations: Plane

    def at(self, brightness: Plane) -> Plane:
        """Return the standard deviation for encoded brightness of any shape."""
        return np.interp(brightness, self.tones, self.deviations).astype(np.float32)


def brightness_of(encoded: Plane) -> Plane:
    """Convert (3, h, w) encoded RGB to (h, w) encoded brightness."""
    return np.einsum("c,chw->hw", _WEIGHTS, encoded)


def detail(brightness: Plane) -> Plane:
    """Subtract from brightness (h, w) its blur.

    The kernel is (1, 4, 6, 4, 1) / 16 in both directions; border values are repeated.
    """
    blurred = brightness
    for _ in range(2):
        p = np.pad(blurred, ((_BLUR_REACH, _BLUR_REACH), (0, 0)), mode="edge")
        blurred = ((p[:-4] + p[4:] + 4 * (p[1:-3] + p[3:-1]) + 6 * p[2:-2]) * np.float32(1 / 16)).T
    return brightness - blurred


def measure_noise(strips: list[Plane]) -> DetailNoise:
    """Measure the remaining noise of each tone in the flattest patches of a picture.

    Args:
        strips: (h, w) encoded brightness of a few strips of rows from the whole picture.
    """
    if strips[0].shape[1] < _PATCH:  # the picture is treated as free of noise
        return DetailNoise(np.zeros(1, np.float32), np.zeros(1, np.float32))
    found = [_patch_values(strip) for strip in strips]
    tones, deviations = (np.concatenate([values[k] for values in found]) for k in (0, 1))
    groups = np.array_split(np.argsort(tones), min(_TONES, len(tones)))
    levels = [tones[group].mean() for group in groups]
    flat = [np.percentile(deviations[group], _FLAT_PERCENTILE) for group in groups]
    return DetailNoise(np.array(levels, np.float32), np.array(flat, np.float32))


def _patch_values(strip: Plane) -> tuple[Plane, Plane]:
    """Return the mean and the standard deviation of `detail` of each patch of a strip, robustly measured."""
    width = strip.shape[1] // _PATCH * _PATCH
    fine = np.abs(detail(strip))
    means, medians = (
        function(plane[:, :width].reshape(len(plane), -1, _PATCH), axis=(0, 2))
        for function, plane in ((np.mean, strip), (np.median, fine))
    )
    return means, np.float32(_MEDIAN_TO_SIGMA) * medians


def sharpen(encoded: Plane, amount: float, noise: DetailNoise) -> Plane:
    """Sharpen brightness and keep colour differences.

    Detail is amplified by `amount` where it is stronger than the noise. The result is limited to the range of
    neighbouring pixels, so that edges become steeper without halos. Only faint texture may exceed this range:
    there, unlike beside an edge, the surroundings vary on all sides.

    Args:
        encoded: (3, h, w) encoded RGB, 0 to 1. Changed in place.
        amount: Strength of the sharpening, 0 to 2.
        noise: Result of `measure_noise`.

    Returns:
        The array `encoded`, values 0 to 1.
    """
    brightness = brightness_of(encoded)
    fine = detail(brightness)
    power = np.square(fine * fine)
    floor = np.square(np.square(_CORE * noise.at(brightness)))
    sharper = brightness + (_STRENGTH * np.float32(amount)) * fine * (
        power / (power + floor + np.float32(1e-20))
    )
    low, high = _neighbours(brightness, np.minimum), _neighbours(brightness, np.maximum)
    extent = high - low
    margin = _OVERSHOOT * least_around(extent, _APART) / (1 + (extent / _EDGE) ** 3)
    np.clip(sharper, low - margin, high + margin, out=sharper)
    encoded += sharper - brightness
    return np.clip(encoded, 0.0, 1.0, out=encoded)


def _neighbours(plane: Plane, function: np.ufunc) -> Plane:
    """Return the largest or smallest value in the 3x3 neighbourhood of each pixel."""
    for _ in range(2):
        p = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
        plane = function(function(p[:-2], p[2:]), p[1:-1]).T
    return plane


@dataclass(frozen=True, slots=True, eq=False)
class Grain:
    """Luminance noise of one frame, to be added to linear RGB.

    Attributes:
        shot, read: Coefficients, (3,) and scalar. The variance of luminance is shot @ balanced + read, where
            `balanced` is white-balanced camera RGB.
        share: Share of the standard deviation that is added.
    """

    shot: Matrix
    read: float
    share: float

    def add(self, rgb: Plane, balanced: Plane, top: int) -> None:
        """Add grain in place to rows `top` to `top + h`, (3, h, w) linear RGB.

        The grain of a row is always the same.
        """
        _, height, width = rgb.shape
        variance = np.einsum("c,chw->hw", self.shot.astype(np.float32), np.maximum(balanced, 0))
        deviation = np.float32(self.share) * np.sqrt(variance + np.float32(self.read))
        for row in range(height):
            # Each row has its own generator, because strips may overlap and the grain must not depend on
            # them.
            normal = np.random.default_rng((20160911, top + row)).standard_normal(width, np.float32)
            rgb[:, row] += deviation[row] * normal


def grain_of(noise: NoiseProfile, share: float, neutral: Matrix, luminance: Matrix) -> Grain:
    """Return grain with a share of the luminance noise of a frame.

    Args:
        noise: Noise profile of the frame.
        share: Share of the standard deviation, 0 to 1.
        neutral: (3,) camera RGB of a grey object.
        luminance: (3,) weights of white-balanced camera RGB in linear luminance.
    """
    gains, reads = np.asarray(noise.shot_gain), np.asarray(noise.read_variance)
    # A value of green is the mean of two samples.
    gain = np.array([gains[0], (gains[1] + gains[2]) / 4, gains[3]])
    read = np.array([reads[0], (reads[1] + reads[2]) / 4, reads[3]])
    # balanced = camera / neutral, so variance = (gain * camera + read) / neutral**2.
    return Grain(luminance**2 * gain / neutral, float(luminance**2 @ (read / neutral**2)), share)
