"""Choose the noise profile of a burst: given by the user, read from the file, looked up, or measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.align.blocks import CELL, gray_features, match_blocks
from burstfix.align.gather import gather_cells
from burstfix.analysis.noise_estimate import estimate_from_burst, estimate_from_frame
from burstfix.analysis.noise_table import NoiseTable
from burstfix.errors import UsageError
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import Frame, GlobalMotion, NoiseChoice, NoiseMeasurement, NoiseProfile

log = logging.getLogger(__name__)

PATCH = 128  # side in packed pixels of the patches in which noise is measured
PATCHES = 24
NEIGHBOURS = 5  # frames compared with the reference
# Minimum number of frames to check the profile of the file. With two frames, the measurement is wrong for
# scenes with detail everywhere.
CHECKING_FRAMES = 3
# The profile of the file counts as wrong if standard deviations differ by this ratio; docs/raw-support.md
# gives the error rate.
CONTRADICTION = 1.25
SIGNALS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # quantiles of the signal at which profiles are compared
MEAN_OF = 8  # side in packed pixels of the blocks that are averaged to get the signals
# Limits far above the noise of real sensors. Larger values come from invalid tags (in DN, not normalised).
MAX_SHOT_GAIN, MAX_READ_VARIANCE = 1.0, 0.1
FALLBACK_NOISE = NoiseProfile.uniform(1e-3, 1e-5, "frame")  # typical of a phone at dusk
_MATCHING_NOISE = 1e-3, 1e-5  # shot gain, read variance; matching works with any plausible values


@dataclass(frozen=True, slots=True)
class FoundNoise:
    """The noise profile of a burst.

    Attributes:
        profile: The profile.
        warnings: Doubts about the profile, as sentences for the user.
        measured: Measurement of the burst; None if the noise was not measured.
    """

    profile: NoiseProfile
    warnings: tuple[str, ...] = ()
    measured: NoiseMeasurement | None = None


def check_noise_argument(noise: NoiseProfile | NoiseChoice | None) -> None:
    """Validate the `noise` argument of `find_noise`.

    Raises:
        UsageError: The profile is not plausible for a sensor, or the text is not "file" or "measure".
    """
    if isinstance(noise, str) and noise not in get_args(NoiseChoice):
        raise UsageError(f"noise {noise!r}: expected file, measure, or numbers")
    if isinstance(noise, NoiseProfile) and not is_plausible(noise):
        raise UsageError(
            f"noise {noise.shot_gain[0]:g},{noise.read_variance[0]:g} is not plausible; give S,O of "
            "variance = S*x + O for x from 0 (black) to 1 (white), both small and not negative"
        )


def find_noise(
    frames: Sequence[Frame],
    motions: Sequence[GlobalMotion],
    reference: int,
    noise: NoiseProfile | NoiseChoice | None = None,
    table: NoiseTable | None = None,
) -> FoundNoise:
    """Choose the noise profile of a burst.

    Args:
        frames: Frames to be merged.
        motions: Motion of each frame relative to the reference.
        reference: Index of the reference.
        noise: A known profile; "file" to use the profile of the file; "measure" to ignore the file and the
            table. If None, the first available profile is used: that of the reference's file, unless a burst
            of three or more frames contradicts it; that of the table; the measured one.
        table: Noise profiles of cameras, for files without one.

    Returns:
        The profile, with a warning for each doubt about it.
    """
    if isinstance(noise, NoiseProfile):
        return _logged(FoundNoise(noise))
    warnings: tuple[str, ...] = ()
    metadata = frames[reference].metadata
    if noise != "measure":
        if metadata.noise is not None:
            if is_plausible(metadata.noise):
                stated = replace(metadata.noise, source="file")
                return _logged(
                    FoundNoise(stated) if noise == "file" else _checked(stated, frames, motions, reference)
                )
            values = f"({metadata.noise.shot_gain[0]:g}, {metadata.noise.read_variance[0]:g})"
            warnings = (f"{metadata.path}: its NoiseProfile {values} is not plausible and is ignored",)
        listed = table.find(metadata) if table is not None else None
        if listed is not None:
            return _logged(FoundNoise(listed, warnings))
    measured = _measure(frames, motions, reference)
    return _logged(replace(measured, warnings=(*warnings, *measured.warnings)))


def is_plausible(noise: NoiseProfile) -> bool:
    """Return True if a sensor can have this noise: finite, not all 0, not negative, not too large."""
    pairs = zip(noise.shot_gain, noise.read_variance, strict=True)
    # Comparisons with NaN are false.
    return all(
        0 <= gain <= MAX_SHOT_GAIN and 0 <= read <= MAX_READ_VARIANCE and gain + read > 0
        for gain, read in pairs
    )


def _logged(found: FoundNoise) -> FoundNoise:
    for warning in found.warnings:
        log.warning("%s", warning)
    log.info(
        "noise (%s): shot gain %.3g, read variance %.3g",
        found.profile.source,
        float(np.mean(found.profile.shot_gain)),
        float(np.mean(found.profile.read_variance)),
    )
    return found


def _checked(
    stated: NoiseProfile, frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int
) -> FoundNoise:
    """Return the file's profile if it is consistent with the burst, otherwise the measured one."""
    frame = frames[reference]
    # Demosaicking filters the noise of frames that are not mosaics, so the measured noise would be too low.
    if len(frames) < CHECKING_FRAMES or not frame.layout.is_bayer:
        return FoundNoise(stated)
    try:
        pictures = _aligned_patches(frames, motions, reference)
        measured = estimate_from_burst(pictures[0], pictures[1:])
    except ValueError as error:
        log.info("the file's noise cannot be checked: %s", error)
        return FoundNoise(stated)
    ratio = _largest_ratio(stated, measured.profile, pictures[0])
    if 1 / CONTRADICTION <= ratio <= CONTRADICTION:
        return FoundNoise(stated, measured=measured)
    # Not a warning, because it is common with some cameras and users cannot change it.
    log.info(
        "noise: the measured value is used, because it is %.2f times the value in the file (to use the "
        "value in the file: --noise file)",
        ratio,
    )
    return FoundNoise(measured.profile, measured=measured)


