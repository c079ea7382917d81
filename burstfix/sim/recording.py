"""One burst as a camera would record it: integers with black level and hot pixels, and the truth behind them.

Where `burst.py` makes batches of patches for training, this makes whole frames, one burst at a time, always
on the CPU: the same seed gives the same numbers on every machine with the same torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.errors import UsageError
from burstfix.raw.cfa import mosaic
from burstfix.sim.camera import Camera, protocol_camera, random_camera, unprocess
from burstfix.sim.motion import MotionSettings, camera_path, object_mask, warp
from burstfix.types import CFA_PATTERNS, GlobalMotion

# shot gain, standard deviation of the read noise: the two levels of the REDS4 protocol.
NOISE_LEVELS = {"high": (6.4e-3, 2e-2), "low": (2.5e-3, 1e-2)}
MIN_SIDE = 32
_MAX_SUBSTEPS = 64


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What to record.

    Attributes:
        frames: Frames in the burst.
        reference: Index of the frame that the truth belongs to; the middle one by default.
        size: Largest height and width of the frames in sensor pixels; cut from the middle of the source.
        cfa: Bayer pattern.
        bits: Of the numbers in the file, 10 to 16; white is the largest of them.
        black_level: DN; a sixteenth of full scale by default.
        shot_gain: Noise, normalised units.
        read_variance: Likewise.
        motion: Of the camera; photographs only.
        moving_object: Whether something moves on its own and hides what is behind it; photographs only.
        object_speed: Sensor pixels between frames.
        blur: Share of the time between two frames in which the shutter is open and the camera's motion
            blurs the picture (the mean of steps along it); 0 for none. Photographs only.
        hot_pixels: How many.
        camera: "random" (drawn with the seed) or "protocol" (that of the REDS4 protocol).
        tone_curve: Whether the source carries a contrast curve (smoothstep) that is to be undone.
        seed: Of everything drawn at random.
    """

    frames: int = 5
    reference: int | None = None
    size: tuple[int, int] | None = None
    cfa: str = "RGGB"
    bits: int = 12
    black_level: int | None = None
    shot_gain: float = NOISE_LEVELS["high"][0]
    read_variance: float = NOISE_LEVELS["high"][1] ** 2
    motion: MotionSettings = field(default_factory=lambda: MotionSettings(shift=24.0, least=0.5))
    moving_object: bool = True
    object_speed: float = 4.0
    blur: float = 0.0
    hot_pixels: int = 0
    camera: str = "random"
    tone_curve: bool = True
    seed: int = 0

    @property
    def reference_index(self) -> int:
        """Index of the reference."""
        return self.frames // 2 if self.reference is None else self.reference

    @property
    def black(self) -> int:
        """Black level in DN."""
        return 2 ** (self.bits - 4) if self.black_level is None else self.black_level

    @property
    def white(self) -> int:
        """White level in DN."""
        return 2**self.bits - 1

    def check(self) -> None:
        """Raises UsageError for settings that make no sense."""
        if self.frames < 1 or not 0 <= self.reference_index < self.frames:
            raise UsageError(f"reference {self.reference_index + 1} of {self.frames} frames does not exist")
        if self.cfa not in CFA_PATTERNS:
            raise UsageError(f"CFA pattern {self.cfa!r} is not one of {', '.join(CFA_PATTERNS)}")
        if not 10 <= self.bits <= 16:
            raise UsageError(f"{self.bits} bits: samples have 10 to 16")
        if not 0 <= self.black < self.white:
            raise UsageError(f"black level {self.black} does not lie below white, {self.white}")
        if min(self.shot_gain, self.read_variance) < 0 or not 0 <= self.blur <= 1 or self.seed < 0:
            raise UsageError("noise and seed cannot be negative, and blur lies between 0 and 1")
        if self.camera not in ("random", "protocol"):
            raise UsageError(f"camera {self.camera!r} is not random or protocol")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded burst and its truth.

    Attributes:
        mosaics: uint16 (N, H, W) in DN.
        truth: float32 (3, H, W): linear camera RGB of the reference in 0..1, as a sensor without noise,
            filter mosaic and quantisation would have recorded it (motion blur included).
        settings: What was asked for.
        camera: Its colour, a batch of one.
        homographies: float64 (N, 3, 3), (x, y, 1) from the centre of the reference to that of each frame, in
            sensor pixels; None for a clip, whose motion is not known.
        object_path: float64 (N, 2), x and y shift of the object within the scene; None without one.
        hot_pixels: int32 (count, 2), rows and columns.
    """

    mosaics: NDArray[np.uint16]
    truth: Tensor
    settings: RecordingSettings
    camera: Camera
    homographies: Tensor | None
    object_path: Tensor | None
    hot_pixels: NDArray[np.int32]

    def motions(self) -> list[GlobalMotion] | None:
        """The shift and rotation part of each homography."""
        if self.homographies is None:
            return None
        return [motion_of(matrix) for matrix in self.homographies]


def motion_of(homography: Tensor) -> GlobalMotion:
    """Shift of the centre and rotation there; zoom and perspective are left out."""
    h = homography.double()
    angle = math.atan2(float(h[1, 0]), float(h[0, 0]))
    return GlobalMotion(dy=float(h[1, 2] / h[2, 2]), dx=float(h[0, 2] / h[2, 2]), angle=angle)


def record_photo(picture: Tensor, settings: RecordingSettings) -> Recording:
    """Records a photograph with a moving camera.

    Args:
        picture: (3, Hs, Ws) display RGB in 0..1; one source pixel is one sensor pixel. The frames are
            smaller, so that none of them looks beyond the picture.
        settings: What to record.

    Raises:
        UsageError: Settings that make no sense, or a picture too small for the motion.
    """
    settings.check()
    # Of even size, so that the reference falls on the picture's own pixels and is not resampled.
    picture = picture[:, : picture.shape[1] // 2 * 2, : picture.shape[2] // 2 * 2]
    camera = _camera(settings)
    path = camera_path(
        1, settings.frames, settings.reference_index, settings.motion, _generator(settings, "motion")
    ).double()
    corner = math.hypot(picture.shape[1], picture.shape[2]) / 2
    steps = _exposure_path(path[0], settings.blur, corner)
    height, width = _frame_size(picture, steps, settings.size)
    scene = unprocess(picture[None], camera, settings.tone_curve)
    layer = mask_path = None
    if settings.moving_object:
        generator = _generator(settings, "object")
        mask = object_mask(picture.shape[1], picture.shape[2], generator)
        # The picture upside down: detail and brightness of the same kind, but never the same as behind it.
        layer = torch.cat([scene.flip(2, 3) * mask, mask], 1)
        angle = 2 * math.pi * float(torch.rand((), generator=generator))
        time = torch.arange(settings.frames, dtype=torch.float64) - settings.reference_index
        direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        mask_path = settings.object_speed * time[:, None] * direction
    frames = []
    for k, poses in enumerate(steps):
        own = None if mask_path is None else mask_path[k]
        light = sum(_exposed(scene, layer, pose, own, height, width) for pose in poses)
        frames.append(torch.as_tensor(light) / len(poses))
    return _record(frames, settings, camera, path[0], mask_path)


def record_clip(clip: Tensor, settings: RecordingSettings) -> Recording:
    """Records the frames of a clip, which brings its own motion.

    Args:
        clip: (N, 3, H, W) display RGB in 0..1, N as in the settings.
        settings: What to record; motion, object and blur are not used.

    Raises:
        UsageError: Settings that make no sense.
    """
    settings.check()
    if len(clip) != settings.frames:
        raise UsageError(f"{settings.frames} frames are asked for, the clip has {len(clip)}")
    camera = _camera(settings)
    height, width = _limited(clip.shape[2], clip.shape[3], settings.size)
    top, left = (clip.shape[2] - height) // 2, (clip.shape[3] - width) // 2
    cut = clip[:, :, top : top + height, left : left + width]
    frames = [unprocess(frame[None], camera, settings.tone_curve)[0] for frame in cut]
    return _record(frames, settings, camera, None, None)


def _record(
    frames: list[Tensor],
    settings: RecordingSettings,
    camera: Camera,
    homographies: Tensor | None,
    object_path: Tensor | None,
) -> Recording:
    """The sensor: mosaic, noise, hot pixels, black level, quantisation."""
    height, width = frames[0].shape[-2:]
    generator = _generator(settings, "hot pixels")
    places = torch.randperm(height * width, generator=generator)[: settings.hot_pixels]
    # From hardly above the noise to stuck at white.
    heat = 0.2 + 0.8 * torch.rand(len(places), generator=generator)
    noise = _generator(settings, "noise")
    mosaics = np.empty((len(frames), height, width), np.uint16)
    for k, rgb in enumerate(frames):
        x = mosaic(rgb, settings.cfa)
        std = torch.sqrt(x * settings.shot_gain + settings.read_variance)
        x = x + std * torch.randn(x.shape, generator=noise)
        x.view(-1)[places] += heat
        dn = settings.black + x * (settings.white - settings.black)
        mosaics[k] = dn.round().clamp(0, settings.white).numpy().astype(np.uint16)
    rows = torch.stack([places // width, places % width], 1).int().numpy()
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    truth = frames[settings.reference_index]
    return Recording(mosaics, truth, settings, camera, homographies, object_path, rows[order])


def _exposed(
    scene: Tensor, layer: Tensor | None, matrix: Tensor, own: Tensor | None, height: int, width: int
) -> Tensor:
    """(3, height, width): the scene seen at one moment, the object in front of it."""
    light = warp(scene, matrix[None, None], height, width, mode="bicubic")[0, 0]
    if layer is not None and own is not None:
        shift = torch.eye(3, dtype=torch.float64)
        shift[:2, 2] = own
        moved = warp(layer, (matrix @ shift)[None, None], height, width, mode="bicubic")[0, 0]
        light = light * (1 - moved[3:].clamp(0, 1)) + moved[:3]
    return light.clamp(0, 1)


def _exposure_path(path: Tensor, blur: float, corner: float) -> list[list[Tensor]]:
    """For each frame the camera's poses while the shutter is open, centred on the frame's own.

    They lie about a pixel apart where it moves most: `corner` pixels from the centre.
    """
    if blur == 0 or len(path) == 1:
        return [[matrix] for matrix in path]
    poses = []
    for k, matrix in enumerate(path):
        before, after = path[max(k - 1, 0)], path[min(k + 1, len(path) - 1)]
        change = (after - before) / (min(k + 1, len(path) - 1) - max(k - 1, 0))
        length = blur * float(change[:2, 2].norm() + corner * torch.linalg.matrix_norm(change[:2, :2], 2))
        count = min(_MAX_SUBSTEPS, max(3, math.ceil(length) | 1))
        at = (torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5
        poses.append([matrix + blur * t * change for t in at])
    return poses


def _frame_size(picture: Tensor, steps: list[list[Tensor]], limit: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of frames that never look beyond the picture."""
    _, height, width = picture.shape
    corners = torch.tensor(
        [[x, y, 1.0] for x in (-width / 2, width / 2) for y in (-height / 2, height / 2)], dtype=torch.float64
    )
    margin = 0.0
    for poses in steps:
        for matrix in poses:
            seen = corners @ torch.linalg.inv(matrix).T
            margin = max(margin, float((seen[:, :2] / seen[:, 2:] - corners[:, :2]).abs().max()))
    border = math.ceil(margin) + 2  # bicubic interpolation reads two pixels further
    inner = height - 2 * border, width - 2 * border
    if min(inner) < MIN_SIDE:
        raise UsageError(
            f"a picture of {width}x{height} is too small for motion that reaches {margin:.0f} pixels; "
            "lower the shift and rotation, or take a larger picture"
        )
    return _limited(*inner, limit)


def _limited(height: int, width: int, limit: tuple[int, int] | None) -> tuple[int, int]:
    if limit is not None:
        if min(limit) < MIN_SIDE:
            raise UsageError(f"frames of {limit[1]}x{limit[0]} are too small; {MIN_SIDE} pixels at least")
        height, width = min(height, limit[0]), min(width, limit[1])
    # Even: the four patterns then hold as many pixels of each colour.
    return height // 2 * 2, width // 2 * 2


def _camera(settings: RecordingSettings) -> Camera:
    if settings.camera == "protocol":
        return protocol_camera()
    return random_camera(1, _generator(settings, "camera"))


def _generator(settings: RecordingSettings, purpose: str) -> torch.Generator:
    """One stream for each purpose: another noise level leaves the motion as it is."""
    stream = ("camera", "motion", "object", "noise", "hot pixels").index(purpose)
    return torch.Generator().manual_seed(8 * settings.seed + stream)
