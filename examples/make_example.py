"""Generate the example burst: a synthetic scene, recorded by a simulated handheld camera at high ISO.

    python examples/make_example.py examples/burst

With the same versions of the libraries, the same seed gives the same files, byte for byte. The scene is drawn
with numpy and Pillow; burstfix only writes the DNGs. The moving toy and the shaking hand make merging
difficult. Small print, weave, star and slanted edges show the detail that a merge gains. Flat patches and
ramps show the noise that it leaves.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from burstfix.io import write_cfa_dng
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile

FloatImage = NDArray[np.float32]

HEIGHT, WIDTH, FRAMES = 600, 800, 6
SCALE = 2  # the scene is drawn at twice the sensor's resolution, so that every pixel is an average
MARGIN = 40  # sensor pixels of scene around the picture, for the motion of the camera

# variance = SHOT_GAIN * x + READ_VARIANCE for x from 0 (black) to 1 (white): a phone in a dim room.
SHOT_GAIN, READ_VARIANCE = 6e-3, 4e-4
BLACK, WHITE = 256, 4095  # 12 bits
HOT_PIXELS = 60
EXPOSURE = 0.7  # of full scale, for the green of a white paper
CFA = "RGGB"

# XYZ to camera RGB under D65 of a fictitious camera with plausible values.
COLOR_MATRIX = np.array([[0.72, -0.19, -0.08], [-0.42, 1.22, 0.21], [-0.08, 0.19, 0.58]])
SRGB_TO_XYZ = np.array(  # IEC 61966-2-1
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)

PRINT = (
    (26, "NIGHT TRAIN"),
    (15, "Six pictures in one second,"),
    (15, "one of them to keep."),
    (11, "The hand that holds the camera is never still, and"),
    (11, "that is why the others can help: each has seen the"),
    (11, "letters through a different corner of its pixels."),
    (8, "Platform 4   17:05  18:20  19:35  20:50  22:05  23:20"),
    (8, "Platform 7   16:48  18:03  19:18  20:33  21:48  23:03"),
    (8, "Platform 9   16:52  18:07  19:22  20:37  21:52  23:07"),
    (6, "Tickets are checked on the train. Dogs, bicycles and tripods travel at half the price."),
    (6, "Whoever can read this line on a single frame has better eyes than the sensor."),
)

SWATCHES = (
    (120, 70, 50), (205, 160, 140), (80, 130, 175), (75, 105, 60), (140, 120, 190), (90, 200, 180),
    (220, 120, 30), (60, 85, 180), (205, 70, 100), (80, 50, 120), (170, 200, 50), (235, 170, 35),
    (40, 50, 150), (60, 155, 70), (185, 40, 50), (240, 210, 20), (200, 70, 150), (20, 140, 170),
    (245, 245, 245), (205, 205, 205), (165, 165, 165), (125, 125, 125), (85, 85, 85), (45, 45, 45),
)  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Pose of the camera for one frame: shift in sensor pixels, rotation in degrees."""

    dy: float
    dx: float
    degrees: float


