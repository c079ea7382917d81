"""Merge aligned frames as in HDR+, for comparison with `average`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from burstfix.models.average import Average


def merge_spectra(spectra: Tensor, reference: int, variance: Tensor, c: float = 8.0) -> Tensor:
    """Merge windows pairwise with the reference in the frequency domain.

    Source: Hasinoff et al., "Burst photography for high dynamic range and low-light imaging on mobile
    cameras" (2016), section 5, equations 6 and 7. At frequencies where a frame and the reference differ by
    more than noise, the frame is replaced by the reference.

    Args:
        spectra: Complex (N, ..., side, side) Fourier transforms of windows, orthonormal.
        reference: Index of the reference in N.
        variance: (..., 1, 1) noise variance of a frame.
        c: Tuning factor of the paper. Larger values average more.

    Returns:
        (..., side, side).
    """
    difference = spectra[reference] - spectra
    energy = difference.abs().square()
    shrinkage = energy / (energy + 2 * c * variance).clamp(min=1e-20)
    return (spectra + shrinkage * difference).mean(0)


def denoise_spectra(spectra: Tensor, variance: Tensor, strength: float = 1.0) -> Tensor:
    """Remove remaining noise by pointwise shrinkage, which is stronger at high frequencies.

    Source: "spatial denoising" in section 5 of the same paper.

    Args:
        spectra: Complex (..., side, side), orthonormal.
        variance: (..., 1, 1) noise variance after averaging. The paper assumes that all frames were averaged.
        strength: Multiplier of the variance at frequency 1/2. The multiplier is proportional to the
            frequency.
    """
    side = spectra.shape[-1]
    frequency = torch.fft.fftfreq(side, device=spectra.device)
    modulation = 2 * strength * torch.hypot(frequency[:, None], frequency)
    energy = spectra.abs().square()
    return spectra * energy / (energy + modulation * variance).clamp(min=1e-20)


class HdrPlus(Average):
    """`average` with merging and spatial denoising as in HDR+ in each window.

    Args:
        c: See `merge_spectra`.
        strength: See `denoise_spectra`.
    """

    def __init__(self, c: float = 8.0, strength: float = 1.0) -> None:
        super().__init__()
        self.c, self.strength = c, strength

    def _merge_windows(
        self, reference: Tensor, others: Iterable[Tensor], variance: Tensor, dct: Tensor, pool: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Average._merge_windows`; all frames count as used."""
        windows = torch.stack([reference, *others])
        count, planes, rows, cols = windows.shape
        side = dct.shape[0]
        tiles = windows.reshape(count, planes, rows // side, side, cols // side, side).transpose(3, 4)
        variance = variance[..., None, None]
        spectra = torch.fft.fft2(tiles, norm="ortho")
        merged = merge_spectra(spectra, 0, variance, self.c)
        merged = denoise_spectra(merged, variance / count, self.strength)
        pixels = torch.fft.ifft2(merged, norm="ortho").real.transpose(2, 3).reshape(planes, rows, cols)
        used = torch.full((rows // side, cols // side), float(count), device=windows.device)
        return pixels, used