def _largest_ratio(stated: NoiseProfile, measured: NoiseProfile, packed: Tensor) -> float:
    """Compare two profiles at the signals of a picture.

    Args:
        stated: Profile in the denominator.
        measured: Profile in the numerator.
        packed: Picture (4, h, w) with the signals.

    Returns:
        The ratio of standard deviations that differs most from 1.
    """
    means = F.avg_pool2d(packed, min(MEAN_OF, *packed.shape[-2:])).flatten(1).double()
    signals = torch.quantile(means, torch.tensor(SIGNALS).double(), dim=1).T.clamp(0, 0.95)  # 4, signals

    def variances(noise: NoiseProfile) -> Tensor:
        gain, read = torch.tensor([noise.shot_gain, noise.read_variance]).double()[..., None]
        return gain * signals + read

    ratios = (variances(measured) / variances(stated).clamp(min=1e-12)).sqrt()
    return float(ratios.flatten()[ratios.log().abs().argmax()])


def _measure(frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int) -> FoundNoise:
    """Measure noise on the burst, else on the reference alone; if both fail, return typical noise."""
    try:
        pictures = _aligned_patches(frames, motions, reference)
        measured = estimate_from_burst(pictures[0], pictures[1:])
        return FoundNoise(measured.profile, measured=measured)
    except ValueError as error:
        log.info("noise is measured on one frame: %s", error)
    try:
        source = FrameSource(frames[reference])
        measured = estimate_from_frame(source.read_for_matching(source.whole))
        return FoundNoise(measured.profile, measured=measured)
    except ValueError as error:
        return FoundNoise(
            FALLBACK_NOISE,
            (f"a typical noise profile is used, because {error}; use --noise if you know the noise",),
        )


def _aligned_patches(frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int) -> Tensor:
    """Cut patches from the reference and its nearest neighbours in time, and align them.

    Returns:
        (1 + M, 4, h, w): patches side by side, the reference first.

    Raises:
        ValueError: There is only one frame, or it is too small.
    """
    nearest = sorted((i for i in range(len(frames)) if i != reference), key=lambda i: abs(i - reference))
    if not nearest:
        raise ValueError("there is only one frame")
    anchor_source = FrameSource(frames[reference])
    height, width = anchor_source.height, anchor_source.width
    side_y, side_x = (min(PATCH, size // CELL * CELL) for size in (height, width))
    if min(side_y, side_x) < 2 * CELL:
        raise ValueError("the picture is too small")
    corners = _patch_corners(height, width, side_y, side_x)
    anchor = torch.stack([_window(anchor_source, y, x, side_y, side_x) for y, x in corners])
    aligned = []
    for i in nearest[:NEIGHBOURS]:
        source, motion = FrameSource(frames[i]), motions[i].scaled(0.5)
        patches = []
        for y, x in corners:
            centre_y, centre_x = y + (side_y - height) / 2, x + (side_x - width) / 2
            found_y, found_x = motion.apply(centre_y, centre_x)
            top = min(max(y + round(found_y - centre_y), 0), height - side_y)
            left = min(max(x + round(found_x - centre_x), 0), width - side_x)
            patches.append(_window(source, top, left, side_y, side_x))
        frame = torch.stack(patches)
        features = [gray_features(p, *_MATCHING_NOISE) for p in (anchor, frame)]
        start = torch.zeros(len(corners), 2, side_y // CELL, side_x // CELL)
        field = match_blocks(features[0], features[1], start)
        aligned.append(gather_cells(frame, field.offsets, field.cell))
    # The patches form one picture; blocks of 8 pixels do not cross their borders.
    return torch.stack([torch.cat(list(part), -1) for part in (anchor, *aligned)])


def _window(source: FrameSource, top: int, left: int, height: int, width: int) -> Tensor:
    return source.read_for_matching(Region(top, left, top + height, left + width))


def _patch_corners(height: int, width: int, side_y: int, side_x: int) -> list[tuple[int, int]]:
    """Return the top left corners of about `PATCHES` patches, evenly spaced over the picture."""
    rows = max(1, min(height // side_y, round((PATCHES * height / width) ** 0.5)))
    cols = max(1, min(width // side_x, PATCHES // rows))
    ys = np.linspace(0, height - side_y, rows + 2 if rows == 1 else rows).astype(int)
    xs = np.linspace(0, width - side_x, cols + 2 if cols == 1 else cols).astype(int)
    ys, xs = (ys[1:2] if rows == 1 else ys), (xs[1:2] if cols == 1 else xs)
    return [(int(y), int(x)) for y in ys for x in xs]
