"""Published methods for comparison, as rows of `burstfix evaluate`.

| name | method | frames |
|---|---|---|
| menon | Menon demosaicking of the reference, without denoising | 1 |
| nlm | non-local means after a variance-stabilising transform, then Menon (needs scikit-image) | 1 |
| wavelet | the same with wavelet shrinkage (needs scikit-image and PyWavelets) | 1 |
| bm3d | the same with BM3D (needs the package bm3d, licensed only for non-commercial use) | 1 |
| hdrplus | merging as in HDR+, then Menon | all |

With grey bursts, nothing is demosaicked, and the methods for one frame denoise the whole mosaic as one plane.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.engine.infer import merge_tiled
from burstfix.errors import UsageError
from burstfix.evaluation.hdrplus import HdrPlus
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.demosaic import menon
from burstfix.raw.levels import normalise
from burstfix.types import Burst

Merge = Callable[[Burst], NDArray[np.float32]]
Plane = NDArray[np.float64]


def _hdrplus(as_grey: bool) -> Merge:
    return lambda burst: merge_tiled(burst, HdrPlus(), device="cpu", mosaic=as_grey).data


def _demosaicked(denoise: Callable[[Plane], Plane] | None) -> Merge:
    """Return a method that denoises the packed planes of the reference and demosaicks them.

    Args:
        denoise: Function that removes noise of unit variance from a plane; None = keep the noise.
    """

    def merge(burst: Burst) -> NDArray[np.float32]:
        mosaic = _reference(burst)
        height, width = mosaic.shape
        padded = pad_to_rggb(mosaic, burst.frames[burst.reference].metadata.cfa)
        planes = pack(padded.mosaic)
        if denoise is not None:
            planes = torch.stack([_denoised(plane, denoise, burst, k) for k, plane in enumerate(planes)])
        rgb = menon(planes[None])[0]
        inside = slice(padded.top, padded.top + height), slice(padded.left, padded.left + width)
        return rgb[:, inside[0], inside[1]].contiguous().numpy()

    return merge


def _grey(denoise: Callable[[Plane], Plane] | None) -> Merge:
    """Return a method that denoises the whole mosaic of the reference as one plane, as for a grey scene."""

    def merge(burst: Burst) -> NDArray[np.float32]:
        mosaic = _reference(burst)
        return (mosaic if denoise is None else _denoised(mosaic, denoise, burst, 0))[None].numpy()

    return merge


def _reference(burst: Burst) -> Tensor:
    frame = burst.frames[burst.reference]
    return normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)


def _denoised(plane: Tensor, denoise: Callable[[Plane], Plane], burst: Burst, k: int) -> Tensor:
    """Denoise a plane with the noise profile of packed plane k."""
    profile = burst.noise.shot_gain[k], burst.noise.read_variance[k]
    return torch.from_numpy(stabilised(plane.double().numpy(), denoise, *profile)).float()


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


def yardstick(name: str, *, as_grey: bool = False) -> Merge:
    """Return a method by its name in `NAMES`.

    Args:
        name: Name of the method.
        as_grey: True for a method that denoises the mosaic of a grey scene and does not demosaick it.

    Raises:
        UsageError: A required package is not installed.
    """
    if name == "hdrplus":
        return _hdrplus(as_grey)
    create = SINGLE_FRAME[name]
    denoise = create() if create else None
    return _grey(denoise) if as_grey else _demosaicked(denoise)
