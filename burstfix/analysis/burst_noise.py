"""Which noise a burst has: what was given, what its file says if the frames bear that out, what they show."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.blocks import gray_features, match_blocks
from burstfix.align.gather import gather_cells
from burstfix.analysis.noise_estimate import estimate_from_burst, estimate_from_frame
from burstfix.analysis.noise_table import NoiseTable
from burstfix.errors import UsageError
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import CFA_PATTERNS, Frame, GlobalMotion, NoiseChoice, NoiseProfile

log = logging.getLogger(__name__)

PATCH = 128  # packed pixels on a side of the patches in which noise is measured
PATCHES = 24
NEIGHBOURS = 5
CHECKING_FRAMES = 3  # two alone are misled by scenes that are busy everywhere
# Of the standard deviation; docs/raw-support.md says how often such measurements are wrong.
CONTRADICTION = 1.25
SIGNALS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # quantiles of what the reference shows
MEAN_OF = 8  # packed pixels on a side of the blocks whose means are those signals
# Sensors lie well inside; beyond, a tag holds rubbish (all zero, or in DN instead of normalised units).
MAX_SHOT_GAIN, MAX_READ_VARIANCE = 1.0, 0.1
FALLBACK_NOISE = NoiseProfile.uniform(1e-3, 1e-5, "frame")  # a phone's at dusk


def check_asked(noise: NoiseProfile | NoiseChoice | None) -> None:
    """Whether `find_noise` can do with what it is asked for.

    Raises:
        UsageError: No sensor has such noise, or it is a word that stands for none.
    """
    if isinstance(noise, str) and noise not in get_args(NoiseChoice):
        raise UsageError(f"noise {noise!r}: expected file, measure, or numbers")
    if isinstance(noise, NoiseProfile) and not is_plausible(noise):
        raise UsageError(
            f"noise {noise.shot_gain[0]:g},{noise.read_variance[0]:g} is none that a sensor has; give S,O of "
            "variance = S*x + O for x from 0 (black) to 1 (white), both small and not negative"
        )


def find_noise(
    frames: Sequence[Frame],
    motions: Sequence[GlobalMotion],
    reference: int,
    noise: NoiseProfile | NoiseChoice | None,
    table: NoiseTable | None,
    notes: list[str],
) -> NoiseProfile:
    """Decides on the noise of a burst.

    Args:
        frames: That will be merged.
        motions: Of each against the reference.
        reference: Index of the reference.
        noise: Known noise. None takes the reference file's NoiseProfile, or what a burst of three frames and
            more shows if that is another; without such a tag the table's, else it is measured. "file" takes
            a file's word for it. "measure" measures whatever file and table say.
        table: Noise of cameras whose files do not say it.
        notes: Gets a sentence where the noise was doubtful.
    """
    if isinstance(noise, NoiseProfile):
        profile = noise
    else:
        profile = None
        if noise != "measure":
            profile = _file_noise(frames[reference], notes)
            if profile is not None and noise != "file":
                profile = _checked(profile, frames, motions, reference, notes)
            if profile is None and table is not None:
                profile = table.find(frames[reference].metadata)
        if profile is None:
            profile = _measure(frames, motions, reference, notes)
    log.info(
        "noise (%s): shot gain %.3g, read variance %.3g",
        profile.source,
        float(np.mean(profile.shot_gain)),
        float(np.mean(profile.read_variance)),
    )
    return profile


def is_plausible(noise: NoiseProfile) -> bool:
    """Whether a sensor could have this noise: not nothing, nothing negative, not beyond all measure."""
    pairs = zip(noise.shot_gain, noise.read_variance, strict=True)
    # Comparisons with NaN are false.
    return all(
        0 <= gain <= MAX_SHOT_GAIN and 0 <= read <= MAX_READ_VARIANCE and gain + read > 0
        for gain, read in pairs
    )


def _file_noise(frame: Frame, notes: list[str]) -> NoiseProfile | None:
    known = frame.metadata.noise
    if known is None:
        return None
    if is_plausible(known):
        return replace(known, source="file")
    found = f"({known.shot_gain[0]:g}, {known.read_variance[0]:g})"
    _warn(f"{frame.metadata.path}: its NoiseProfile {found} makes no sense and is not used", notes)
    return None


def _checked(
    said: NoiseProfile,
    frames: Sequence[Frame],
    motions: Sequence[GlobalMotion],
    reference: int,
    notes: list[str],
) -> NoiseProfile:
    """What the file says, or what the burst shows if that is clearly another noise."""
    metadata = frames[reference].metadata
    if len(frames) < CHECKING_FRAMES or metadata.cfa not in CFA_PATTERNS:
        return said  # where neighbours have been made alike noise would be measured too low
    try:
        pictures = _aligned_patches(frames, motions, reference)
        shown = estimate_from_burst(pictures[0], pictures[1:])
    except ValueError as error:
        log.info("the file's noise cannot be checked: %s", error)
        return said
    ratio = _farthest_ratio(said, shown, pictures[0])
    if 1 / CONTRADICTION <= ratio <= CONTRADICTION:
        return said
    span = f"{'up' if ratio > 1 else 'down'} to {ratio:.2f} times"
    _warn(
        f"{metadata.path}: the burst's noise is {span} what its NoiseProfile says: "
        f"{_numbers(shown)} is used instead of {_numbers(said)} (--noise file believes the file)",
        notes,
    )
    return shown


def _farthest_ratio(said: NoiseProfile, shown: NoiseProfile, packed: Tensor) -> float:
    """Of the standard deviations, shown over said, at the signals of (4, h, w): the one farthest from 1."""
    means = F.avg_pool2d(packed, min(MEAN_OF, *packed.shape[-2:])).flatten(1).double()
    signals = torch.quantile(means, torch.tensor(SIGNALS).double(), dim=1).T.clamp(0, 0.95)  # 4, signals

    def variances(noise: NoiseProfile) -> Tensor:
        gain, read = torch.tensor([noise.shot_gain, noise.read_variance]).double()[..., None]
        return gain * signals + read

    ratios = (variances(shown) / variances(said).clamp(min=1e-12)).sqrt()
    return float(ratios.flatten()[ratios.log().abs().argmax()])


def _numbers(noise: NoiseProfile) -> str:
    return f"{np.mean(noise.shot_gain):.2g}, {np.mean(noise.read_variance):.2g}"


def _measure(
    frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int, notes: list[str]
) -> NoiseProfile:
    """Noise from the burst, else from the reference alone, else a guess that the notes own up to."""
    try:
        pictures = _aligned_patches(frames, motions, reference)
        return estimate_from_burst(pictures[0], pictures[1:])
    except ValueError as error:
        log.info("noise is measured on one frame: %s", error)
    try:
        source = FrameSource(frames[reference])
        return estimate_from_frame(source.read_for_matching(source.whole))
    except ValueError as error:
        _warn(f"the noise is a guess, {error}; give it if you know it", notes)
        return FALLBACK_NOISE


def _warn(sentence: str, notes: list[str]) -> None:
    notes.append(sentence)
    log.warning("%s", sentence)


def _aligned_patches(frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int) -> Tensor:
    """(1 + M, 4, h, w): the reference and its nearest neighbours in time, patches from all over the picture.

    Raises:
        ValueError: There is but one frame, or it is not fit to be measured.
    """
    nearest = sorted((i for i in range(len(frames)) if i != reference), key=lambda i: abs(i - reference))
    if not nearest:
        raise ValueError("there is one frame only")
    anchor_source = FrameSource(frames[reference])
    height, width = anchor_source.height, anchor_source.width
    side_y, side_x = min(PATCH, height // 8 * 8), min(PATCH, width // 8 * 8)
    if min(side_y, side_x) < 16:
        raise ValueError("the picture is too small")
    corners = _patch_corners(height, width, side_y, side_x)
    anchor = torch.stack([_window(anchor_source, y, x, side_y, side_x) for y, x in corners])
    aligned = []
    for i in nearest[:NEIGHBOURS]:
        source = FrameSource(frames[i])
        patches = []
        for y, x in corners:
            dy, dx = _shift_at(motions[i], y + side_y / 2 - height / 2, x + side_x / 2 - width / 2)
            top = min(max(y + dy, 0), height - side_y)
            left = min(max(x + dx, 0), width - side_x)
            patches.append(_window(source, top, left, side_y, side_x))
        frame = torch.stack(patches)
        # Any plausible noise serves for matching.
        features = [gray_features(p, 1e-3, 1e-5) for p in (anchor, frame)]
        start = torch.zeros(len(corners), 2, side_y // 8, side_x // 8)
        field = match_blocks(features[0], features[1], start)
        aligned.append(gather_cells(frame, field.offsets, field.cell))
    # Patches side by side make one picture: blocks of 8 do not cross their borders.
    return torch.stack([torch.cat(list(part), -1) for part in (anchor, *aligned)])


def _window(source: FrameSource, top: int, left: int, height: int, width: int) -> Tensor:
    return source.read_for_matching(Region(top, left, top + height, left + width))


def _patch_corners(height: int, width: int, side_y: int, side_x: int) -> list[tuple[int, int]]:
    rows = max(1, min(height // side_y, round((PATCHES * height / width) ** 0.5)))
    cols = max(1, min(width // side_x, PATCHES // rows))
    ys = np.linspace(0, height - side_y, rows + 2 if rows == 1 else rows).astype(int)
    xs = np.linspace(0, width - side_x, cols + 2 if cols == 1 else cols).astype(int)
    ys, xs = (ys[1:2] if rows == 1 else ys), (xs[1:2] if cols == 1 else xs)
    return [(int(y), int(x)) for y in ys for x in xs]


def _shift_at(motion: GlobalMotion, y: float, x: float) -> tuple[int, int]:
    """Shift in packed pixels of what lies (y, x) packed pixels from the centre (see GlobalMotion)."""
    cos, sin = np.cos(motion.angle), np.sin(motion.angle)
    dy = cos * y + sin * x - y + motion.dy / 2
    dx = -sin * y + cos * x - x + motion.dx / 2
    return round(float(dy)), round(float(dx))
