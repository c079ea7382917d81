"""Bursts whose truth is known: clips after the REDS4 protocol, and photographs with simulated motion.

The protocol (two-stage paper, supplement, Table 1, with the settings that its authors published): frames of
8-bit video are unprocessed to linear camera RGB and mosaicked; frame i of a clip, counted from 1, gets normal
noise from a generator seeded i and is clipped to 0..1; five frames around each reference are merged, the
clip's first and last two are no references; results are compared as display RGB (white balance, clip,
inverse matrix, clip, power 1/2.2). The truth is the clean linear reference shown in the same way, not the
frame of the clip itself, so that only the merge is measured and not what unprocessing clips. As with the
authors, noise is drawn for the packed mosaic with the planes last, (H/2, W/2, 4), and nothing is rounded to
8 bits before it is compared.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.analysis.burst import prepare_burst
from burstfix.errors import InputError, UsageError
from burstfix.raw.cfa import unpack
from burstfix.sim.burst import mosaic_packed
from burstfix.sim.camera import Camera, protocol_camera, to_display, unprocess
from burstfix.sim.files import color_profile, frame_metadata
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import NOISE_LEVELS, RecordingSettings, record_photo
from burstfix.sim.sources import pictures_in, read_picture
from burstfix.types import Burst, Frame, FrameMetadata, Levels, NoiseProfile

EDGE_FRAMES = 2  # at each end of a clip that are no references
# In the integers of a mosaic; a step of 1/65535 is a thousandth of the weakest noise.
_FULL_SCALE = 65535

# A shaking hand at its worst: tens of pixels, visible rotation, something that moves on its own. Unlike the
# protocol's, these raws have a black level, as most cameras' do, and 14 bits.
PHOTO_SETTINGS = RecordingSettings(
    bits=14,
    camera="protocol",
    motion=MotionSettings(shift=40.0, rotation=0.5, zoom=0.003, perspective=0.001, least=0.5),
    object_speed=5.0,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken of the data.

    Attributes:
        frames: In a burst.
        windows: Bursts of each clip at most, evenly spread; 0 for all.
        crop: Largest side of the frames in sensor pixels, from the middle; 0 for all of a clip's frame.
    """

    frames: int = 5
    windows: int = 0
    crop: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One burst and its truth.

    Attributes:
        source: "clips" or "photos".
        clip: Name of the clip or photograph.
        window: Name of the reference frame; "" for a photograph.
        level: Noise level, a key of `NOISE_LEVELS`.
        burst: As the engine takes it.
        truth: (3, H, W) display RGB.
        camera: Turns linear results into display RGB.
    """

    source: str
    clip: str
    window: str
    level: str
    burst: Burst
    truth: Tensor
    camera: Camera

    def shown(self, linear: NDArray[np.float32]) -> Tensor:
        """(3, H, W) display RGB of a merged burst."""
        return to_display(torch.from_numpy(linear)[None], self.camera)[0]


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a clip in order."""

    name: str
    frames: tuple[Path, ...]


