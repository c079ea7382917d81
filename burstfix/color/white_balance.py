"""White balance: the camera RGB of a grey object, from the file, the picture or the user."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import D65_XY, Matrix, adaptation, white_of, xy_to_xyz
from burstfix.color.dng import as_shot_neutral, xy_to_neutral, xyz_to_camera
from burstfix.color.overview import overview_of
from burstfix.color.spaces import SPACES
from burstfix.errors import UsageError
from burstfix.types import ColorProfile

WhiteBalance = Literal["camera", "auto"] | tuple[float, float, float]

_CLIPPED = 0.95
_DARK_PERCENTILE = 15.0
_NO_LIGHT = 1e-4
_SIDE = 96  # pixels on the longer side of the analysed picture
_STEP = 3  # step between the pixels and edges that are used
_BINS, _RANGE = 24, 2.4  # number of bins, and range, of log2 chroma in the table
_SMALLEST_SHARE = 1e-4  # added to every bin, so that a rare colour does not rule out a light
_EDGE_PERCENTILE = 60.0  # weaker edges are mostly noise
_MIRED_RANGE, _MIREDS = (100.0, 455.0), 30  # 10000 K to 2200 K
_DUV_RANGE, _DUVS = (-0.012, 0.018), 9
_PRIOR = 0.02  # weight of the prior for common lights
_SHARPNESS = 40.0  # sharpness of the weights in the mean over lights; a large value selects the best light


def neutral_for(white_balance: WhiteBalance, profile: ColorProfile, thumbnail: NDArray[np.float32]) -> Matrix:
    """Return the (3,) camera RGB of a grey object, largest component 1.

    Args:
        white_balance: "camera" (the file's), "auto" (estimated from `thumbnail`), or multipliers of R, G, B.
        profile: The camera's calibration.
        thumbnail: (3, h, w) camera RGB.

    Raises:
        UsageError: The name is unknown, or the multipliers are not three positive numbers.
    """
    if isinstance(white_balance, str):
        if white_balance == "camera":
            return as_shot_neutral(profile)
        if white_balance == "auto":
            return estimate_neutral(profile, thumbnail)
        raise UsageError(
            f"white balance {white_balance!r} is not known; use camera, auto, or R,G,B multipliers"
        )
    multipliers = np.asarray(white_balance, np.float64)
    if multipliers.shape != (3,) or not (np.all(np.isfinite(multipliers)) and np.all(multipliers > 0)):
        raise UsageError(f"white balance {white_balance!r}: expected three positive multipliers for R, G, B")
    return multipliers.min() / multipliers


def estimate_neutral(profile: ColorProfile, thumbnail: NDArray[np.float32]) -> Matrix:
    """Estimate the colour of the light from the picture.

    The method is colour by correlation (Finlayson, Hordley and Hubel 2001). The picture is balanced for each
    of 270 lights near the black body locus. Each light gets a score: the log-likelihood, in well balanced
    photographs, of the resulting colours of pixels and of edges (grey edge, van de Weijer, Gevers and
    Gijsenij 2007), less a penalty for uncommon lights. The result is the mean of all lights, weighted by the
    exponential function of the score. The likelihoods come from a table, which `benchmarks/white_balance.py`
    fits. Colours are compared in linear sRGB, so one table serves all cameras.

    Args:
        profile: The camera's calibration.
        thumbnail: (3, h, w) camera RGB, reduced by averaging, so that noise is low.

    Returns:
        (3,) camera RGB of a grey object, largest component 1; as shot for a black picture.
    """
    camera = np.nan_to_num(overview_of(thumbnail, _SIDE).data)
    pixels, edges = _usable(camera)[:, ::_STEP], _edges(camera)[:, ::_STEP]
    if pixels.shape[1] == 0 or float(pixels.max()) < _NO_LIGHT:
        return as_shot_neutral(profile)
    of_pixels, of_edges = _table()
    from_xyz = np.linalg.inv(SPACES["srgb"].to_xyz())
    lights, scores = [], []
    for mired in np.linspace(*_MIRED_RANGE, _MIREDS):
        for duv in np.linspace(*_DUV_RANGE, _DUVS):
            light = white_of(1e6 / mired, float(duv))
            neutral = xy_to_neutral(profile, light)
            to_srgb = from_xyz @ adaptation(xy_to_xyz(light), xy_to_xyz(D65_XY))
            to_srgb = to_srgb @ np.linalg.inv(xyz_to_camera(profile, light))
            score = _likelihood(of_pixels, to_srgb @ pixels)
            if edges.shape[1]:
                score = (score + _likelihood(of_edges, to_srgb @ edges)) / 2
            common = (np.log2(1e6 / mired / 5000) / 1.2) ** 2 + ((duv - 0.002) / 0.008) ** 2
            lights.append(neutral)
            scores.append(score - _PRIOR * common / 2)
    weights = np.exp(_SHARPNESS * (np.array(scores) - max(scores)))
    neutral = weights @ np.array(lights)
    return neutral / neutral.max()


def log_histogram(pictures: Iterable[NDArray[np.float32]]) -> tuple[Matrix, Matrix]:
    """Fit the table: the logarithm of the share of each chroma in well balanced pictures.

    Args:
        pictures: (3, h, w) linear sRGB.

    Returns:
        Two float64 (bins, bins), for pixels and for edges; rows are log2(R/G), columns are log2(B/G).
    """
    totals = [np.zeros((_BINS, _BINS)) for _ in range(2)]
    count = 0
    for picture in pictures:
        count += 1
        for total, colours in zip(totals, (_usable(picture), _edges(picture)), strict=True):
            position = _position(colours)
            # Colours beyond the table have a clipped channel. They are dropped, because they would add up at
            # its border.
            position = position[:, np.all((position > 0) & (position < _BINS - 1), axis=0)]
            row, column = np.rint(position).astype(int)
            shares = np.bincount(row * _BINS + column, minlength=_BINS**2).reshape(_BINS, _BINS)
            total += shares / max(1, shares.sum())
    smooth = [_blurred(_blurred(total / max(1, count)).T).T for total in totals]
    return np.log(smooth[0] + _SMALLEST_SHARE), np.log(smooth[1] + _SMALLEST_SHARE)


@functools.cache
def _table() -> Matrix:
    """Load the table, (2, bins, bins), for pixels and for edges."""
    with resources.as_file(resources.files("burstfix.color") / "light_prior.npy") as path:
        return np.load(path).astype(np.float64)


def _usable(picture: NDArray[np.float32]) -> Matrix:
    """Select the (3, n) pixels that are neither clipped nor dark."""
    pixels = np.asarray(picture, np.float64).reshape(3, -1)
    pixels = pixels[:, (pixels.max(axis=0) < _CLIPPED) & (pixels.min(axis=0) > 0)]
    brightness = pixels.sum(axis=0)
    return pixels[:, brightness >= np.percentile(brightness, _DARK_PERCENTILE)] if brightness.size else pixels


def _edges(picture: NDArray[np.float32]) -> Matrix:
    """Return strong differences (3, n) between neighbouring columns, neither of which is clipped."""
    fits = (picture.max(axis=0) < _CLIPPED).astype(bool)
    difference = np.abs(np.diff(np.asarray(picture, np.float64), axis=2))[:, fits[:, 1:] & fits[:, :-1]]
    strength = difference.sum(axis=0)
    return (
        difference[:, strength > np.percentile(strength, _EDGE_PERCENTILE)] if strength.size else difference
    )


def _position(rgb: Matrix) -> Matrix:
    """Return the (2, n) position of (3, n) colours in the table, in bins."""
    logs = np.log2(np.maximum(rgb, 1e-6))
    chroma = np.stack([logs[0] - logs[1], logs[2] - logs[1]])
    return np.clip((chroma + _RANGE) * (_BINS / (2 * _RANGE)) - 0.5, 0, _BINS - 1)


def _likelihood(table: Matrix, rgb: Matrix) -> float:
    """Average the table over (3, n) colours, interpolated between bins."""
    position = _position(rgb)
    cell = np.minimum(position.astype(int), _BINS - 2)
    (y, x), (row, column) = position - cell, cell
    upper = table[row, column] * (1 - x) + table[row, column + 1] * x
    lower = table[row + 1, column] * (1 - x) + table[row + 1, column + 1] * x
    return float(np.mean(upper * (1 - y) + lower * y))


def _blurred(table: Matrix) -> Matrix:
    """Blur along columns with the kernel (1, 4, 6, 4, 1) / 16; border values are repeated.

    The kernel has a standard deviation of one bin.
    """
    p = np.pad(table, ((2, 2), (0, 0)), mode="edge")
    return (p[:-4] + p[4:] + 4 * (p[1:-3] + p[3:-1]) + 6 * p[2:-2]) / 16
