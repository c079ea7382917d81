"""The line variance = slope * signal + intercept through measured points that may hold scene besides noise.

Scene can only add to the noise, and by any factor, so the line is that of the likeliest mixture: some points
lie on it but for their scatter, the others anywhere above. Where all points hold some scene, that part of it
shows which grows with the square of the signal, as texture does under more light: it is fitted beside the
line, and left out. A grid search finds both, for there are many local optima. What points leave open, mostly
the noise in the dark where all that is dark is busy, a weak knowledge of sensors fills in: reading out a
charge has an error of a few electrons. (With g electrons for full scale the slope is 1 / g and the intercept
e^2 / g^2, so that intercept / slope^2 is the square of that error e.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-10
"""Normalised variance below which nothing is fitted, far below the quantisation of any sensor."""

_READ_ELECTRONS = 10.0  # the typical square of the error of reading; sensors have 1 to 10 electrons
_READ_SPREAD = 1.0  # standard deviation of its logarithm
_CLEAN = 0.2  # share of the points that are taken to be noise alone, where nothing speaks against it
_CLEAN_AT_FIRST = 0.3
_SCENE_RATE = 0.5  # of the exponential distribution of the logarithm of what scene multiplies variance by
_OUTLIER = 1e-3  # density of points that lie below for no reason
_PLANES_DIFFER = 0.02  # scale of the logarithm of one plane's noise over that of all
_INSISTENCE = 12.0  # log-likelihood with which a plane's points get any scale: amplifiers may differ
_LEAST_DISTURBED = 0.2  # share of the points whose disturbance counts as none
_UNDISTURBED = 0.6  # disturbance that the choice among pure noise leaves, at the least
_TOLERATED = 1.25  # times the least disturbance: from here on scene becomes likely
_FIT_FOR_THAT = 0.2  # relative error: points next to black are disturbed less, as noise is lost there
_RATIOS = np.concatenate([[1e-9], np.geomspace(1e-6, 1e2, 50)])  # intercept / slope
_TEXTURES = (1e-3, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # variance by texture / by slope, where it is brightest
_TEXTURE_RARITY = 1.0  # power of (1 + that) with which it becomes less likely
_CANDIDATES = 41


@dataclass(frozen=True, slots=True)
class Points:
    """Measured points, float64 (count,) each.

    Attributes:
        signal: Normalised, not negative.
        variance: Of noise, and of whatever scene is in it.
        error: Standard deviation of its logarithm.
        disturbance: How strong the scene shows in other measures there, relative to the noise.
    """

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    error: NDArray[np.float64]
    disturbance: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """Noise variance by signal."""

    slope: float
    intercept: float

    def at(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variances, at least `SMALLEST`."""
        return np.maximum(self.slope * np.maximum(signal, 0) + self.intercept, SMALLEST)