class Scene:
    """Linear sRGB light, painted through masks; positions and sizes are in sensor pixels."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.rgb = np.zeros((height * SCALE, width * SCALE, 3), np.float32)

    def copy(self) -> Scene:
        """Return a copy of the scene to paint on."""
        other = Scene(self.height, self.width)
        other.rgb[:] = self.rgb
        return other

    def grid(self) -> tuple[FloatImage, FloatImage]:
        """Return the rows and columns of all samples, in sensor pixels."""
        ys, xs = np.mgrid[0 : self.rgb.shape[0], 0 : self.rgb.shape[1]].astype(np.float32)
        return (ys + 0.5) / SCALE, (xs + 0.5) / SCALE

    def mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """Return an empty mask of the size of the scene, and an object that draws on it."""
        image = Image.new("L", (self.rgb.shape[1], self.rgb.shape[0]))
        return image, ImageDraw.Draw(image)

    def paint(self, mask: Image.Image, colour: tuple[int, int, int] | FloatImage) -> None:
        """Paint the masked part with a colour (sRGB 0..255, or linear light for every sample)."""
        box = mask.getbbox()
        if box is None:
            return
        x0, y0, x1, y1 = box
        cover = np.asarray(mask.crop(box), np.float32)[..., None] / 255
        light = linear(colour) if isinstance(colour, tuple) else colour[y0:y1, x0:x1]
        self.rgb[y0:y1, x0:x1] = self.rgb[y0:y1, x0:x1] * (1 - cover) + light * cover

    def box(self, y: float, x: float, height: float, width: float, colour: tuple[int, int, int]) -> None:
        """Paint a plain rectangle."""
        mask, pen = self.mask()
        pen.rectangle(scaled(x, y, x + width, y + height), fill=255)
        self.paint(mask, colour)


def linear(colour: tuple[int, int, int]) -> FloatImage:
    """Convert sRGB 0..255 to linear light 0..1."""
    encoded = np.asarray(colour, np.float32) / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def scaled(*values: float) -> list[float]:
    """Convert sensor pixels to samples of the scene."""
    return [value * SCALE for value in values]


def draw_scene(height: int, width: int) -> Scene:
    """Paint the room without the moving ball."""
    scene = Scene(height, width)
    ys, xs = scene.grid()
    wall = (0.16 + 0.10 * xs / width)[..., None] * np.array([1.0, 0.86, 0.68], np.float32)
    table = (0.05 + 0.05 * ys / height)[..., None] * np.array([1.25, 0.85, 0.6], np.float32)
    grain = 0.12 * np.sin(ys * 0.9 + 3 * np.sin(xs / 60)) + 0.08 * np.sin(ys * 2.1 + 5 * np.sin(xs / 90 + 1))
    scene.rgb[:] = np.where((ys > 0.66 * height)[..., None], table * (1 + grain[..., None]), wall)
    _lamp(scene, ys, xs)
    _poster(scene, 70, 75)
    _swatches(scene, 80, 470)
    _star(scene, 340, 560, 88)
    _weave(scene, ys, xs, 330, 690, 130, 130)
    _gratings(scene, 330, 80)
    _ramps(scene, 500, 80)
    _wires(scene, 500, 420)
    return scene


def _lamp(scene: Scene, ys: FloatImage, xs: FloatImage) -> None:
    """Paint a bulb that is brighter than the sensor's white level, and its light on the wall."""
    distance = np.hypot(ys - 95, xs - 800)
    scene.rgb += (0.35 * np.exp(-distance / 70))[..., None] * np.array([1.0, 0.8, 0.5], np.float32)
    bulb = np.clip(22 - distance, 0, 1)[..., None]
    scene.rgb[:] = scene.rgb * (1 - bulb) + bulb * np.array([3.2, 2.9, 2.3], np.float32)


def _poster(scene: Scene, y: float, x: float) -> None:
    scene.box(y, x, 232, 340, (232, 224, 204))
    scene.box(y + 10, x + 12, 4, 316, (150, 40, 40))
    line = y + 20.0
    for size, text in PRINT:
        mask, pen = scene.mask()
        pen.text(((x + 14) * SCALE, line * SCALE), text, fill=255, font=ImageFont.load_default(size * SCALE))
        scene.paint(mask, (34, 34, 42))
        line += size * 1.55


def _swatches(scene: Scene, y: float, x: float) -> None:
    scene.box(y - 8, x - 8, 176, 256, (18, 18, 20))
    for k, colour in enumerate(SWATCHES):
        row, column = divmod(k, 6)
        scene.box(y + 41 * row, x + 41 * column, 37, 37, colour)


def _star(scene: Scene, y: float, x: float, radius: float) -> None:
    """Paint spokes that become finer towards the centre; they merge at the limit of the resolution."""
    mask, pen = scene.mask()
    pen.ellipse(scaled(x - radius, y - radius, x + radius, y + radius), fill=255)
    scene.paint(mask, (236, 236, 232))
    mask, pen = scene.mask()
    for spoke in range(36):
        pen.pieslice(
            scaled(x - radius + 4, y - radius + 4, x + radius - 4, y + radius - 4),
            spoke * 10,
            spoke * 10 + 5,
            fill=255,
        )
    scene.paint(mask, (26, 26, 30))


