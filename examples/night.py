"""Create docs/images/night.jpg: a harbour at night, one frame beside the merged burst.

    python examples/night.py docs/images/night.jpg

The scene is synthetic. A simulated hand-held camera records it, as `burstfix simulate` records a photograph.
The burst is then merged and rendered with the look `natural`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from compare import single_frame
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import burstfix
from burstfix.sim.files import noise_at, write_recording
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import RecordingSettings, record_photo

HEIGHT, WIDTH = 560, 960
HORIZON = 380
FRAMES, ISO = 8, 6400
DETAILS = ((296, 340), (318, 690))  # top left of the enlarged parts
DETAIL, ZOOM, GAP = (84, 118), 2, 4
SMOOTH = 2  # the scene is drawn this many times larger, then reduced

Color = tuple[int, int, int]
SIGNS: tuple[tuple[str, tuple[int, int], int, Color], ...] = (
    ("HOTEL", (354, 318), 19, (255, 72, 100)),
    ("JAZZ CLUB", (158, 344), 14, (80, 235, 255)),
)
"""Text, position, size and colour of the signs."""


def draw_scene(seed: int = 7) -> NDArray[np.float32]:
    """Draw the harbour: float32 (H, W, 3) display values, 0 to 1."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(sky(rng))
    pen = ImageDraw.Draw(picture)
    x = np.arange(WIDTH * SMOOTH)
    for base, height, color in ((HORIZON - 40, 90, (38, 44, 82)), (HORIZON - 12, 60, (24, 27, 56))):
        ridge = sum(
            rng.uniform(0.3, 1) / k * np.sin(x / WIDTH * 2.1 * k + rng.uniform(0, 6))
            for k in (1, 2, 5, 9, 23)
        )
        top = (base - height * 0.35 * np.asarray(ridge)) * SMOOTH
        pen.polygon(
            [(0, HORIZON * SMOOTH), *zip(x.tolist(), top.tolist(), strict=True), (x[-1], HORIZON * SMOOTH)],
            color,
        )
    buildings(pen, rng)
    bridge(pen)
    drawn = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    glow = drawn.filter(ImageFilter.GaussianBlur(9))
    above = np.asarray(drawn, np.float32) / 255 + 0.35 * np.clip(
        np.asarray(glow, np.float32) / 255 - 0.25, 0, 1
    )
    return np.clip(with_water(above, rng), 0, 1)


