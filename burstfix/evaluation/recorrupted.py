"""Measure quality on real bursts without ground truth: recorrupted pairs (Pang et al., CVPR 2021).

From a noisy frame y and additional noise z of the same variance, two frames are made:

    y1 = y + a * z        y2 = y - z / a

If the noise profile is correct, the noise of y1 and of y2 is uncorrelated. All frames of a burst are replaced
by their y1, and the burst is merged with a noise profile that is 1 + a^2 times as large. Then

    mean((y2 - merge)^2) = mean(error^2) + (1 + 1 / a^2) * noise variance

where the error is that of the merge. In contrast to held-out frames, nothing has to be aligned and all frames
are merged, but the noise profile has to be correct. It is first compared with flat areas of the reference. An
error of 1% in the noise variance changes all results by 0.01 * (1 + 1 / a^2), but not their differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.errors import BurstError
from burstfix.evaluation.held_out import HeldOutScore, Regions, block_means, find_regions, read_folder
from burstfix.evaluation.methods import Method
from burstfix.raw.cfa import mosaic
from burstfix.raw.levels import normalise
from burstfix.types import Burst, Frame, NoiseProfile, Progress

STRENGTH = 0.5  # a in the docstring of the module; the value of the paper
TOLERANCE = 0.1  # largest accepted relative error of the noise variance in flat areas
_LARGEST = 65535


def evaluate_recorrupted(
    methods: Sequence[Method], folders: Sequence[Path], draws: int = 2, progress: Progress | None = None
) -> list[HeldOutScore]:
    """Measure methods on real bursts.

    Args:
        methods: Rows of the table.
        folders: Folders, each with the raws of one burst.
        draws: Number of repetitions with other additional noise.
        progress: Called with ("evaluate", repetitions done, all repetitions).

    Returns:
        Scores like those of `evaluate_held_out`: `pair` is the number of the repetition, and `noise` is the
        noise variance in flat areas relative to the noise profile.

    Raises:
        InputError: A folder does not exist, or a raw cannot be read.
        BurstError: A burst has no Bayer mosaics, or its noise does not agree with its noise profile.
    """
    scores: list[HeldOutScore] = []
    for number, folder in enumerate(folders):
        burst = read_folder(folder, 2)
        regions = find_regions(burst)
        ratio = noise_ratio(burst.frames[burst.reference], regions)
        if abs(ratio - 1) > TOLERANCE:
            raise BurstError(
                f"{folder}: the noise variance in flat areas is {ratio:.2f} times that of the noise profile; "
                f"expected {1 - TOLERANCE:g} to {1 + TOLERANCE:g}. Use held-out frames, which need no profile"
            )
        for draw in range(draws):
            if progress:
                progress("evaluate", number * draws + draw, len(folders) * draws)
            scores += _score(methods, folder.resolve().name, burst, regions, ratio, draw)
    if progress:
        progress("evaluate", len(folders) * draws, len(folders) * draws)
    return scores


def noise_ratio(frame: Frame, regions: Regions) -> float:
    """Return the noise variance of a frame in flat areas, relative to its noise profile.

    In flat areas, half of x00 - x01 - x10 + x11, for neighbours of one colour, has the variance of the noise.
    """
    signal = normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels) / regions.std
    flat = torch.from_numpy(regions.parts["flat"])
    square = (signal[:-2, :-2] - signal[:-2, 2:] - signal[2:, :-2] + signal[2:, 2:]).square() / 4
    inside = flat[:-2, :-2] & flat[:-2, 2:] & flat[2:, :-2] & flat[2:, 2:]
    return float(square[inside].mean())


def _score(
    methods: Sequence[Method], name: str, burst: Burst, regions: Regions, ratio: float, draw: int
) -> list[HeldOutScore]:
    generator = torch.Generator().manual_seed(draw)
    frames, extra = [], torch.zeros(())
    for k, frame in enumerate(burst.frames):
        std = find_regions(replace(burst, reference=k)).std * ratio**0.5
        noise = std * torch.randn(std.shape, generator=generator)
        frames.append(_with_noise(frame, STRENGTH * noise))
        if k == burst.reference:
            extra = noise
    noisier = replace(burst, frames=tuple(frames), noise=_scaled(burst.noise, ratio * (1 + STRENGTH**2)))
    reference = burst.frames[burst.reference]
    target = normalise(torch.from_numpy(reference.mosaic), reference.metadata.levels) - extra / STRENGTH
    scores = []
    for method in methods:
        merged = mosaic(torch.from_numpy(method.run(noisier)), reference.metadata.cfa)
        squares = ((target - merged) / regions.std).square() - ratio * (1 + 1 / STRENGTH**2)
        values: NDArray[np.float32] = squares.numpy()
        for part, mask in regions.parts.items():
            scores += [
                HeldOutScore(method.label, name, draw, block, part, error, ratio)
                for block, error in block_means(values, mask).items()
            ]
    return scores


def _with_noise(frame: Frame, noise: Tensor) -> Frame:
    """Add normalised noise (H, W) to a frame, and round to whole DN."""
    levels = frame.metadata.levels
    noisy = frame.mosaic + noise.numpy() * float(levels.white - levels.black.mean())
    return replace(frame, mosaic=np.rint(noisy).clip(0, _LARGEST).astype(np.uint16))


def _scaled(noise: NoiseProfile, factor: float) -> NoiseProfile:
    """Multiply the variance of a noise profile."""
    gain, read = (
        tuple(factor * value for value in values) for values in (noise.shot_gain, noise.read_variance)
    )
    return replace(noise, shot_gain=gain, read_variance=read)  # type: ignore[arg-type]