def _weave(
    scene: Scene, ys: FloatImage, xs: FloatImage, y: float, x: float, height: float, width: float
) -> None:
    """Paint cloth: two sets of threads 3.4 sensor pixels apart."""
    u, v = (xs + 0.3 * ys) / 3.4, (ys - 0.3 * xs) / 3.4
    over = np.sin(math.pi * (np.floor(u) + np.floor(v)) + 0.5) > 0
    threads = np.where(over, np.abs(np.sin(math.pi * u)), np.abs(np.sin(math.pi * v)))
    blue, sand = np.array([0.05, 0.12, 0.30], np.float32), np.array([0.45, 0.38, 0.26], np.float32)
    cloth = np.where(over[..., None], blue, sand) * (0.25 + 0.75 * threads[..., None])
    mask, pen = scene.mask()
    pen.rectangle(scaled(x, y, x + width, y + height), fill=255)
    scene.paint(mask, cloth.astype(np.float32))


def _gratings(scene: Scene, y: float, x: float) -> None:
    """Paint bars of 8, 6, 5, 4, 3 and 2.5 sensor pixels, upright and slanted."""
    scene.box(y, x, 130, 340, (214, 216, 214))
    mask, pen = scene.mask()
    for k, pitch in enumerate((8.0, 6.0, 5.0, 4.0, 3.0, 2.5)):
        left = x + 10 + 55 * k
        for bar in range(int(46 / pitch)):
            at = left + bar * pitch
            pen.rectangle(scaled(at, y + 8, at + pitch / 2 - 1 / SCALE, y + 58), fill=255)
            low = scaled(at, y + 70, at + pitch / 2, y + 70, at + pitch / 2 - 8, y + 120, at - 8, y + 120)
            pen.polygon(low, fill=255)
    scene.paint(mask, (20, 20, 24))


def _ramps(scene: Scene, y: float, x: float) -> None:
    """Paint a grey and a coloured gradient, which show noise and banding."""
    height, width = 28, 310
    _, xs = scene.grid()
    along = np.clip((xs - x) / width, 0, 1)[..., None]
    for k, (start, end) in enumerate((((6, 6, 6), (240, 240, 240)), ((150, 20, 30), (30, 60, 160)))):
        mask, pen = scene.mask()
        top = y + (height + 8) * k
        pen.rectangle(scaled(x, top, x + width, top + height), fill=255)
        scene.paint(mask, (linear(start) * (1 - along) + linear(end) * along).astype(np.float32))


def _wires(scene: Scene, y: float, x: float) -> None:
    """Paint thin lines at small angles, and a square with slanted edges."""
    for k in range(9):
        mask, pen = scene.mask()
        end = scaled(x, y + 8 * k, x + 230, y + 8 * k + 3 * k - 8)
        pen.line(end, fill=255, width=max(1, round(SCALE * (0.6 + 0.2 * k))))
        scene.paint(mask, (226, 222, 210) if k % 2 else (14, 12, 12))
    mask, pen = scene.mask()
    cy, cx, side = y + 40, x + 310, 44
    corners = [math.radians(45 + 8 + 90 * k) for k in range(4)]
    pen.polygon(
        [c for a in corners for c in scaled(cx + side * math.cos(a), cy + side * math.sin(a))], fill=255
    )
    scene.paint(mask, (238, 236, 230))


def draw_toy(scene: Scene, y: float, x: float, turn: float) -> None:
    """Paint a striped ball that rolls over the table, the only moving object."""
    radius = 34.0
    mask, pen = scene.mask()
    pen.ellipse(scaled(x - radius * 0.9, y + radius - 8, x + radius * 1.2, y + radius + 5), fill=150)
    scene.paint(mask, (16, 10, 8))
    mask, pen = scene.mask()
    pen.ellipse(scaled(x - radius, y - radius, x + radius, y + radius), fill=255)
    scene.paint(mask, (226, 92, 34))
    mask, pen = scene.mask()
    around = scaled(x - radius, y - radius, x + radius, y + radius)
    for k in range(4):
        pen.pieslice(around, turn + 90 * k, turn + 90 * k + 30, fill=255)
    scene.paint(mask, (240, 230, 206))
    mask, pen = scene.mask()
    pen.ellipse(scaled(x - 8, y - 8, x + 8, y + 8), fill=255)
    scene.paint(mask, (40, 60, 120))