def sky(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw dusk above the horizon, with stars and a moon."""
    height, width = HEIGHT * SMOOTH, WIDTH * SMOOTH
    stops = np.array([0, 0.45, 0.75, 0.92, 1.0]) * HORIZON * SMOOTH
    colors = np.array([(12, 16, 44), (32, 42, 92), (98, 74, 122), (214, 122, 92), (248, 176, 104)])
    y = np.arange(height)
    rows = np.stack([np.interp(y, stops, colors[:, k]) for k in range(3)], -1)
    image = np.repeat(rows[:, None], width, axis=1)
    for _ in range(160):
        sy, sx = int(rng.uniform(0, 0.5 * HORIZON) * SMOOTH), int(rng.uniform(0, width - 2))
        image[sy : sy + 2, sx : sx + 2] += rng.uniform(40, 190)
    yy, xx = np.mgrid[:height, :width]
    distance = np.hypot(yy - 82 * SMOOTH, xx - 770 * SMOOTH) / SMOOTH
    image[distance < 21] = (250, 244, 226)
    image += (70 * np.exp(-np.maximum(distance - 21, 0) / 22))[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def buildings(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw houses with lit windows along the shore."""
    left = -10.0
    while left < WIDTH:
        width = rng.uniform(26, 64)
        height = rng.uniform(30, 75) + 95 * np.exp(-(((left - 300) / 150) ** 2)) * rng.uniform(0.5, 1.2)
        top, tint = HORIZON - height, rng.uniform(0.75, 1.25)
        wall = tuple(int(value * tint) for value in (40, 42, 66))
        pen.rectangle([left * SMOOTH, top * SMOOTH, (left + width) * SMOOTH, HORIZON * SMOOTH], wall)
        light: Color = ((255, 206, 120), (255, 228, 168), (196, 220, 255))[int(rng.integers(3))]
        for wy in np.arange(top + 6, HORIZON - 8, 8):
            for wx in np.arange(left + 4, left + width - 6, 7):
                if rng.random() < 0.5:
                    shade = rng.uniform(0.45, 1)
                    box = [wx * SMOOTH, wy * SMOOTH, (wx + 3.5) * SMOOTH, (wy + 4.5) * SMOOTH]
                    pen.rectangle(box, tuple(int(value * shade) for value in light))
        left += width + rng.uniform(-2, 8)
    for text, (sign_x, sign_y), size, color in SIGNS:
        font = ImageFont.load_default(size * SMOOTH)
        box = pen.textbbox((sign_x * SMOOTH, sign_y * SMOOTH), text, font=font)
        pen.rectangle([box[0] - 6, box[1] - 6, box[2] + 6, box[3] + 6], (16, 14, 26))
        pen.text((sign_x * SMOOTH, sign_y * SMOOTH), text, fill=color, font=font)


def bridge(pen: ImageDraw.ImageDraw) -> None:
    """Draw a suspension bridge with lamps."""
    deck, left, right, tower = HORIZON - 26, 560, WIDTH + 20, (660, 870)
    steel: Color = (176, 66, 52)
    for x in tower:
        pen.rectangle([(x - 4) * SMOOTH, 230 * SMOOTH, (x + 4) * SMOOTH, HORIZON * SMOOTH], steel)
    pen.rectangle([left * SMOOTH, deck * SMOOTH, right * SMOOTH, (deck + 5) * SMOOTH], steel)
    span = tower[1] - tower[0]
    points = []
    for x in range(left, right, 6):
        inside = tower[0] <= x <= tower[1]
        middle = (tower[0] + tower[1]) / 2
        ends = max(tower[0] - x, x - tower[1]) / (tower[0] - left)
        y = deck - 8 - 112 * (((x - middle) / (span / 2)) ** 2 if inside else max(0.0, 1 - ends) ** 1.3)
        points.append((x * SMOOTH, y * SMOOTH))
        pen.line([(x * SMOOTH, y * SMOOTH), (x * SMOOTH, deck * SMOOTH)], (120, 52, 50), 1)
    pen.line(points, steel, 3)
    for x in range(left + 8, right, 22):
        pen.ellipse(
            [(x - 2) * SMOOTH, (deck - 7) * SMOOTH, (x + 2) * SMOOTH, (deck - 3) * SMOOTH], (255, 232, 178)
        )


def with_water(above: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Replace everything below the horizon by its reflection in moving water."""
    image = above.copy()
    y = np.arange(HORIZON, HEIGHT)
    depth = (y - HORIZON).astype(np.float32)
    x = np.arange(WIDTH)
    wave = np.zeros((len(y), WIDTH), np.float32)
    for _ in range(14):
        length = rng.uniform(3, 16)
        wave += np.sin(
            depth[:, None] * 6 / length
            + np.sin(x / rng.uniform(15, 60) + rng.uniform(0, 6)) * 1.5
            + rng.uniform(0, 6)
        )
    rows = np.clip(HORIZON - 2 - depth[:, None] * 1.25 + wave * (0.6 + depth[:, None] / 28), 0, HORIZON - 2)
    columns = np.clip(x + wave * (0.2 + depth[:, None] / 90), 0, WIDTH - 1)
    image[HORIZON:] = above[rows.astype(int), columns.astype(int)] * (0.62 - depth / 900)[:, None, None]
    return image


def record(picture: NDArray[np.float32], folder: Path) -> list[Path]:
    """Write the raws of a hand-held burst of the scene."""
    shot_gain, read_variance = noise_at(ISO)
    settings = RecordingSettings(
        frames=FRAMES,
        shot_gain=shot_gain,
        read_variance=read_variance,
        motion=MotionSettings(10.0, 1.0, 0.1, 1e-3, 0.0, least=0.5),
        moving_object=False,
        tone_curve=False,
        camera="protocol",
        seed=5,
    )
    tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    return write_recording(record_photo(tensor, settings), folder, source="night.py")


def composed(frame: Image.Image, merged: Image.Image) -> Image.Image:
    """Compose one picture: the single frame on the left, the merge on the right, enlarged details below."""
    width, height = merged.size
    tall = DETAIL[0] * ZOOM
    whole = Image.new("RGB", (width, height + GAP + tall), "white")
    whole.paste(merged, (0, 0))
    whole.paste(frame.crop((0, 0, width // 2, height)), (0, 0))
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(16)
    pen.line([(width // 2, 0), (width // 2, height)], "white", 2)
    pen.text((10, 8), "one frame", fill="white", font=font)
    pen.text((width // 2 + 10, 8), f"{FRAMES} frames, merged", fill="white", font=font)
    each = (width - 3 * GAP) // 4
    tiles = [(picture, place) for place in DETAILS for picture in (frame, merged)]
    for k, (picture, (y, x)) in enumerate(tiles):
        part = picture.crop((x, y, x + each // ZOOM, y + DETAIL[0]))
        whole.paste(part.resize((each, tall), Image.Resampling.NEAREST), (k * (each + GAP), height + GAP))
    return whole


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Create the first picture of README.md.")
    parser.add_argument("output", type=Path, help="JPEG or PNG to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        burst = burstfix.read_burst(record(draw_scene(), Path(folder) / "burst"), reference=FRAMES // 2)
        merged = burstfix.merge_burst(burst)
        image = burstfix.render(merged)
        ev = image.settings["render"]["exposure_ev"]
        frame = burstfix.render(single_frame(burst), exposure=ev, sharpening=0.0)
    pictures = [Image.fromarray((each.data >> 8).astype(np.uint8)) for each in (frame, image)]
    composed(*pictures).save(arguments.output, quality=82)


if __name__ == "__main__":
    main()
