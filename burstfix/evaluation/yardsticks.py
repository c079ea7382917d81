"""Published methods for comparison, as rows of `burstfix evaluate`.

| name | method | frames |
|---|---|---|
| menon | Menon demosaicking of the reference, without denoising | 1 |
| nlm | non-local means after a variance-stabilising transform, then Menon (needs scikit-image) | 1 |
| wavelet | the same with wavelet shrinkage (needs scikit-image and PyWavelets) | 1 | | bm3d | the same with
BM3D (needs the package bm3d, which is licensed only for non-commercial use) | 1 | | hdrplus | merging as in
HDR+, then Menon | all |
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.engine.infer import merge_tiled
from burstfix.errors import UsageError
from burstfix.evaluation.hdrplus import HdrPlus
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.demosaic import menon
from burstfix.raw.levels import normalise
from burstfix.types import Burst

Merge = Callable[[Burst], NDArray[np.float32]]
Plane = NDArray[np.float64]


def _hdrplus(burst: Burst) -> NDArray[np.float32]:
    return merge_tiled(burst, HdrPlus(), device="cpu").data


def _single(denoise: Callable[[Plane], Plane] | None) -> Merge:
    """Return a method that denoises the packed planes of the reference and demosaicks them.

    Args:
        denoise: Function that removes noise of unit variance from a plane; None = keep the noise.
    """

    def merge(burst: Burst) -> NDArray[np.float32]:
        frame = burst.frames[burst.reference]
        height, width = frame.mosaic.shape
        mosaic = normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)
        padded = pad_to_rggb(mosaic, frame.metadata.cfa)
        planes = pack(padded.mosaic)
        if denoise is not None:
            profiles = zip(burst.noise.shot_gain, burst.noise.read_variance, strict=True)
            planes = torch.stack(
                [
                    torch.from_numpy(stabilised(plane.double().numpy(), denoise, *profile)).float()
                    for plane, profile in zip(planes, profiles, strict=True)
                ]
            )
        rgb = menon(planes[None])[0]
        inside = slice(padded.top, padded.top + height), slice(padded.left, padded.left + width)
        return rgb[:, inside[0], inside[1]].contiguous().numpy()

    return merge


def stabilised(
    plane: Plane, denoise: Callable[[Plane], Plane], shot_gain: float, read_variance: float
) -> Plane:
    """Apply a method for noise of unit variance to a plane with signal-dependent noise.

    The function uses the generalised Anscombe transform and its unbiased inverse (Mäkitalo and Foi, "Optimal
    inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", 2013, closed-form
    approximation).

    Args:
        plane: (h, w) normalised values.
        denoise: The method.
        shot_gain, read_variance: Noise profile of the plane.
    """
    variance = read_variance / shot_gain**2
    forward = 2 * np.sqrt(np.maximum(plane / shot_gain + 3 / 8 + variance, 0))
    d = np.maximum(denoise(forward), 2 * np.sqrt(3 / 8 + variance))  # value at black
    root = np.sqrt(1.5)
    inverse = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8 - variance
    return shot_gain * inverse


def _nlm() -> Callable[[Plane], Plane]:
    restoration = _import("skimage.restoration", "nlm")
    return lambda plane: restoration.denoise_nl_means(
        plane, patch_size=5, patch_distance=7, h=0.8, sigma=1.0, fast_mode=True
    )


def _wavelet() -> Callable[[Plane], Plane]:
    restoration = _import("skimage.restoration", "wavelet")
    _import("pywt", "wavelet")
    return lambda plane: restoration.denoise_wavelet(
        plane, sigma=1.0, method="BayesShrink", mode="soft", rescale_sigma=True
    )


def _bm3d() -> Callable[[Plane], Plane]:
    package = _import("bm3d", "bm3d")
    return lambda plane: package.bm3d(plane, 1.0)


def _import(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = "bm3d" if module == "bm3d" else "burstfix[yardsticks]"
        raise UsageError(f"{name}: the package {module} is missing; run pip install {extra}") from error


SINGLE_FRAME: dict[str, Callable[[], Callable[[Plane], Plane]] | None] = {
    "menon": None,
    "nlm": _nlm,
    "wavelet": _wavelet,
    "bm3d": _bm3d,
}
NAMES = (*SINGLE_FRAME, "hdrplus")
"""Names of all published methods for comparison."""


def yardstick(name: str) -> Merge:
    """Return a method by its name in `NAMES`.

    Raises:
        UsageError: A required package is not installed.
    """
    if name == "hdrplus":
        return _hdrplus
    create = SINGLE_FRAME[name]
    return _single(create() if create else None)
