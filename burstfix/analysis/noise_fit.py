"""Fit a line, variance = slope * signal + intercept, to measured points that may contain scene detail.

Scene detail increases the variance by any factor and never decreases it. Therefore a mixture model is fitted:
some points scatter around the line, the others lie anywhere above it. All points may contain detail. Its
variance grows with the square of the signal, because texture scales with the light; this term is fitted
together with the line and then discarded. It does not apply to points that are known to be uniform: if all
signals are similar, as in a night sky, the term and the line have the same shape, and the term would take a
part of the noise. A grid search finds line and term, because there are many local optima. If the points do
not determine the line, mostly in dark parts, a weak prior does: the read noise of sensors is a few electrons.
(With g electrons at full scale the slope is 1 / g and the intercept e^2 / g^2, so intercept / slope^2 = e^2
for a read noise of e electrons.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-10
"""Smallest normalised variance that is fitted, far below the quantisation noise of any sensor."""

_READ_ELECTRONS = 10.0  # typical square of the read noise in electrons; sensors have 1 to 10 electrons
_READ_SPREAD = 1.0  # standard deviation of the logarithm of the read noise in electrons
_CLEAN = 0.2  # prior share of points without scene detail
_CLEAN_AT_FIRST = 0.3
_CLEAN_IF_UNIFORM = 0.8  # prior share of uniform points without scene detail
_SCENE_RATE = 0.5  # rate of the exponential distribution of log(variance with scene / variance of noise)
_OUTLIER = 1e-3  # density of outliers below the line
_PLANES_DIFFER = 0.02  # scale of the prior of log(noise of one plane / noise of all planes)
# Upper limit of the penalty, in log-likelihood, for a plane that differs in scale: amplifiers may differ.
_PLANES_DIFFER_LIMIT = 12.0
_LEAST_DISTURBED = 0.2  # this quantile of the disturbance counts as undisturbed
_UNDISTURBED = 0.6  # smallest disturbance of pure noise in the quietest blocks
_TOLERATED = 1.25  # multiple of the least disturbance above which scene detail is likely
# Largest relative error of the points from which the least disturbance is taken. Near black, clipping hides
# disturbance.
_MAX_POINT_ERROR = 0.2
_RATIOS = np.concatenate([[1e-9], np.geomspace(1e-6, 1e2, 50)])  # intercept / slope
_TEXTURES = (1e-3, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # variance of texture / shot noise at the brightest point
_TEXTURE_RARITY = 1.0  # exponent of the prior, (1 + texture)^-rarity
_CANDIDATES = 41


@dataclass(frozen=True, slots=True)
class Points:
    """Measured points; each attribute is float64 (count,).

    Attributes:
        signal: Normalised signal, not negative.
        variance: Variance of noise plus any scene detail.
        error: Standard deviation of the logarithm of the variance.
        disturbance: Strength of scene detail relative to the noise, from an independent measurement.
        uniformity: 1 if the disturbance varies between blocks as that of pure noise does, down to 0.
    """

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    error: NDArray[np.float64]
    disturbance: NDArray[np.float64]
    uniformity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """Noise variance as a function of the signal."""

    slope: float
    intercept: float

    def at(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance, at least `SMALLEST`, at each signal."""
        return np.maximum(self.slope * np.maximum(signal, 0) + self.intercept, SMALLEST)


@dataclass(frozen=True, slots=True)
class _Curve:
    """A line plus texture * signal^2 at points that are not uniform."""

    line: Line
    texture: float

    def at(self, points: Points) -> NDArray[np.float64]:
        return self.line.at(points.signal) + self.texture * _squares(points)


def joined(points: Sequence[Points]) -> Points:
    """Concatenate sets of points."""
    return Points(*(np.concatenate([getattr(p, f.name) for p in points]) for f in fields(Points)))


def fit_planes(planes: Sequence[Points], *, trust_disturbance: bool) -> list[Line]:
    """Fit one line per plane: the common line of all points, scaled to fit the points of the plane.

    Args:
        planes: Points of each plane; at least one point in total.
        trust_disturbance: Treat points that are more disturbed than others as scene detail.
    """
    everything = joined(planes)
    typical = everything if trust_disturbance else None
    common = _fit(everything, _clean_shares(everything, typical))
    lines = []
    for own in planes:
        scale = _scale(own, common, _clean_shares(own, typical))
        lines.append(Line(scale * common.line.slope, scale * common.line.intercept))
    return lines


