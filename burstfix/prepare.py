"""Analysis of a burst before it is merged: which reference, which frames, which noise, which hot pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.align.blocks import gray_features, match_blocks
from burstfix.align.gather import gather_cells
from burstfix.align.global_motion import estimate_global_motion
from burstfix.errors import UsageError
from burstfix.noise_profiles import NoiseTable
from burstfix.raw.cfa import pack, pad_to_rggb, rggb_padding
from burstfix.raw.hot_pixels import find_hot_pixels
from burstfix.raw.levels import normalise
from burstfix.raw.noise import estimate_from_burst, estimate_from_frame
from burstfix.raw.sharpness import sharpness
from burstfix.types import LINEAR, Burst, DroppedFrame, Frame, GlobalMotion, NoiseProfile

log = logging.getLogger(__name__)

BLURRED = 0.35  # a frame with less than this share of the median sharpness is left out
SHOWING = 0.2  # of the noise in a gradient that a scene has to reach, for frames to be called blurred
UNRELATED = 0.3  # confidence of the global motion under which a frame does not show the same scene
MIN_OVERLAP = 0.25  # of the picture that a frame must share with the reference
MIDDLE = 0.5  # share of the frames, around the middle of the burst, among which the reference is sought
STRIP = 1024  # rows unpacked at once
PATCH = 128  # packed pixels on a side of the patches in which noise is measured
PATCHES = 24
NOISE_NEIGHBOURS = 5
# Sensors lie well inside; beyond, a tag holds rubbish (all zero, or in DN instead of normalised units).
MAX_SHOT_GAIN, MAX_READ_VARIANCE = 1.0, 0.1
FALLBACK_NOISE = NoiseProfile.uniform(1e-3, 1e-5, "frame")  # a phone's at dusk


def prepare_burst(
    frames: Sequence[Frame],
    *,
    reference: int | str | Path | None = None,
    noise: NoiseProfile | Literal["measure"] | None = None,
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
        noise: Known noise; None takes the reference file's, else the table's, else measures; "measure"
            measures whatever these say.
        table: Noise of cameras whose files do not say it.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        dropped: Frames left out earlier, to be reported too.
        warnings: Sentences so far.
        progress: Called with (stage, done, total), the stage "prepare".

    Raises:
        UsageError: There is no such reference, or the noise given is impossible.
    """
    if isinstance(noise, NoiseProfile) and not is_plausible(noise):
        raise UsageError(
            f"noise {noise.shot_gain[0]:g},{noise.read_variance[0]:g} is none that a sensor has; give S,O of "
            "variance = S*x + O for x from 0 (black) to 1 (white), both small and not negative"
        )
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

    if noise is None:
        noise = _file_noise(frames[chosen], notes) or (table.find(frames[chosen].metadata) if table else None)
    if noise is None or noise == "measure":
        profile = _measure(chosen_frames, chosen_motions, middle, notes)
    else:
        profile = noise
    log.info(
        "noise (%s): shot gain %.3g, read variance %.3g",
        profile.source,
        float(np.mean(profile.shot_gain)),
        float(np.mean(profile.read_variance)),
    )
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


def packed_frame(frame: Frame, top: int = 0, bottom: int | None = None) -> Tensor:
    """float32 (4, h, w): rows top (even) to bottom of a frame, normalised and packed in RGGB order."""
    part = frame.mosaic[top:bottom]
    rows = torch.from_numpy(_as_mosaic(part) if part.ndim == 3 else np.ascontiguousarray(part))
    levels = normalise(rows, frame.metadata.levels, (top, 0))
    return pack(pad_to_rggb(levels, frame.metadata.cfa).mosaic)


def _packed_size(frame: Frame) -> tuple[int, int]:
    padding = rggb_padding(frame.metadata.cfa, *frame.mosaic.shape[:2])
    height, width = frame.mosaic.shape[:2]
    return (padding.top + height + padding.bottom) // 2, (padding.left + width + padding.right) // 2


