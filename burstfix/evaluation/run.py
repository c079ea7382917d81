"""Evaluate methods on cases and compute scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from burstfix.engine.device import CpuDevice
from burstfix.engine.select import select_device
from burstfix.errors import UsageError
from burstfix.evaluation.methods import Method, Protocol
from burstfix.evaluation.metrics import psnr, ssim
from burstfix.evaluation.perceptual import Distance
from burstfix.evaluation.protocol import (
    Case,
    Clip,
    Limits,
    clip_cases,
    distinct_names,
    grey_clip_cases,
    photo_case,
    references,
)
from burstfix.types import Progress

OnCase = Callable[[Case, dict[str, Tensor]], None]


@dataclass(frozen=True, slots=True)
class Score:
    """Result of one method on one case.

    Attributes:
        method: Label of the method.
        source, clip, window, level: See `Case`.
        psnr: PSNR in dB.
        ssim: SSIM, at most 1.
        seconds: Time of block matching and merging, without reading and global motion.
        megapixels: Size of the result.
        lpips: LPIPS distance, 0 for equal pictures; None if it was not measured.
    """

    method: str
    source: str
    clip: str
    window: str
    level: str
    psnr: float
    ssim: float
    seconds: float
    megapixels: float
    lpips: float | None = None


def evaluate(
    methods: Sequence[Method],
    clips: Sequence[Clip],
    photos: Sequence[Path],
    levels: Sequence[str],
    limits: Limits,
    *,
    protocol: Protocol = "color",
    distance: Distance | None = None,
    progress: Progress | None = None,
    on_case: OnCase | None = None,
) -> list[Score]:
    """Evaluate every method on every case.

    Args:
        methods: Rows of the tables.
        clips: Clips for the REDS4 protocol.
        photos: Photographs for simulated bursts.
        levels: Noise levels, keys of `protocol.LEVELS`.
        limits: Selection of the data.
        protocol: Kind of bursts and of the results of the methods.
        distance: Perceptual distance to measure as well; see `perceptual.lpips`.
        progress: Called with ("evaluate", cases done, all cases).
        on_case: Function that is called with each case and the display RGB of every method.

    Raises:
        UsageError: Methods or cases are missing.
    """
    total = len(levels) * (
        len(photos) * limits.per_photo + sum(len(references(len(c.frames), limits)) for c in clips)
    )
    if total == 0 or not methods:
        raise UsageError("nothing to evaluate: give clips or photographs, and a model")
    scores: list[Score] = []
    for done, case in enumerate(_cases(clips, photos, levels, limits, protocol)):
        if progress:
            progress("evaluate", done, total)
        shown = {}
        for method in methods:
            started = time.perf_counter()
            linear = method.run(case.burst)
            seconds = time.perf_counter() - started
            shown[method.label] = case.shown(linear)
            scores.append(
                Score(
                    method.label,
                    case.source,
                    case.clip,
                    case.window,
                    case.level,
                    psnr(shown[method.label], case.truth),
                    ssim(shown[method.label], case.truth),
                    seconds,
                    linear.shape[1] * linear.shape[2] / 1e6,
                    None if distance is None else distance(shown[method.label], case.truth),
                )
            )
        if on_case:
            on_case(case, shown)
    if progress:
        progress("evaluate", total, total)
    return scores


def _cases(
    clips: Sequence[Clip], photos: Sequence[Path], levels: Sequence[str], limits: Limits, protocol: Protocol
) -> Iterator[Case]:
    names, as_grey = distinct_names(photos), protocol != "color"
    prefix = f"{protocol}-" if as_grey else ""
    for level in levels:
        for clip in clips:
            for case in (grey_clip_cases if as_grey else clip_cases)(clip, level, limits):
                yield replace(case, source=prefix + case.source)
        for photo, name in zip(photos, names, strict=True):
            for number in range(limits.per_photo):
                case = photo_case(photo, level, limits, number, name, as_grey=as_grey)
                yield replace(case, source=prefix + case.source)


def machine(device: str) -> dict[str, str | int]:
    """Describe the hardware on which the times were measured."""
    chosen = select_device(device)
    return {
        "device": "cpu" if chosen.type == "cpu" else chosen.name,
        "processor": CpuDevice().name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
