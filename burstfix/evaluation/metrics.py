"""PSNR and SSIM of display RGB, in double precision."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03


def psnr(result: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, over all channels together.

    Args:
        result: (C, H, W) in 0..1.
        truth: The same shape.

    Returns:
        10 log10(1 / mean squared error); infinity for equal pictures.
    """
    error = float((_checked(result, truth).double() - truth.double()).square().mean())
    return -10 * math.log10(error) if error > 0 else math.inf


def ssim(result: Tensor, truth: Tensor) -> float:
    """Structural similarity: 11x11 Gaussian windows (sigma 1.5) inside the picture, mean of the channels.

    Variances are those of the population (no Bessel correction), as in Wang's own code.

    Args:
        result: (C, H, W) in 0..1, at least 11x11.
        truth: The same shape.

    Raises:
        ValueError: The pictures are smaller than a window.
    """
    a, b = _checked(result, truth).double(), truth.double()
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, not {tuple(a.shape[-2:])}")
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return float((luminance * structure).mean())


def _checked(result: Tensor, truth: Tensor) -> Tensor:
    if result.shape != truth.shape or result.ndim != 3:
        raise ValueError(
            f"pictures are (C, H, W) of one shape, not {tuple(result.shape)}, {tuple(truth.shape)}"
        )
    return result


def _blur(x: Tensor) -> Tensor:
    """(C, H, W) -> (C, H - 10, W - 10): Gaussian mean of every window that lies inside."""
    at = torch.arange(SSIM_WINDOW, dtype=x.dtype, device=x.device) - SSIM_WINDOW // 2
    kernel = torch.exp(-0.5 * (at / SSIM_SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    x = F.conv2d(x[:, None], kernel.reshape(1, 1, -1, 1))
    return F.conv2d(x, kernel.reshape(1, 1, 1, -1))[:, 0]
