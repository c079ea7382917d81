"""Bursts with ground truth: clips according to the REDS4 protocol, and photographs with simulated motion.

The protocol is that of the two-stage paper (supplement, Table 1, with the authors' published settings).
Frames of 8-bit video are unprocessed to linear camera RGB and mosaicked. Frame i of a clip, counted from 1,
gets normally distributed noise from a generator with seed i and is clipped to 0..1. Five frames around each
reference are merged; the first and last two frames of a clip are not used as references. Results are compared
as display RGB (white balance, clip, inverse matrix, clip, power 1/2.2).

The truth is the noise-free linear reference, converted in the same way. The frame of the clip is not used,
because the loss from unprocessing would then count as an error. As in the authors' code, random numbers are
generated for the packed mosaic with the planes last, (H/2, W/2, 4), and values are not rounded to 8 bits
before the comparison.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.analysis.burst import prepare_burst
from burstfix.errors import InputError, UsageError
from burstfix.evaluation import grey
from burstfix.raw.cfa import unpack
from burstfix.sim.burst import mosaic_packed
from burstfix.sim.camera import Camera, protocol_camera, to_display, unprocess
from burstfix.sim.files import color_profile, frame_metadata
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import NOISE_LEVELS, Recording, RecordingSettings, record_clip, record_photo
from burstfix.sim.sources import pictures_in, read_clip, read_picture
from burstfix.types import Burst, Frame, FrameMetadata, Levels, NoiseProfile

EDGE_FRAMES = 2  # frames at each end of a clip that are not used as references
_REACH = 200  # margin around a frame for camera shake, in source pixels
# White level of the mosaics of clips. A step of 1/65535 is less than 2% of the weakest read noise.
_FULL_SCALE = 65535

LEVELS = {**NOISE_LEVELS, "base": (2e-4, 1e-3)}
"""Shot gain and read noise (standard deviation) for each noise level; "base" is a phone at base ISO."""

# Strong camera shake of tens of pixels, visible rotation, and an independently moving object. Unlike in the
# protocol, these raws have 14 bits and a black level, like those of most cameras.
PHOTO_SETTINGS = RecordingSettings(
    bits=14,
    camera="protocol",
    motion=MotionSettings(shift=40.0, rotation=0.5, zoom=0.003, perspective=0.001, least=0.5),
    object_speed=5.0,
)
GREY_SETTINGS = replace(
    PHOTO_SETTINGS,
    bits=16,
    black_level=grey.BLACK,
    white_level=grey.WHITE,
    camera="neutral",
    tone_curve=False,
)
"""Settings of grey bursts; see `grey`. The motion is that of other bursts of photographs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Selection of the data.

    Attributes:
        frames: Frames in a burst.
        windows: Maximum number of bursts per clip, evenly spaced; 0 = all.
        crop: Maximum side in sensor pixels of the crop from the middle of the frames; 0 = the whole frame of
            a clip, and 512 pixels of a photograph.
        per_photo: Number of bursts per photograph. Each burst shows another part of the photograph with
            another motion.
    """

    frames: int = 5
    windows: int = 0
    crop: int = 0
    per_photo: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One burst and its truth.

    Attributes:
        source: "clips" or "photos"; for grey bursts, with the protocol in front, as in "grey-clips".
        clip: Name of the clip or photograph.
        window: Name of the reference frame; for a photograph, the number of the burst, counted from 0.
        level: Noise level, a key of `LEVELS`.
        burst: Input of the engine.
        truth: (3, H, W) display RGB, or (1, H, W) display grey.
        display: Function that converts a linear result (C, H, W) to the form of `truth`.
    """

    source: str
    clip: str
    window: str
    level: str
    burst: Burst
    truth: Tensor
    display: Callable[[Tensor], Tensor]

    def shown(self, linear: NDArray[np.float32]) -> Tensor:
        """Convert a merged burst to the form of `truth`."""
        return self.display(torch.from_numpy(linear))


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a clip in order."""

    name: str
    frames: tuple[Path, ...]


def find_clips(folders: Sequence[Path]) -> list[Clip]:
    """Find clips. A folder with pictures is a clip; otherwise each of its subfolders with pictures is one.

    Raises:
        InputError: A folder does not exist or contains no clip.
    """
    clips = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected a clip (a folder of PNG frames) or clips")
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
        candidates = [folder] if pictures_in(folder) else inside
        found = [Clip(c.resolve().name, tuple(frames)) for c in candidates if (frames := pictures_in(c))]
        if not found:
            raise InputError(f"{folder}: contains no clip (a folder of PNG frames)")
        clips += found
    names = distinct_names([clip.frames[0].parent for clip in clips])
    return [replace(clip, name=name) for clip, name in zip(clips, names, strict=True)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the stems of the paths; duplicate stems are preceded by the name of their folder."""
    stems = Counter(path.resolve().stem for path in paths)
    return [
        path.stem if stems[path.stem] == 1 else f"{path.parent.name}/{path.stem}"
        for path in (path.resolve() for path in paths)
    ]


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Find photographs, given as files or folders.

    Raises:
        InputError: A path does not exist, or a folder contains no photographs.
    """
    photos = []
    for path in paths:
        found = pictures_in(path) if path.is_dir() else [path]
        if not found or not path.exists():
            raise InputError(f"{path}: no photograph found")
        photos += found
    return photos


def references(count: int, limits: Limits) -> list[int]:
    """Return the indices of the references of a clip.

    Raises:
        UsageError: The clip is too short.
    """
    edge = max(EDGE_FRAMES, limits.frames // 2)
    usable = list(range(edge, count - edge))
    if not usable:
        raise UsageError(f"a clip of {count} frames is too short for bursts of {limits.frames}")
    if limits.windows and limits.windows < len(usable):
        # The middle of each of `windows` equal parts.
        usable = [usable[int((k + 0.5) * len(usable) / limits.windows)] for k in range(limits.windows)]
    return usable


def clip_cases(clip: Clip, level: str, limits: Limits) -> Iterator[Case]:
    """Simulate the bursts of a clip according to the protocol."""
    camera = protocol_camera()
    noise = noise_profile(level)
    mosaics: dict[int, NDArray[np.uint16]] = {}
    for reference in references(len(clip.frames), limits):
        first = reference - limits.frames // 2
        window = range(first, first + limits.frames)
        for old in [i for i in mosaics if i < first]:
            del mosaics[old]
        for i in window:
            if i not in mosaics:
                noisy = protocol_mosaic(_clean(clip.frames[i], camera), level, number=i + 1)
                mosaics[i] = to_integers(_middle(noisy, limits.crop))
                if mosaics[i].shape != mosaics[first].shape:
                    raise InputError(f"{clip.frames[i]}: its size differs from that of the previous frames")
        frames = [
            Frame(mosaics[i], _clip_metadata(clip.frames[i], mosaics[i], camera, noise)) for i in window
        ]
        # The protocol fixes the number of frames, so frames are not dropped.
        burst = prepare_burst(frames, reference=reference - first, noise=noise, keep_all=True)
        truth = _middle(_clean(clip.frames[reference], camera), limits.crop)
        display = _display(camera)
        yield Case("clips", clip.name, clip.frames[reference].stem, level, burst, display(truth), display)


def grey_clip_cases(clip: Clip, level: str, limits: Limits) -> Iterator[Case]:
    """Simulate the grey bursts of a clip; see `grey`. Every frame of every burst has its own noise."""
    for reference in references(len(clip.frames), limits):
        window = read_clip(clip.frames[0].parent, reference - limits.frames // 2, limits.frames)
        name = clip.frames[reference].stem
        size = (limits.crop, limits.crop) if limits.crop else None
        settings = _with_level(GREY_SETTINGS, level, limits, zlib.crc32(f"{clip.name}/{name}".encode()))
        recording = record_clip(grey.grey_source(window), replace(settings, size=size))
        yield _grey_case("clips", clip.name, name, level, recording, clip.frames[reference])


def _grey_case(source: str, clip: str, window: str, level: str, recording: Recording, path: Path) -> Case:
    truth = grey.grey_display(recording.truth[:1])
    return Case(source, clip, window, level, _burst(recording, level, path), truth, grey.grey_display)


def photo_case(
    photo: Path,
    level: str,
    limits: Limits,
    number: int = 0,
    name: str = "",
    *,
    as_grey: bool = False,
    base: RecordingSettings | None = None,
) -> Case:
    """Simulate a burst of a photograph. Motion and noise depend only on the file name and the number.

    Args:
        photo: Picture file.
        level: Noise level.
        limits: Selection of the data.
        number: Number of the burst. Burst 0 shows the middle of the photograph, the others show random parts.
        name: Name of the photograph; by default its stem.
        as_grey: True for a grey burst; see `grey`.
        base: Settings of the recording; by default `PHOTO_SETTINGS` or `GREY_SETTINGS`. Frames, size, noise
            and seed are replaced.
    """
    side = limits.crop or 512
    picture, seed = read_picture(photo), zlib.crc32(photo.stem.encode())
    if number:
        seed = zlib.crc32(f"{photo.stem}/{number}".encode())
        picture = _random_part(picture, side + _REACH, seed)
    base = base or (GREY_SETTINGS if as_grey else PHOTO_SETTINGS)
    settings = replace(_with_level(base, level, limits, seed), size=(side, side))
    name = name or photo.stem
    if as_grey:
        recording = record_photo(grey.grey_source(picture), settings)
        return _grey_case("photos", name, str(number), level, recording, photo)
    recording = record_photo(picture, settings)
    display = _display(recording.camera)
    burst = _burst(recording, level, photo)
    return Case("photos", name, str(number), level, burst, display(recording.truth), display)


def _with_level(base: RecordingSettings, level: str, limits: Limits, seed: int) -> RecordingSettings:
    shot_gain, read_std = LEVELS[level]
    return replace(base, frames=limits.frames, shot_gain=shot_gain, read_variance=read_std**2, seed=seed)


def _burst(recording: Recording, level: str, path: Path) -> Burst:
    frames = [Frame(m, frame_metadata(recording, k, path)) for k, m in enumerate(recording.mosaics)]
    reference = recording.settings.reference_index
    return prepare_burst(frames, reference=reference, noise=noise_profile(level), keep_all=True)


def _display(camera: Camera) -> Callable[[Tensor], Tensor]:
    return lambda linear: to_display(linear[None], camera)[0]


def _random_part(picture: Tensor, side: int, seed: int) -> Tensor:
    """Cut a random square from (3, H, W), limited by the size of the picture."""
    generator = torch.Generator().manual_seed(seed)
    top, left = (
        int(torch.randint(0, max(length - side, 0) + 1, (), generator=generator)) // 2 * 2
        for length in picture.shape[1:]
    )
    return picture[:, top : top + side, left : left + side]


def protocol_mosaic(clean: Tensor, level: str, number: int) -> Tensor:
    """Simulate the noisy mosaic of a clip's frame.

    Args:
        clean: (3, H, W) linear camera RGB, H and W even.
        level: Noise level.
        number: Number of the frame in the clip, counted from 1. It is the seed of the noise.

    Returns:
        (H, W) in 0..1, RGGB.
    """
    shot_gain, read_std = LEVELS[level]
    packed = mosaic_packed(clean).permute(1, 2, 0)  # (h, w, 4), the order of the authors' random numbers
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(packed.shape, generator=generator)
    noisy = packed + noise * torch.sqrt(packed * shot_gain + read_std**2)
    return unpack(noisy.clamp(0, 1).permute(2, 0, 1))


def to_integers(mosaic: Tensor) -> NDArray[np.uint16]:
    """Convert a mosaic in 0..1 to the uint16 values of a frame."""
    return (mosaic * _FULL_SCALE).round().int().numpy().astype(np.uint16)


def noise_profile(level: str) -> NoiseProfile:
    """Return the noise profile of a noise level."""
    gain, std = LEVELS[level]
    return NoiseProfile.uniform(gain, std**2)


def _clip_metadata(
    path: Path, mosaic: NDArray[np.uint16], camera: Camera, noise: NoiseProfile
) -> FrameMetadata:
    """Return metadata as in a raw file with this mosaic."""
    height, width = mosaic.shape
    levels = Levels(np.zeros((1, 1), np.float32), float(_FULL_SCALE))
    return FrameMetadata(path, height, width, "RGGB", levels, color_profile(camera), noise=noise)


def _clean(path: Path, camera: Camera) -> Tensor:
    """Read a frame of a clip as (3, H, W) linear camera RGB, cut to even size."""
    picture = read_picture(path)
    height, width = (side // 2 * 2 for side in picture.shape[1:])
    return unprocess(picture[None, :, :height, :width], camera)[0]


def _middle(x: Tensor, side: int) -> Tensor:
    """Cut the middle of (..., H, W), at most `side` high and wide, without changing the CFA phase."""
    if not side:
        return x
    height, width = (min(side // 2 * 2, length) for length in x.shape[-2:])
    top, left = ((a - b) // 4 * 2 for a, b in zip(x.shape[-2:], (height, width), strict=True))
    return x[..., top : top + height, left : left + width]
