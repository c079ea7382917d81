"""PSNR and SSIM of display RGB, in double precision."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
_STRIP_ROWS = 256  # limits the memory for large pictures


def psnr(result: Tensor, truth: Tensor) -> float:
    """Compute the peak signal-to-noise ratio in dB over all channels.

    Args:
        result: (C, H, W) in 0..1.
        truth: Tensor of the same shape.

    Returns:
        10 log10(1 / mean squared error); infinite for equal pictures.
    """
    error = float((_checked(result, truth).double() - truth.double()).square().mean())
    return -10 * math.log10(error) if error > 0 else math.inf


def ssim(result: Tensor, truth: Tensor) -> float:
    """Compute the structural similarity: mean over channels and 11x11 Gaussian windows (sigma 1.5).

    Variances are those of the population (no Bessel correction), as in the authors' code.

    Args:
        result: (C, H, W) in 0..1, at least 11x11.
        truth: Tensor of the same shape.

    Raises:
        ValueError: The pictures are smaller than a window.
    """
    a, b = _checked(result, truth), truth
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, found {tuple(a.shape[-2:])}"
        )
    rows, total = a.shape[-2] - SSIM_WINDOW + 1, 0.0
    for top in range(0, rows, _STRIP_ROWS):
        part = slice(top, min(top + _STRIP_ROWS, rows) + SSIM_WINDOW - 1)
        total += float(_ssim_map(a[:, part].double(), b[:, part].double()).sum())
    return total / (len(a) * rows * (a.shape[-1] - SSIM_WINDOW + 1))


def _ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Compute the SSIM of each window, (C, H - 10, W - 10)."""
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return luminance * structure


def _checked(result: Tensor, truth: Tensor) -> Tensor:
    if result.shape != truth.shape or result.ndim != 3:
        raise ValueError(
            f"expected pictures (C, H, W) of one shape, found {tuple(result.shape)}, {tuple(truth.shape)}"
        )
    return result


def _blur(x: Tensor) -> Tensor:
    """Compute the Gaussian mean of every window inside the picture: (C, H, W) to (C, H - 10, W - 10)."""
    at = torch.arange(SSIM_WINDOW, dtype=x.dtype, device=x.device) - SSIM_WINDOW // 2
    kernel = torch.exp(-0.5 * (at / SSIM_SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    x = F.conv2d(x[:, None], kernel.reshape(1, 1, -1, 1))
    return F.conv2d(x, kernel.reshape(1, 1, 1, -1))[:, 0]
