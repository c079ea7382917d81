"""Local tone mapping: a dark and a bright exposure of one picture, fused over a Laplacian pyramid.

The method of Hasinoff et al. 2016, "Burst photography for high dynamic range and low-light imaging on mobile
cameras", section 6: two synthetic exposures are made from one linear picture and fused (Mertens et al. 2007).
The short exposure contains the highlights; the long exposure shows the shadows with normal brightness. There
are two differences:

- The weights are chosen so that a pixel-by-pixel blend gives a known tone curve. Therefore large flat areas
    follow this curve, independent of their surroundings.
- The local contrast, which is the difference from this curve, is limited beside strong edges. Without the
    limit, halos appear there; with it, they stay below 2% of the step.

Fusion runs on a reduced picture. At full size, the gain is a local linear function of brightness (He and Sun
2015, "Fast guided filter"), so that edges stay sharp and texture keeps its contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.color.planes import least_around
from burstfix.color.spaces import SRGB_CURVE
from burstfix.color.tone import ToneCurve

Plane = NDArray[Any]
"""float32 (H, W)."""

_DARKEST = np.float32(2.0**-14)
_LEVELS = 7
_GUARD_STEPS = (1, 3)  # radii of successive steps in pixels of the reduced picture; in total 4 on each side
_GUARD_APART = 6  # distance of the surroundings of a pixel
_GUARD_SHARE = np.float32(0.6)
_GUARD_EDGE_EV = np.float32(0.6)  # a neighbourhood with at least this range counts as an edge
_GUIDE_RADIUS = 8  # pixels of the reduced picture
_GUIDE_APART = 12  # distance of the windows beside a window
_TEXTURE = np.float32(6)  # windows beside a texture have at least 1 / 6 of its variance
_GUIDE_EDGE = np.float32(0.015)  # a window with at least this variance of log2 brightness counts as an edge
_MIXED_EV = np.float32(0.3)  # difference, in EV, from both sides of an edge at which a pixel has half weight
_SMALLEST = 16  # pixels on the shorter side; on smaller pictures only the curve is used


@dataclass(frozen=True, slots=True, eq=False)
class LocalGain:
    """Gain of every pixel as slope * log2(brightness) + offset, in log2.

    Attributes:
        slope, offset: float32 (rows, W), with one row per block of rows of the picture, at full width.
        block: Rows of the picture for each row of `slope` and `offset`.
    """

    slope: Plane
    offset: Plane
    block: int

    def log2_gain(self, top: int, log2_brightness: Plane) -> Plane:
        """Return the (h, W) log2 gain of rows `top` to `top + h`, given their (h, W) log2 brightness."""
        position = (np.arange(top, top + log2_brightness.shape[0]) + 0.5) / self.block - 0.5
        position = np.clip(position, 0, self.slope.shape[0] - 1)
        row = np.minimum(position.astype(np.intp), max(self.slope.shape[0] - 2, 0))
        below = np.minimum(row + 1, self.slope.shape[0] - 1)
        share = (position - row).astype(np.float32)[:, None]
        gain = self.slope[row] * (1 - share) + self.slope[below] * share
        gain *= log2_brightness
        gain += self.offset[row] * (1 - share)
        gain += self.offset[below] * share
        return gain


def local_gain(
    brightness: Plane, curve: ToneCurve, strength: float, block: int, width: int
) -> LocalGain | None:
    """Fuse two exposures of a picture and return the gain of the result relative to the picture.

    Args:
        brightness: (h, w) linear brightness of the reduced picture, 1 = display white.
        curve: Tone curve of flat areas.
        strength: Strength of the local contrast: 0 = only the curve, 1 = full effect of fusion.
        block: Side of a pixel of `brightness` in pixels of the picture.
        width: Width of the picture.

    Returns:
        The local gain. None if fusion has no effect: no highlights above white, zero strength, or a tiny
        picture.
    """
    if strength <= 0 or curve.white < 1.02 or min(brightness.shape) < _SMALLEST:
        return None
    linear = np.maximum(brightness, _DARKEST)
    target = SRGB_CURVE.encode(curve(linear))
    fused = fuse(linear, target, curve.white)
    log2_linear = np.log2(linear)
    wanted = target + np.float32(strength) * _guarded(fused - target, target, log2_linear)
    log2_gain = np.log2(np.maximum(_decode(wanted), _DARKEST)) - log2_linear
    slope, offset = _guided(log2_linear, log2_gain)
    return LocalGain(_widened(slope, block, width), _widened(offset, block, width), block)


def fuse(linear: Plane, target: Plane, white: float) -> Plane:
    """Fuse a short and a long exposure.

    Args:
        linear: (h, w) linear brightness of the long exposure, 0 to `white`.
        target: (h, w) encoded values, 0 to 1, that a pixel-by-pixel blend would give.
        white: Brightness that is white in the short exposure.

    Returns:
        (h, w) encoded values, which may slightly exceed 0..1.
    """
    short = SRGB_CURVE.encode(np.minimum(linear / np.float32(white), 1))
    difference = SRGB_CURVE.encode(np.minimum(linear, 1)) - short
    weight = np.clip((target - short) / np.maximum(difference, np.float32(1e-4)), 0, 1)
    fused = None
    levels = min(_LEVELS, int(np.log2(min(linear.shape))))
    details = []
    for _ in range(levels - 1):
        smaller = _reduce(difference)
        details.append(weight * (difference - _expand(smaller, difference.shape)))
        difference, weight = smaller, _reduce(weight)
    fused = weight * difference
    for detail in reversed(details):
        fused = detail + _expand(fused, detail.shape)
    return short + fused


def _guarded(difference: Plane, target: Plane, log2_linear: Plane) -> Plane:
    """Limit local contrast: texture may gain about half of its range, edges almost none.

    An edge is strong, or its surroundings are flat.
    """
    extent = least_around(_range(target), _GUARD_APART)
    limit = _GUARD_SHARE * extent / (1 + (_range(log2_linear) / _GUARD_EDGE_EV) ** 3)
    return limit * np.tanh(difference / np.maximum(limit, np.float32(1e-6)))


def _range(plane: Plane) -> Plane:
    """Return the range (largest minus smallest value) of the neighbourhood of each pixel."""
    return _extreme(plane, np.maximum) - _extreme(plane, np.minimum)


def _extreme(plane: Plane, function: np.ufunc, steps: tuple[int, ...] = _GUARD_STEPS) -> Plane:
    """Return the largest or smallest value within sum(steps) pixels on each side."""
    for axis in (0, 1):
        for step in steps:
            ahead, behind = (np.roll(plane, shift, axis) for shift in (-step, step))
            edge = [slice(None)] * 2
            edge[axis] = slice(-step, None)
            ahead[tuple(edge)] = plane[tuple(edge)]
            edge[axis] = slice(0, step)
            behind[tuple(edge)] = plane[tuple(edge)]
            plane = function(function(ahead, plane), behind)
    return plane


def _guided(guide: Plane, values: Plane) -> tuple[Plane, Plane]:
    """Compute slope and offset of the local linear fit of `values` to `guide`.

    Four changes keep edges sharper than in the guided filter of He, Sun and Tang 2013:

    - The filter damps slopes by variance / (variance + epsilon). Here, both are squared: slopes at edges are
    damped less, and slopes in texture are still damped.
    - Epsilon is small where windows beside this one are flat. The variance then comes from an isolated edge,
    however faint, and not from texture.
    - Pixels on an edge, which mix both of its sides, have less weight.
    - Among the windows around a pixel, those with more variance have more weight. Otherwise flat windows
    beside an edge would leak across it when the result is interpolated.
    """
    mixed = np.minimum(_extreme(guide, np.maximum, (1,)) - guide, guide - _extreme(guide, np.minimum, (1,)))
    share = 1 / (1 + (mixed / _MIXED_EV) ** 4)
    total = _box(share)
    mean_guide, mean_values = _box(share * guide) / total, _box(share * values) / total
    variance = np.maximum(_box(share * guide * guide) / total - mean_guide * mean_guide, 0)
    covariance = _box(share * guide * values) / total - mean_guide * mean_values
    texture = np.minimum(_TEXTURE * least_around(variance, _GUIDE_APART) / (variance + np.float32(1e-6)), 1)
    edge = _GUIDE_EDGE * np.maximum(texture, np.float32(0.002))
    slope = covariance * variance / (variance * variance + edge * edge)
    weight = variance + np.float32(0.1) * _GUIDE_EDGE
    total = _box(weight)
    return _box(weight * slope) / total, _box(weight * (mean_values - slope * mean_guide)) / total


def _box(plane: Plane) -> Plane:
    """Average over a square of `_GUIDE_RADIUS` pixels on each side; border values are repeated."""
    size = 2 * _GUIDE_RADIUS + 1
    for _ in range(2):
        padded = np.pad(plane, ((_GUIDE_RADIUS + 1, _GUIDE_RADIUS), (0, 0)), mode="edge")
        total = np.cumsum(padded, axis=0, dtype=np.float64)
        plane = ((total[size:] - total[:-size]) * (1 / size)).astype(np.float32).T
    return plane


def _smoothed(plane: Plane) -> Plane:
    """Blur along columns with the kernel (1, 4, 6, 4, 1) / 16 (Burt and Adelson 1983); mirror the border."""
    p = np.pad(plane, ((2, 2), (0, 0)), mode="reflect")
    return (p[:-4] + p[4:] + 4 * (p[1:-3] + p[3:-1]) + 6 * p[2:-2]) * np.float32(1 / 16)


def _reduce(plane: Plane) -> Plane:
    """Compute the next level of a Gaussian pyramid, half as large (rounded up)."""
    for _ in range(2):
        plane = _smoothed(plane)[::2].T
    return np.ascontiguousarray(plane)


def _expand(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Enlarge a level to the size of the next finer one, with kernels (1, 6, 1) / 8 and (4, 4) / 8."""
    for size in shape:
        p = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
        out = np.empty((size, plane.shape[1]), np.float32)
        out[::2] = ((p[:-2] + p[2:] + 6 * p[1:-1]) * np.float32(1 / 8))[: (size + 1) // 2]
        out[1::2] = ((p[1:-1] + p[2:]) * np.float32(1 / 2))[: size // 2]
        plane = out.T
    return np.ascontiguousarray(plane)


def _widened(plane: Plane, block: int, width: int) -> Plane:
    """Interpolate columns to the width of the picture."""
    position = np.clip((np.arange(width) + 0.5) / block - 0.5, 0, plane.shape[1] - 1)
    column = np.minimum(position.astype(np.intp), max(plane.shape[1] - 2, 0))
    beside = np.minimum(column + 1, plane.shape[1] - 1)
    share = (position - column).astype(np.float32)
    return plane[:, column] * (1 - share) + plane[:, beside] * share


def _decode(encoded: Plane) -> Plane:
    return SRGB_CURVE.decode(np.clip(encoded, 0, 1)).astype(np.float32)