def _clean_shares(points: Points, typical: Points | None) -> NDArray[np.float64]:
    """Return the prior probability that a point contains no scene detail, for each point.

    Args:
        points: Points.
        typical: Points of all planes, with which the disturbance is compared; None to ignore it.
    """
    clean = np.full_like(points.signal, _CLEAN_AT_FIRST)
    if typical is not None:
        fit = typical.error < _MAX_POINT_ERROR
        least = float(np.quantile(typical.disturbance[fit], _LEAST_DISTURBED)) if fit.any() else 1.0
        excess = points.disturbance / (_TOLERATED * max(least, _UNDISTURBED))
        clean = _CLEAN / np.maximum(excess, 1) ** 4
    return clean + points.uniformity * (_CLEAN_IF_UNIFORM - clean)


def _squares(points: Points) -> NDArray[np.float64]:
    """Return the squares of the signals, by which texture grows; 0 for points that are uniform."""
    return (1 - points.uniformity) * points.signal**2


def _scores(
    misfit: NDArray[np.float64], error: NDArray[np.float64], clean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log-likelihood of points (..., count) that have exp(misfit) times the variance of a line."""
    bell = np.exp(-0.5 * (misfit / error) ** 2)
    noise = clean * bell / (error * math.sqrt(2 * math.pi))
    scene = (1 - clean) * _SCENE_RATE * np.where(misfit > 0, np.exp(-_SCENE_RATE * np.abs(misfit)), bell)
    return np.log(noise + scene + _OUTLIER * np.exp(-np.abs(misfit))).sum(-1)


def _fit(points: Points, clean: NDArray[np.float64]) -> _Curve:
    """Find the most likely curve on a grid, and refine it."""
    brightest = max(float(points.signal.max()), SMALLEST)
    logs = np.log(points.variance)
    parameters, score = np.zeros(3), -math.inf
    for texture in _TEXTURES:
        shape = points.signal + texture * _squares(points) / brightest + _RATIOS[:, None]
        above = logs - np.log(np.maximum(shape, SMALLEST))
        slopes = np.quantile(above, np.linspace(0, 0.8, _CANDIDATES), axis=1).T  # ratios, candidates
        intercepts = slopes + np.log(_RATIOS)[:, None]
        scores = _scores(above[:, None] - slopes[..., None], points.error, clean)
        scores += _prior(slopes, intercepts, np.full_like(slopes, math.log(texture)))
        best = int(scores.argmax())
        if scores.flat[best] > score:
            score = float(scores.flat[best])
            parameters = np.array([slopes.flat[best], intercepts.flat[best], math.log(texture)])
    moves = np.array([(1, 0, 0), (0, 2, 0), (1, -2, 0), (0, 0, 2), (1, 0, -2)], np.float64)
    moves, step = np.concatenate([moves, -moves]), 0.2
    while step > 0.005:
        around = parameters + step * moves
        slope, intercept, texture = np.exp(around).T[..., None]
        shape = slope * (points.signal + texture * _squares(points) / brightest) + intercept
        scores = _scores(logs - np.log(np.maximum(shape, SMALLEST)), points.error, clean)
        scores += _prior(*around.T)
        best = int(scores.argmax())
        if scores[best] > score + 1e-3:
            score, parameters = float(scores[best]), around[best]
        else:
            step /= 2
    slope, intercept, texture = np.exp(parameters).tolist()
    return _Curve(Line(slope, intercept), slope * texture / brightest)


def _prior(
    slope: NDArray[np.float64], intercept: NDArray[np.float64], texture: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log-prior of curves from the logarithms of their parameters."""
    sensor = -0.5 * ((intercept - 2 * slope - math.log(_READ_ELECTRONS)) / _READ_SPREAD) ** 2
    return sensor - _TEXTURE_RARITY * np.log1p(np.exp(texture))


def _scale(points: Points, common: _Curve, clean: NDArray[np.float64]) -> float:
    """Return the most likely ratio of the noise of one plane to the common curve."""
    if not points.signal.size:
        return 1.0
    misfit = np.log(points.variance / common.at(points))
    logs = np.linspace(-1.5, 1.5, 121)
    scores = _scores(misfit - logs[:, None], points.error, clean)
    scores = scores - np.minimum(np.abs(logs) / _PLANES_DIFFER, _PLANES_DIFFER_LIMIT)
    return float(np.exp(logs[int(scores.argmax())]))