@dataclass(frozen=True, slots=True)
class _Curve:
    """A line, and texture * signal^2 that lies on top of it."""

    line: Line
    texture: float

    def at(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.line.at(signal) + self.texture * signal**2


def joined(points: Sequence[Points]) -> Points:
    """All points as one set."""
    return Points(*(np.concatenate([getattr(p, f.name) for p in points]) for f in fields(Points)))


def fit_planes(planes: Sequence[Points], *, trust_disturbance: bool) -> list[Line]:
    """One line a plane: that of all points together, scaled to each plane's own as far as they insist.

    Args:
        planes: One point at least in all of them together.
        trust_disturbance: Whether points that are more disturbed than others are taken for scene.
    """
    everything = joined(planes)
    clean = _clean_shares(everything, everything) if trust_disturbance else _CLEAN_AT_FIRST
    common = _fit(everything, np.broadcast_to(clean, everything.signal.shape))
    lines = []
    for own in planes:
        clean = _clean_shares(own, everything) if trust_disturbance else _CLEAN_AT_FIRST
        scale = _scale(own, common, np.broadcast_to(clean, own.signal.shape))
        lines.append(Line(scale * common.line.slope, scale * common.line.intercept))
    return lines


def _clean_shares(points: Points, everything: Points) -> NDArray[np.float64]:
    """How likely each point is to be noise alone."""
    fit = everything.error < _FIT_FOR_THAT
    least = float(np.quantile(everything.disturbance[fit], _LEAST_DISTURBED)) if fit.any() else 1.0
    excess = points.disturbance / (_TOLERATED * max(least, _UNDISTURBED))
    return _CLEAN / np.maximum(excess, 1) ** 4


def _scores(
    misfit: NDArray[np.float64], error: NDArray[np.float64], clean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-likelihood of points (..., count) whose variances lie exp(misfit) times as high as a line."""
    bell = np.exp(-0.5 * (misfit / error) ** 2)
    noise = clean * bell / (error * math.sqrt(2 * math.pi))
    scene = (1 - clean) * _SCENE_RATE * np.where(misfit > 0, np.exp(-_SCENE_RATE * np.abs(misfit)), bell)
    return np.log(noise + scene + _OUTLIER * np.exp(-np.abs(misfit))).sum(-1)


def _fit(points: Points, clean: NDArray[np.float64]) -> _Curve:
    """The likeliest curve: the best of a grid, refined."""
    brightest = max(float(points.signal.max()), SMALLEST)
    logs = np.log(points.variance)
    place, score = np.zeros(3), -math.inf
    for texture in _TEXTURES:
        shape = points.signal + texture * points.signal**2 / brightest + _RATIOS[:, None]
        above = logs - np.log(np.maximum(shape, SMALLEST))
        slopes = np.quantile(above, np.linspace(0, 0.8, _CANDIDATES), axis=1).T  # ratios, candidates
        intercepts = slopes + np.log(_RATIOS)[:, None]
        scores = _scores(above[:, None] - slopes[..., None], points.error, clean)
        scores += _prior(slopes, intercepts, np.full_like(slopes, math.log(texture)))
        best = int(scores.argmax())
        if scores.flat[best] > score:
            score = float(scores.flat[best])
            place = np.array([slopes.flat[best], intercepts.flat[best], math.log(texture)])
    moves = np.array([(1, 0, 0), (0, 2, 0), (1, -2, 0), (0, 0, 2), (1, 0, -2)], np.float64)
    moves, step = np.concatenate([moves, -moves]), 0.2
    while step > 0.005:
        around = place + step * moves
        slope, intercept, texture = np.exp(around).T[..., None]
        shape = slope * (points.signal + texture * points.signal**2 / brightest) + intercept
        scores = _scores(logs - np.log(np.maximum(shape, SMALLEST)), points.error, clean)
        scores += _prior(*around.T)
        best = int(scores.argmax())
        if scores[best] > score + 1e-3:
            score, place = float(scores[best]), around[best]
        else:
            step /= 2
    slope, intercept, texture = np.exp(place).tolist()
    return _Curve(Line(slope, intercept), slope * texture / brightest)


def _prior(
    slope: NDArray[np.float64], intercept: NDArray[np.float64], texture: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-likelihood of curves, given as logarithms, for a sensor and a scene."""
    sensor = -0.5 * ((intercept - 2 * slope - math.log(_READ_ELECTRONS)) / _READ_SPREAD) ** 2
    return sensor - _TEXTURE_RARITY * np.log1p(np.exp(texture))


def _scale(points: Points, common: _Curve, clean: NDArray[np.float64]) -> float:
    """By what a curve is to be multiplied to be the likeliest for one plane."""
    if not points.signal.size:
        return 1.0
    misfit = np.log(points.variance / common.at(points.signal))
    logs = np.linspace(-1.5, 1.5, 121)
    scores = _scores(misfit - logs[:, None], points.error, clean)
    scores = scores - np.minimum(np.abs(logs) / _PLANES_DIFFER, _INSISTENCE)
    return float(np.exp(logs[int(scores.argmax())]))
