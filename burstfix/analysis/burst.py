"""Analyse a burst before it is merged: choose the reference, frames and noise profile; find hot pixels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burstfix.align.blocks import gray_features
from burstfix.align.global_motion import ReducedPicture, estimate_global_motion, reduce_picture
from burstfix.analysis.burst_noise import FALLBACK_NOISE, check_noise_argument, find_noise, is_plausible
from burstfix.analysis.hot_pixels import find_hot_pixels
from burstfix.analysis.noise_table import NoiseTable
from burstfix.analysis.repeats import find_repeats
from burstfix.analysis.sharpness import Sharpness, sharpness
from burstfix.errors import InputError, UsageError
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import Burst, DroppedFrame, Frame, GlobalMotion, NoiseChoice, NoiseProfile, Progress

log = logging.getLogger(__name__)

BLURRED = 0.35  # a frame is left out if its sharpness is below this share of the median
# Minimum ratio of detail to noise in the gradient (median of the frames); below it, no frame counts as
# blurred.
MIN_DETAIL = 0.2
UNRELATED = 0.3  # a frame shows another scene if the confidence of its global motion is lower
MIN_OVERLAP = 0.25  # share of the picture that a frame must have in common with the reference
MIDDLE = 0.5  # share of the frames, in the middle of the burst, that are preferred as the reference
MIN_SIDE = 4  # pixels; smaller pictures have no 2x2 means of packed planes
STRIP = 512  # packed rows read at once


def prepare_burst(
    frames: Sequence[Frame],
    *,
    reference: int | str | Path | None = None,
    noise: NoiseProfile | NoiseChoice | None = None,
    table: NoiseTable | None = None,
    keep_all: bool = False,
    dropped: Sequence[DroppedFrame] = (),
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Burst:
    """Analyse frames that belong together.

    Args:
        frames: At least one frame, in time order.
        reference: Index into `frames` (0 is the first), or the file of a frame, by path or name. If None, the
            sharpest frame near the middle is chosen, or another one if most frames do not overlap that frame.
        noise: A known profile, or the source of the profile; see `burst_noise.find_noise`.
        table: Noise profiles of cameras, for files without one.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        dropped: Frames that were left out earlier; they are added to the report.
        warnings: Warnings so far.
        progress: Called with the stage "prepare".

    Returns:
        The burst, with the frames that were kept.

    Raises:
        InputError: The frames have fewer than 4 rows or columns.
        UsageError: There is no such reference, or the given noise is not plausible.
    """
    check_noise_argument(noise)
    first = frames[0].metadata
    if min(first.height, first.width) < MIN_SIDE:
        raise InputError(
            f"{first.path}: its picture has only {first.width}x{first.height} pixels; at least "
            f"{MIN_SIDE}x{MIN_SIDE} are needed; the file is likely damaged"
        )
    wanted = None if reference is None else _find_reference(frames, reference)
    report = _Report(progress, 2 * len(frames) + 1)  # two steps for each frame, one for noise and hot pixels
    reduced, sharp = [], []
    for frame in frames:
        gray = gray_picture(frame)
        sharp.append(sharpness(gray))
        reduced.append(reduce_picture(gray))
        report.step()
    best = max(found.energy for found in sharp) or 1.0
    relative = [found.energy / best for found in sharp]
    if wanted is None:
        aligned = _choose_reference(frames, reduced, relative, report)
    else:
        aligned = _Aligned(wanted, _motions(reduced, wanted, report))
    log.info("reference: %s", frames[aligned.reference].metadata.path.name)
    reasons: dict[int, str] = {}
    if not keep_all:
        repeats = _reasons_for_repeats(frames, aligned.reference)
        reasons = repeats | _reasons_to_drop(frames, _usable_sharpness(relative, sharp), aligned)
    left_out = [DroppedFrame(frames[i].metadata.path, reason, i) for i, reason in reasons.items()]
    left_out_warnings = [f"{frame.path}: left out, {frame.reason}" for frame in left_out]
    for warning in left_out_warnings:
        log.warning("%s", warning)
    kept = [i for i in range(len(frames)) if i not in reasons]
    kept_frames = tuple(frames[i] for i in kept)
    motions = tuple(aligned.motions[i] for i in kept)
    kept_reference = kept.index(aligned.reference)

    found_noise = find_noise(kept_frames, motions, kept_reference, noise, table)
    hot = find_hot_pixels(kept_frames, found_noise.profile, motions)
    log.info("%d hot pixels", len(hot))
    report.step()
    return Burst(
        frames=kept_frames,
        reference=kept_reference,
        noise=found_noise.profile,
        motions=motions,
        sharpness=tuple(relative[i] for i in kept),
        hot_pixels=hot,
        dropped=(*dropped, *left_out),
        warnings=(*warnings, *left_out_warnings, *_opcode_warnings(kept_frames), *found_noise.warnings),
        measured_noise=found_noise.measured,
    )


def _opcode_warnings(frames: Sequence[Frame]) -> list[str]:
    """Return the warnings of all opcode plans; a warning that concerns several files appears once."""
    first: dict[str, str] = {}
    for frame in frames:
        path = str(frame.metadata.path)
        for warning in frame.plan.warnings:
            first.setdefault(warning.removeprefix(path), warning)
    for warning in first.values():
        log.warning("%s", warning)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class _Aligned:
    """A reference, and the motion of every frame relative to it."""

    reference: int
    motions: list[GlobalMotion]


def gray_picture(frame: Frame) -> Tensor:
    """Return the grey packed picture (h, w), scaled so that its noise has the same strength everywhere."""
    # Approximate noise is sufficient. It affects only the weight of dark parts relative to bright parts.
    stated = frame.metadata.noise
    noise = stated if stated is not None and is_plausible(stated) else FALLBACK_NOISE
    gain, read = torch.tensor(noise.shot_gain), torch.tensor(noise.read_variance)
    source = FrameSource(frame)
    strips = []
    for top in range(0, source.height, STRIP):
        region = Region(top, 0, min(top + STRIP, source.height), source.width)
        planes = source.read_for_matching(region)
        strips.append(gray_features(planes[None], gain, read)[0, 0])
    return torch.cat(strips)


class _Report:
    """Progress of the stage "prepare", counted in steps."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._done, self._total = 0, total

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress("prepare", self._done, self._total)