def find_clips(folders: Sequence[Path]) -> list[Clip]:
    """Clips in folders: a folder that holds pictures is one, else each folder inside it that does.

    Raises:
        InputError: A folder does not exist or holds no clip.
    """
    clips = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected a clip (a folder of PNG frames) or clips")
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
        candidates = [folder] if pictures_in(folder) else inside
        found = [Clip(c.resolve().name, tuple(frames)) for c in candidates if (frames := pictures_in(c))]
        if not found:
            raise InputError(f"{folder}: holds no clip (a folder of PNG frames)")
        clips += found
    # Two cameras' or noise levels' clips of one name: told apart by the folder that they are in.
    names = Counter(clip.name for clip in clips)
    return [
        clip if names[clip.name] == 1 else replace(clip, name="/".join(clip.frames[0].resolve().parts[-3:-1]))
        for clip in clips
    ]


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Photographs, given one by one or as folders.

    Raises:
        InputError: One does not exist, or a folder holds none.
    """
    photos = []
    for path in paths:
        found = pictures_in(path) if path.is_dir() else [path]
        if not found or not path.exists():
            raise InputError(f"{path}: no photograph here")
        photos += found
    return photos


def references(count: int, limits: Limits) -> list[int]:
    """Indices of a clip's references.

    Raises:
        UsageError: The clip is too short.
    """
    edge = max(EDGE_FRAMES, limits.frames // 2)
    usable = list(range(edge, count - edge))
    if not usable:
        raise UsageError(f"a clip of {count} frames is too short for bursts of {limits.frames}")
    if limits.windows and limits.windows < len(usable):
        # The middles of equal parts.
        usable = [usable[int((k + 0.5) * len(usable) / limits.windows)] for k in range(limits.windows)]
    return usable


def clip_cases(clip: Clip, level: str, limits: Limits) -> Iterator[Case]:
    """Bursts of a clip after the protocol."""
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
                    raise InputError(f"{clip.frames[i]}: differs in size from the frames before")
        frames = [
            Frame(mosaics[i], _clip_metadata(clip.frames[i], mosaics[i], camera, noise)) for i in window
        ]
        # The protocol says how many frames there are, so none is dropped.
        burst = prepare_burst(frames, reference=reference - first, noise=noise, keep_all=True)
        truth = _middle(_clean(clip.frames[reference], camera), limits.crop)
        shown = to_display(truth[None], camera)[0]
        yield Case("clips", clip.name, clip.frames[reference].stem, level, burst, shown, camera)


def photo_case(photo: Path, level: str, limits: Limits) -> Case:
    """The simulated burst of a photograph: motion and noise follow from its name and nothing else."""
    shot_gain, read_std = NOISE_LEVELS[level]
    side = limits.crop or 512
    settings = replace(
        PHOTO_SETTINGS,
        frames=limits.frames,
        size=(side, side),
        shot_gain=shot_gain,
        read_variance=read_std**2,
        seed=zlib.crc32(photo.stem.encode()),
    )
    recording = record_photo(read_picture(photo), settings)
    frames = [Frame(m, frame_metadata(recording, k, photo)) for k, m in enumerate(recording.mosaics)]
    burst = prepare_burst(
        frames, reference=settings.reference_index, noise=noise_profile(level), keep_all=True
    )
    shown = to_display(recording.truth[None], recording.camera)[0]
    return Case("photos", photo.stem, "", level, burst, shown, recording.camera)


def protocol_mosaic(clean: Tensor, level: str, number: int) -> Tensor:
    """The noisy mosaic of a clip's frame.

    Args:
        clean: (3, H, W) linear camera RGB, H and W even.
        level: Noise level.
        number: Of the frame in the clip, from 1; seeds the noise.

    Returns:
        (H, W) in 0..1, RGGB.
    """
    shot_gain, read_std = NOISE_LEVELS[level]
    packed = mosaic_packed(clean).permute(1, 2, 0)  # h, w, 4: the order in which the authors draw
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(packed.shape, generator=generator)
    noisy = packed + noise * torch.sqrt(packed * shot_gain + read_std**2)
    return unpack(noisy.clamp(0, 1).permute(2, 0, 1))


def to_integers(mosaic: Tensor) -> NDArray[np.uint16]:
    """A mosaic in 0..1 as the uint16 that frames hold."""
    return (mosaic * _FULL_SCALE).round().int().numpy().astype(np.uint16)


def noise_profile(level: str) -> NoiseProfile:
    """What the models are told about a noise level."""
    gain, std = NOISE_LEVELS[level]
    return NoiseProfile.uniform(gain, std**2)


def _clip_metadata(
    path: Path, mosaic: NDArray[np.uint16], camera: Camera, noise: NoiseProfile
) -> FrameMetadata:
    """What a raw file with this mosaic would say."""
    height, width = mosaic.shape
    levels = Levels(np.zeros((1, 1), np.float32), float(_FULL_SCALE))
    return FrameMetadata(path, height, width, "RGGB", levels, color_profile(camera), noise=noise)


def _clean(path: Path, camera: Camera) -> Tensor:
    """(3, H, W) linear camera RGB of a clip's frame, cut to even size."""
    picture = read_picture(path)
    height, width = (side // 2 * 2 for side in picture.shape[1:])
    return unprocess(picture[None, :, :height, :width], camera)[0]


def _middle(x: Tensor, side: int) -> Tensor:
    """The middle of (..., H, W), at most `side` high and wide, RGGB as before."""
    if not side:
        return x
    height, width = (min(side // 2 * 2, length) for length in x.shape[-2:])
    top, left = ((a - b) // 4 * 2 for a, b in zip(x.shape[-2:], (height, width), strict=True))
    return x[..., top : top + height, left : left + width]
