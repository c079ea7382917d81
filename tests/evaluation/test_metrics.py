"""PSNR and SSIM, compared with scikit-image and with values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from burstfix.evaluation.metrics import psnr, ssim
from tests.scenes import draw_scene


def pair(height: int, width: int, noise: float) -> tuple[Tensor, Tensor]:
    truth = draw_scene(height, width, seed=3)
    generator = torch.Generator().manual_seed(5)
    return (truth + noise * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


@pytest.mark.parametrize("noise", [0.002, 0.03, 0.3])
def test_metrics_when_compared_with_scikit_image_then_they_agree(noise: float) -> None:
    result, truth = pair(61, 84, noise)
    a, b = result.numpy().astype(np.float64), truth.numpy().astype(np.float64)
    assert psnr(result, truth) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1.0), abs=1e-6)
    expected = structural_similarity(
        a, b, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(result, truth) == pytest.approx(expected, abs=1e-6)


def test_psnr_when_every_pixel_is_off_by_a_tenth_then_it_is_20_db() -> None:
    truth = torch.full((3, 8, 8), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-5)


def test_psnr_when_only_one_channel_is_off_then_errors_are_averaged_before_the_logarithm() -> None:
    truth = torch.zeros(3, 4, 4)
    result = truth.clone()
    result[0] = 0.3  # mean squared error 0.09 / 3 = 0.03
    assert psnr(result, truth) == pytest.approx(10 * math.log10(1 / 0.03), abs=1e-5)


def test_metrics_when_pictures_are_equal_then_psnr_is_infinite_and_ssim_one() -> None:
    _, truth = pair(16, 16, 0.1)
    assert psnr(truth, truth) == math.inf
    assert ssim(truth, truth) == pytest.approx(1.0, abs=1e-12)


def test_ssim_when_both_are_flat_then_only_the_luminance_term_counts() -> None:
    # (2 * 0.2 * 0.4 + 0.0001) / (0.04 + 0.16 + 0.0001)
    result, truth = torch.full((1, 11, 11), 0.2), torch.full((1, 11, 11), 0.4)
    assert ssim(result, truth) == pytest.approx(0.1601 / 0.2001, abs=1e-6)


def test_ssim_when_a_window_has_a_single_bright_pixel_then_it_equals_the_value_by_hand() -> None:
    # There is one window with centre weight w. Compared with black: means w and 0, variance w - w^2,
    # covariance 0.
    result, truth = torch.zeros(1, 11, 11), torch.zeros(1, 11, 11)
    result[0, 5, 5] = 1.0
    line = [math.exp(-(k**2) / (2 * 1.5**2)) for k in range(-5, 6)]
    w = (1 / sum(line)) ** 2
    expected = (1e-4 / (w**2 + 1e-4)) * (9e-4 / (w - w**2 + 9e-4))
    assert ssim(result, truth) == pytest.approx(expected, rel=1e-9)


def test_metrics_when_shapes_differ_or_are_too_small_then_value_error() -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(3, 8, 8), torch.zeros(1, 8, 8))
    with pytest.raises(ValueError, match="11x11"):
        ssim(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))