def expose(scene: Scene, pose: Pose, height: int, width: int) -> FloatImage:
    """Return the light on the sensor for a pose, averaged over pixels: (H, W, 3) linear sRGB."""
    angle = math.radians(pose.degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    cy, cx = scene.height / 2 + pose.dy, scene.width / 2 + pose.dx
    # The value of output sample (x, y) is read at A @ (x, y) + b: rotation about the centre, then the shift.
    half_y, half_x = height * SCALE / 2, width * SCALE / 2
    matrix = (
        cos, sin, cx * SCALE - cos * half_x - sin * half_y,
        -sin, cos, cy * SCALE + sin * half_x - cos * half_y,
    )  # fmt: skip
    planes = []
    for c in range(3):
        plane = Image.fromarray(np.ascontiguousarray(scene.rgb[..., c]))
        size = (width * SCALE, height * SCALE)
        seen = plane.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        planes.append(np.asarray(seen.reduce(SCALE), np.float32))
    return np.maximum(np.stack(planes, axis=-1), 0)


def to_camera() -> NDArray[np.float64]:
    """Convert linear sRGB to camera RGB; the green value of white paper is EXPOSURE."""
    matrix = COLOR_MATRIX @ SRGB_TO_XYZ
    return matrix * (EXPOSURE / matrix[1].sum())


def read_out(light: FloatImage, hot: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Convert linear sRGB to raw values: colour filter, hot pixels, noise, black level, 12 bits."""
    camera = light @ to_camera().T
    mosaic = np.empty(light.shape[:2])
    for k, colour in enumerate(CFA):
        y, x = divmod(k, 2)
        mosaic[y::2, x::2] = camera[y::2, x::2, "RGB".index(colour)]
    mosaic = np.clip(mosaic, 0, None)
    mosaic += rng.standard_normal(mosaic.shape) * np.sqrt(mosaic * SHOT_GAIN + READ_VARIANCE)
    mosaic[hot[:, 0], hot[:, 1]] += 0.35 + 0.01 * hot[:, 2]
    return np.clip(np.rint(BLACK + mosaic * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)


def hand_shake(count: int, rng: np.random.Generator) -> list[Pose]:
    """Return poses with the slow drift and jitter of hands, up to about 12 pixels and half a degree."""
    drift = np.linspace(-1, 1, count)
    return [
        Pose(
            dy=float(5.5 * t + rng.normal(0, 2.0)),
            dx=float(9.0 * t * abs(t) + rng.normal(0, 2.5)),
            degrees=float(0.25 * t + rng.normal(0, 0.08)),
        )
        for t in drift
    ]


def metadata(path: Path, index: int, height: int, width: int) -> FrameMetadata:
    """Return the metadata of a frame."""
    neutral = to_camera().sum(axis=1)
    gain, read = SHOT_GAIN, READ_VARIANCE
    return FrameMetadata(
        path=path,
        height=height,
        width=width,
        cfa=CFA,
        levels=Levels(np.full((2, 2), BLACK, np.float32), float(WHITE)),
        color=ColorProfile(color_matrix_1=COLOR_MATRIX, as_shot_neutral=neutral / neutral.max()),
        noise=NoiseProfile((gain, gain, gain, gain), (read, read, read, read), source="file"),
        make="burstfix",
        model="Drawn Camera 1",
        iso=6400.0,
        exposure_time=1 / 20,
        aperture=1.8,
        focal_length=4.4,
        time=datetime(2024, 11, 2, 21, 14, 5) + timedelta(milliseconds=180 * index),
    )


def make_burst(folder: Path, *, frames: int = FRAMES, seed: int = 7) -> list[Path]:
    """Write the burst and return its files.

    Args:
        folder: Output folder, created if missing; files with the same names are replaced.
        frames: Number of frames.
        seed: Seed of the motion, the noise and the hot pixels.
    """
    rng = np.random.default_rng(seed)
    poses = hand_shake(frames, rng)
    rows, columns = rng.integers(0, HEIGHT, HOT_PIXELS), rng.integers(0, WIDTH, HOT_PIXELS)
    hot = np.stack([rows, columns, rng.integers(0, 50, HOT_PIXELS)], axis=1).astype(np.int32)
    room = draw_scene(HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, pose in enumerate(poses):
        scene = room.copy()
        draw_toy(scene, 590, 430 + 26 * index, 44.0 * index)
        mosaic = read_out(expose(scene, pose, HEIGHT, WIDTH), hot, rng)
        path = folder / f"example_{index:03}.dng"
        write_cfa_dng(path, mosaic, metadata(path, index, HEIGHT, WIDTH), overwrite=True)
        paths.append(path)
    return paths


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Generate the example burst.")
    parser.add_argument("folder", type=Path, help="folder for the DNGs")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    make_burst(arguments.folder, frames=arguments.frames, seed=arguments.seed)


if __name__ == "__main__":
    main()