def _choose_reference(
    frames: Sequence[Frame], reduced: Sequence[ReducedPicture], relative: Sequence[float], report: _Report
) -> _Aligned:
    """Choose the sharpest frame near the middle if it overlaps at least half of the other frames.

    Otherwise, choose the frame that overlaps the largest number of others.
    """
    first, *others = _ranked_references(relative)
    best = _Aligned(first, _motions(reduced, first, report))
    overlapping = _count_overlapping(frames, best)
    for other in others:
        if 2 * overlapping >= len(frames) - 1:
            break
        tried = _Aligned(other, _motions(reduced, other, None))
        count = _count_overlapping(frames, tried)
        if count > overlapping:
            log.info(
                "reference: %s overlaps %d other frames, %s only %d",
                frames[other].metadata.path.name,
                count,
                frames[best.reference].metadata.path.name,
                overlapping,
            )
            best, overlapping = tried, count
    return best


def _ranked_references(relative: Sequence[float]) -> list[int]:
    """Rank frames as reference by sharpness; frames near the middle come first, because they moved least."""
    count = len(relative)
    near = sorted(range(count), key=lambda i: (abs(i - (count - 1) / 2), i))
    middle = max(min(3, count), round(MIDDLE * count))
    ranked = (sorted(part, key=lambda i: -relative[i]) for part in (near[:middle], near[middle:]))
    return [i for part in ranked for i in part]


def _motions(reduced: Sequence[ReducedPicture], reference: int, report: _Report | None) -> list[GlobalMotion]:
    motions = []
    for i, picture in enumerate(reduced):
        motions.append(
            GlobalMotion() if i == reference else estimate_global_motion(reduced[reference], picture)
        )
        if report is not None:
            report.step()
    return motions


def _count_overlapping(frames: Sequence[Frame], aligned: _Aligned) -> int:
    """Count the other frames that overlap the reference enough to be merged with it."""
    height, width = frames[aligned.reference].mosaic.shape[:2]
    return sum(
        motion.confidence >= UNRELATED and _overlap(motion, height, width) >= MIN_OVERLAP
        for i, motion in enumerate(aligned.motions)
        if i != aligned.reference
    )


def _overlap(motion: GlobalMotion, height: int, width: int) -> float:
    """Return the share of the picture that a frame has in common with the reference."""
    return max(0.0, 1 - abs(motion.dy) / height) * max(0.0, 1 - abs(motion.dx) / width)


def _find_reference(frames: Sequence[Frame], reference: int | str | Path) -> int:
    if isinstance(reference, int):
        if 0 <= reference < len(frames):
            return reference
        raise UsageError(f"there is no frame {reference + 1}; the burst has frames 1 to {len(frames)}")
    wanted = Path(reference)
    paths = [frame.metadata.path for frame in frames]
    for i, path in enumerate(paths):
        if path == wanted or path.resolve() == wanted.resolve():
            return i
    named = [i for i, path in enumerate(paths) if wanted.name == str(reference) and path.name == wanted.name]
    if len(named) == 1:
        return named[0]
    listed = ", ".join(path.name for path in paths[:4]) + (" ..." if len(paths) > 4 else "")
    raise UsageError(f"reference {reference}: no such frame in the burst; its frames are {listed}")


def _usable_sharpness(relative: Sequence[float], sharp: Sequence[Sharpness]) -> Sequence[float] | None:
    """Return `relative`, or None if the scene has so little detail that sharpness is mostly noise."""
    energy = float(np.median([found.energy for found in sharp]))
    noise = float(np.median([found.noise for found in sharp]))
    return relative if energy > MIN_DETAIL * noise else None


def _reasons_for_repeats(frames: Sequence[Frame], reference: int) -> dict[int, str]:
    """Map the index of each repeated frame to the reason to leave it out. The reference is always kept."""
    reasons = {}
    for repeat, original in find_repeats(frames).items():
        if repeat == reference:
            repeat, original = original, repeat
        name = frames[original].metadata.path.name
        reasons[repeat] = f"has the same noise as {name}, so it is a copy of that frame"
    return reasons


def _reasons_to_drop(
    frames: Sequence[Frame], sharp: Sequence[float] | None, aligned: _Aligned
) -> dict[int, str]:
    """Map the index of each frame to leave out to the reason.

    The reference is always kept. `sharp` is None if the sharpness is unknown.
    """
    median = 0.0 if sharp is None else float(np.median(sharp))
    height, width = frames[aligned.reference].mosaic.shape[:2]
    reasons = {}
    for i, motion in enumerate(aligned.motions):
        if i == aligned.reference:
            continue
        overlap = _overlap(motion, height, width)
        if motion.confidence < UNRELATED:
            reasons[i] = f"does not show the scene of the reference (match {motion.confidence:.2f} of 1)"
        elif overlap < MIN_OVERLAP:
            reasons[i] = f"overlaps only {overlap:.0%} of the reference"
        elif sharp is not None and sharp[i] < BLURRED * median:
            reasons[i] = f"is much blurrier than the others (sharpness {sharp[i] / median:.2f} of the median)"
    return reasons