def _packed_window(frame: Frame, top: int, left: int, height: int, width: int) -> Tensor:
    """float32 (4, height, width): the part of `packed_frame` from packed row top and column left."""
    padding = rggb_padding(frame.metadata.cfa, *frame.mosaic.shape[:2])
    # Packed pixels begin before the picture where a row or column was added; inside they need none.
    first, start = max(2 * top - padding.top, 0), max(2 * left - padding.left, 0)
    part = frame.mosaic[first : 2 * (top + height) - padding.top, start : 2 * (left + width) - padding.left]
    rows = torch.from_numpy(_as_mosaic(part) if part.ndim == 3 else np.ascontiguousarray(part))
    levels = normalise(rows, frame.metadata.levels, (first, start))
    pad = (padding.left if left == 0 else 0, 0, padding.top if top == 0 else 0, 0)
    pad = (pad[0], -(levels.shape[1] + pad[0]) % 2, pad[2], -(levels.shape[0] + pad[2]) % 2)
    return pack(F.pad(levels[None], pad, mode="reflect")[0])


def _as_mosaic(picture: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """What a Bayer sensor would have seen of (H, W, 3): enough to compare frames and to measure noise."""
    mosaic = picture[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = picture[0::2, 0::2, 0], picture[1::2, 1::2, 2]
    return mosaic


def _gray(frame: Frame) -> Tensor:
    """(h, w) grey packed picture whose noise is equally strong everywhere, as far as the file tells."""
    # Only the balance of dark and bright depends on it.
    known = frame.metadata.noise
    known = known if known is not None and is_plausible(known) else FALLBACK_NOISE
    gain, read = known.shot_gain, known.read_variance
    strips = []
    height = frame.mosaic.shape[0]
    tops = range(0, max(height - 1, 1), STRIP)  # a strip of one row could not be mirrored: the last takes it
    for top in tops:
        planes = packed_frame(frame, top, height if top == tops[-1] else top + STRIP)
        strips.append(gray_features(planes[None], torch.tensor(gain), torch.tensor(read))[0, 0])
    if frame.metadata.cfa[:2] in ("GB", "BG"):
        # These patterns begin with a padded row, in every strip; only the first is the picture's.
        strips = [strips[0], *(strip[1:] for strip in strips[1:])]
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
    sentence = f"{frame.metadata.path}: its NoiseProfile {found} makes no sense and is not used"
    notes.append(sentence)
    log.warning("%s", sentence)
    return None


def _measure(
    frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int, notes: list[str]
) -> NoiseProfile:
    """Noise from the burst, else from the reference alone, else a guess that the notes own up to."""
    try:
        return _measure_burst(frames, motions, reference)
    except ValueError as error:
        log.info("noise is measured on one frame: %s", error)
    try:
        return estimate_from_frame(packed_frame(frames[reference]))
    except ValueError as error:
        sentence = f"the noise is a guess, {error}; give it if you know it"
        notes.append(sentence)
        log.warning("%s", sentence)
        return FALLBACK_NOISE


def _measure_burst(frames: Sequence[Frame], motions: Sequence[GlobalMotion], reference: int) -> NoiseProfile:
    """Noise from the reference and its nearest neighbours in time, in patches spread over the picture.

    Raises:
        ValueError: There is but one frame, or it is not fit to be measured.
    """
    nearest = sorted((i for i in range(len(frames)) if i != reference), key=lambda i: abs(i - reference))
    if not nearest:
        raise ValueError("there is one frame only")
    height, width = _packed_size(frames[reference])
    side_y, side_x = min(PATCH, height // 8 * 8), min(PATCH, width // 8 * 8)
    if min(side_y, side_x) < 16:
        raise ValueError("the picture is too small")
    corners = _patch_corners(height, width, side_y, side_x)
    anchor = torch.stack([_packed_window(frames[reference], y, x, side_y, side_x) for y, x in corners])
    aligned = []
    for i in nearest[:NOISE_NEIGHBOURS]:
        patches = []
        for y, x in corners:
            dy, dx = _shift_at(motions[i], y + side_y / 2 - height / 2, x + side_x / 2 - width / 2)
            top = min(max(y + dy, 0), height - side_y)
            left = min(max(x + dx, 0), width - side_x)
            patches.append(_packed_window(frames[i], top, left, side_y, side_x))
        frame = torch.stack(patches)
        # Any plausible noise serves for matching.
        features = [gray_features(p, 1e-3, 1e-5) for p in (anchor, frame)]
        start = torch.zeros(len(corners), 2, side_y // 8, side_x // 8)
        field = match_blocks(features[0], features[1], start)
        aligned.append(gather_cells(frame, field.offsets, field.cell))
    # Patches side by side make one picture: blocks of 8 do not cross their borders.
    row = [torch.cat(list(part), -1) for part in (anchor, *aligned)]
    return estimate_from_burst(row[0], torch.stack(row[1:]))


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
