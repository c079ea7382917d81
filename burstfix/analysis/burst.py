"""Analysis of a burst before it is merged: which reference, which frames, which noise, which hot pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burstfix.align.blocks import gray_features
from burstfix.align.global_motion import estimate_global_motion
from burstfix.analysis.burst_noise import FALLBACK_NOISE, check_asked, find_noise, is_plausible
from burstfix.analysis.hot_pixels import find_hot_pixels
from burstfix.analysis.noise_table import NoiseTable
from burstfix.analysis.sharpness import sharpness
from burstfix.errors import UsageError
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import LINEAR, Burst, DroppedFrame, Frame, GlobalMotion, NoiseChoice, NoiseProfile

log = logging.getLogger(__name__)

BLURRED = 0.35  # a frame with less than this share of the median sharpness is left out
SHOWING = 0.2  # of the noise in a gradient that a scene has to reach, for frames to be called blurred
UNRELATED = 0.3  # confidence of the global motion under which a frame does not show the same scene
MIN_OVERLAP = 0.25  # of the picture that a frame must share with the reference
MIDDLE = 0.5  # share of the frames, around the middle of the burst, among which the reference is sought
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
    progress: Callable[[str, int, int], None] | None = None,
) -> Burst:
    """Analyses frames that belong together.

    Args:
        frames: In time order, at least one.
        reference: Index into `frames` (0 is the first) or a frame's file, by path or name; None chooses the
            sharpest of the frames nearest the middle, or another if most frames do not overlap that one.
        noise: Known noise, or where to look for it; see `burst_noise.find_noise`.
        table: Noise of cameras whose files do not say it.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        dropped: Frames left out earlier, to be reported too.
        warnings: Sentences so far.
        progress: Called with (stage, done, total), the stage "prepare".

    Raises:
        UsageError: There is no such reference, or the noise given is impossible.
    """
    check_asked(noise)
    notes = list(warnings)
    report = _Report(progress, 2 * len(frames) + 1)  # each frame twice, then noise and hot pixels
    grays, sharp = [], []
    for frame in frames:
        grays.append(_gray(frame))
        sharp.append(sharpness(grays[-1]))
        report.step()
    best = max(found.energy for found in sharp) or 1.0
    relative = [found.energy / best for found in sharp]
    if reference is None:
        chosen, *others = _ranked_references(len(frames), relative)
        motions = _motions(grays, chosen, report)
        found = _overlapping(frames, motions, chosen)
        for other in others if 2 * found < len(frames) - 1 else ():
            tried = _motions(grays, other, None)
            count = _overlapping(frames, tried, other)
            if count > found:
                log.info(
                    "reference: %s overlaps %d other frames, %s only %d",
                    frames[other].metadata.path.name,
                    count,
                    frames[chosen].metadata.path.name,
                    found,
                )
                chosen, motions, found = other, tried, count
            if 2 * found >= len(frames) - 1:
                break
    else:
        chosen = _find_reference(frames, reference)
        motions = _motions(grays, chosen, report)
    log.info("reference: %s", frames[chosen].metadata.path.name)
    del grays
    # Of a scene that shows next to nothing the sharpness is chance.
    showing = best * np.median(relative) > SHOWING * np.median([found.noise for found in sharp])
    reasons = {} if keep_all else _reasons_to_drop(frames, relative if showing else None, motions, chosen)
    left_out = [DroppedFrame(frames[i].metadata.path, reason, i) for i, reason in reasons.items()]
    for frame in left_out:
        notes.append(f"{frame.path}: left out, {frame.reason}")
        log.warning("%s: left out, %s", frame.path, frame.reason)
    kept = [i for i in range(len(frames)) if i not in reasons]
    middle = kept.index(chosen)
    chosen_frames = [frames[i] for i in kept]
    chosen_motions = [motions[i] for i in kept]

    profile = find_noise(chosen_frames, chosen_motions, middle, noise, table, notes)
    if frames[chosen].metadata.cfa == LINEAR:
        hot = np.empty((0, 2), np.int32)  # demosaicking has spread them
    else:
        hot = find_hot_pixels(chosen_frames, profile, chosen_motions)
    log.info("%d hot pixels", len(hot))
    report.step()
    return Burst(
        frames=tuple(chosen_frames),
        reference=middle,
        noise=profile,
        motions=tuple(chosen_motions),
        sharpness=tuple(relative[i] for i in kept),
        hot_pixels=hot,
        dropped=(*dropped, *left_out),
        warnings=tuple(notes),
    )


def _gray(frame: Frame) -> Tensor:
    """(h, w) grey packed picture whose noise is equally strong everywhere, as far as the file tells."""
    # Only the balance of dark and bright depends on it.
    known = frame.metadata.noise
    known = known if known is not None and is_plausible(known) else FALLBACK_NOISE
    gain, read = known.shot_gain, known.read_variance
    source = FrameSource(frame)
    strips = []
    for top in range(0, source.height, STRIP):
        region = Region(top, 0, min(top + STRIP, source.height), source.width)
        planes = source.read_for_matching(region)
        strips.append(gray_features(planes[None], torch.tensor(gain), torch.tensor(read))[0, 0])
    return torch.cat(strips)


class _Report:
    """Counts the steps of the stage "prepare"."""

    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._done, self._total = 0, total

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress("prepare", self._done, self._total)


def _ranked_references(count: int, relative: Sequence[float]) -> list[int]:
    """The sharpest of the frames nearest the middle first, from which the others have moved least."""
    near = sorted(range(count), key=lambda i: (abs(i - (count - 1) / 2), i))
    middle = max(min(3, count), round(MIDDLE * count))
    ranked = (sorted(part, key=lambda i: -relative[i]) for part in (near[:middle], near[middle:]))
    return [i for part in ranked for i in part]


def _motions(grays: Sequence[Tensor], reference: int, report: _Report | None) -> list[GlobalMotion]:
    motions = []
    for i, gray in enumerate(grays):
        motions.append(GlobalMotion() if i == reference else estimate_global_motion(grays[reference], gray))
        if report is not None:
            report.step()
    return motions


def _overlapping(frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int) -> int:
    """How many other frames show enough of the reference's scene to be merged with it."""
    height, width = frames[reference].mosaic.shape[:2]
    return sum(
        motion.confidence >= UNRELATED and _overlap(motion, height, width) >= MIN_OVERLAP
        for i, motion in enumerate(motions)
        if i != reference
    )


def _overlap(motion: GlobalMotion, height: int, width: int) -> float:
    """Share of the picture that a frame has in common with the reference."""
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


def _reasons_to_drop(
    frames: Sequence[Frame],
    sharp: Sequence[float] | None,
    motions: Sequence[GlobalMotion],
    reference: int,
) -> dict[int, str]:
    """Why frames should be left out, by index; never the reference. `sharp` is None where it says nothing."""
    median = 0.0 if sharp is None else float(np.median(sharp))
    height, width = frames[reference].mosaic.shape[:2]
    reasons = {}
    for i, motion in enumerate(motions):
        if i == reference:
            continue
        overlap = _overlap(motion, height, width)
        if motion.confidence < UNRELATED:
            reasons[i] = f"does not show the reference's scene (match {motion.confidence:.2f} of 1)"
        elif overlap < MIN_OVERLAP:
            reasons[i] = f"overlaps only {overlap:.0%} of the reference"
        elif sharp is not None and sharp[i] < BLURRED * median:
            reasons[i] = f"is far blurrier than the rest (sharpness {sharp[i] / median:.2f} of the median)"
    return reasons
