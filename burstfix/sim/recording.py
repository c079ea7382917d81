"""Simulate a burst as a camera records it (black level, hot pixels, integers), and its truth.

Unlike `burst.py`, which makes batches of patches for training, this module makes whole frames, one burst at a
time and always on the CPU. With the same version of torch, the same seed gives the same numbers on every
machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burstfix.cfa import CFA_PATTERNS
from burstfix.errors import UsageError
from burstfix.raw.cfa import mosaic
from burstfix.sim.camera import Camera, neutral_camera, protocol_camera, random_camera, unprocess
from burstfix.sim.motion import MotionSettings, camera_path, object_mask, warp
from burstfix.types import GlobalMotion

# Shot gain and standard deviation of the read noise of the two levels of the REDS4 protocol.
NOISE_LEVELS = {"high": (6.4e-3, 2e-2), "low": (2.5e-3, 1e-2)}
MIN_SIDE = 32
_MAX_SUBSTEPS = 64


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """Settings of a recording.

    Attributes:
        frames: Number of frames.
        reference: Index of the frame with known truth; by default the middle one.
        size: Largest height and width of the frames in sensor pixels, cut from the middle of the source.
        cfa: Bayer pattern.
        bits: Bits per sample, 10 to 16.
        black_level: Black level in DN; by default a sixteenth of full scale.
        white_level: White level in DN; by default the largest value. Signals above white are recorded up to
            the largest value.
        shot_gain, read_variance: Noise profile in normalised units.
        motion: Motion of the camera; photographs only.
        moving_object: True to add an independently moving object that hides the background; photographs only.
        object_speed: Motion of the object between frames, in sensor pixels.
        blur: Exposure time as a share of the time between frames, for motion blur; 0 = no blur. Photographs
            only.
        hot_pixels: Number of hot pixels.
        camera: "random" (from the seed), "protocol" (the camera of the REDS4 protocol) or "neutral" (equal
            camera RGB for grey).
        tone_curve: True to invert a contrast curve (smoothstep) of the source.
        seed: Seed of all random numbers.
    """

    frames: int = 5
    reference: int | None = None
    size: tuple[int, int] | None = None
    cfa: str = "RGGB"
    bits: int = 12
    black_level: int | None = None
    white_level: int | None = None
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
        return self.largest if self.white_level is None else self.white_level

    @property
    def largest(self) -> int:
        """Largest value of a sample in DN."""
        return 2**self.bits - 1

    def check(self) -> None:
        """Check the settings.

        Raises:
            UsageError: A setting is out of range.
        """
        if self.frames < 1 or not 0 <= self.reference_index < self.frames:
            raise UsageError(
                f"reference {self.reference_index + 1}: expected 1 to {self.frames}, the number of frames"
            )
        if self.cfa not in CFA_PATTERNS:
            raise UsageError(f"CFA pattern {self.cfa!r} is not one of {', '.join(CFA_PATTERNS)}")
        if not 10 <= self.bits <= 16:
            raise UsageError(f"bits: found {self.bits}, expected 10 to 16")
        if not 0 <= self.black < self.white <= self.largest:
            raise UsageError(
                f"black level {self.black}, white level {self.white}: expected 0 <= black < white <= "
                f"{self.largest}"
            )
        if min(self.shot_gain, self.read_variance) < 0 or not 0 <= self.blur <= 1 or self.seed < 0:
            raise UsageError("expected noise and seed of 0 or more, and blur between 0 and 1")
        if self.camera not in ("random", "protocol", "neutral"):
            raise UsageError(f"camera: found {self.camera!r}, expected random, protocol or neutral")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded burst and its truth.

    Attributes:
        mosaics: uint16 (N, H, W) in DN.
        truth: float32 (3, H, W) linear camera RGB of the reference in 0..1, as recorded by an ideal sensor
            (no noise, CFA or quantisation), but with motion blur.
        settings: Settings of the recording.
        camera: Colour of the camera, as a batch of one.
        homographies: float64 (N, 3, 3) from the reference to each frame, for (x, y, 1) relative to the centre
            in sensor pixels; None for a clip, because its motion is unknown.
        object_path: float64 (N, 2), x and y shift of the object within the scene; None without an object.
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
        """Shift and rotation of each homography."""
        if self.homographies is None:
            return None
        return [motion_of(matrix) for matrix in self.homographies]


def motion_of(homography: Tensor) -> GlobalMotion:
    """Return shift and rotation of a homography at the centre, without zoom and perspective."""
    h = homography.double()
    angle = math.atan2(float(h[1, 0]), float(h[0, 0]))
    return GlobalMotion(dy=float(h[1, 2] / h[2, 2]), dx=float(h[0, 2] / h[2, 2]), angle=angle)


def record_photo(picture: Tensor, settings: RecordingSettings) -> Recording:
    """Record a photograph with a moving camera.

    Args:
        picture: (3, Hs, Ws) display RGB in 0..1; one source pixel is one sensor pixel. The frames are
            smaller, so that they stay inside the picture.
        settings: Settings of the recording.

    Raises:
        UsageError: A setting is out of range, or the picture is too small for the motion.
    """
    settings.check()
    # With an even size, the pixels of the reference coincide with those of the picture, without resampling.
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
        # The texture of the object is the flipped picture. It has similar detail and brightness, but differs
        # from
        # the background.
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
    """Record the frames of a clip, without additional motion.

    Args:
        clip: (N, 3, H, W) display RGB in 0..1, with N according to the settings.
        settings: Settings of the recording; motion, object and blur are not used.

    Raises:
        UsageError: A setting is out of range.
    """
    settings.check()
    if len(clip) != settings.frames:
        raise UsageError(f"expected a clip of {settings.frames} frames, found {len(clip)}")
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
    """Simulate the sensor: mosaic, noise, hot pixels, black level, quantisation."""
    height, width = frames[0].shape[-2:]
    generator = _generator(settings, "hot pixels")
    places = torch.randperm(height * width, generator=generator)[: settings.hot_pixels]
    # Values range from slightly above the noise to white.
    heat = 0.2 + 0.8 * torch.rand(len(places), generator=generator)
    noise = _generator(settings, "noise")
    mosaics = np.empty((len(frames), height, width), np.uint16)
    for k, rgb in enumerate(frames):
        x = mosaic(rgb, settings.cfa)
        std = torch.sqrt(x * settings.shot_gain + settings.read_variance)
        x = x + std * torch.randn(x.shape, generator=noise)
        x.view(-1)[places] += heat
        dn = settings.black + x * (settings.white - settings.black)
        mosaics[k] = dn.round().clamp(0, settings.largest).numpy().astype(np.uint16)
    rows = torch.stack([places // width, places % width], 1).int().numpy()
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    truth = frames[settings.reference_index]
    return Recording(mosaics, truth, settings, camera, homographies, object_path, rows[order])


def _exposed(
    scene: Tensor, layer: Tensor | None, matrix: Tensor, own: Tensor | None, height: int, width: int
) -> Tensor:
    """Render the scene (3, height, width) at one moment, with the object in front of it."""
    light = warp(scene, matrix[None, None], height, width, mode="bicubic")[0, 0]
    if layer is not None and own is not None:
        shift = torch.eye(3, dtype=torch.float64)
        shift[:2, 2] = own
        moved = warp(layer, (matrix @ shift)[None, None], height, width, mode="bicubic")[0, 0]
        light = light * (1 - moved[3:].clamp(0, 1)) + moved[:3]
    return light.clamp(0, 1)


def _exposure_path(path: Tensor, blur: float, corner: float) -> list[list[Tensor]]:
    """Return the poses of the camera during the exposure of each frame, centred on the pose of the frame.

    Successive poses differ by about one pixel at a distance of `corner` pixels from the centre, where motion
    is fastest.
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
    """Return height and width of frames that stay inside the picture."""
    _, height, width = picture.shape
    corners = torch.tensor(
        [[x, y, 1.0] for x in (-width / 2, width / 2) for y in (-height / 2, height / 2)], dtype=torch.float64
    )
    margin = 0.0
    for poses in steps:
        for matrix in poses:
            seen = corners @ torch.linalg.inv(matrix).T
            margin = max(margin, float((seen[:, :2] / seen[:, 2:] - corners[:, :2]).abs().max()))
    border = math.ceil(margin) + 2  # bicubic interpolation reads two more pixels
    inner = height - 2 * border, width - 2 * border
    if min(inner) < MIN_SIDE:
        raise UsageError(
            f"a picture of {width}x{height} is too small for motion that reaches {margin:.0f} pixels; "
            "reduce shift and rotation, or use a larger picture"
        )
    return _limited(*inner, limit)


def _limited(height: int, width: int, limit: tuple[int, int] | None) -> tuple[int, int]:
    if limit is not None:
        if min(limit) < MIN_SIDE:
            raise UsageError(
                f"size: found {limit[1]}x{limit[0]}, expected at least {MIN_SIDE} pixels on each side"
            )
        height, width = min(height, limit[0]), min(width, limit[1])
    # With an even size, the number of pixels of each colour is the same for all four CFA patterns.
    return height // 2 * 2, width // 2 * 2


def _camera(settings: RecordingSettings) -> Camera:
    if settings.camera == "protocol":
        return protocol_camera()
    if settings.camera == "neutral":
        return neutral_camera()
    return random_camera(1, _generator(settings, "camera"))


def _generator(settings: RecordingSettings, purpose: str) -> torch.Generator:
    """Return the generator for a purpose. With separate generators, noise does not affect motion."""
    stream = ("camera", "motion", "object", "noise", "hot pixels").index(purpose)
    return torch.Generator().manual_seed(8 * settings.seed + stream)
