"""Draw contact sheets: the looks of burstfix beside the defaults of darktable and RawTherapee.

    python benchmarks/contact_sheets.py out/sheets examples/burst shots/ IMG_0001.dng photo.png photo.png:-2

Each argument is a folder with the raws of one burst, a raw, or a photograph. From a photograph, a burst is
simulated as by `burstfix simulate --iso 1600`; a number after a colon changes its exposure by so many EV.
The first row of a sheet shows whole pictures. The other rows show crops at 100%: the darkest part, the
brightest part, and the part with most detail. darktable and RawTherapee render the reference frame; they are
left out if they are not installed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from raw_converters import convert, is_installed

import burstfix
from burstfix.color import SRGB_CURVE
from burstfix.sim.files import noise_at, write_recording
from burstfix.sim.recording import RecordingSettings, record_photo
from burstfix.sim.sources import PICTURE_SUFFIXES, read_picture

WIDTH, CROP = 480, (320, 480)
LABEL, GAP = 24, 6
ISO = 1600
LOOKS = ("plain", "natural")
OTHERS = {"darktable": "darktable", "RawTherapee": "rawtherapee default"}

Picture = NDArray[np.float64]
"""(H, W, 3) display values, 0 to 1."""


def simulate(photo: Path, ev: float, folder: Path) -> list[Path]:
    """Write a burst of a photograph, recorded `ev` stops brighter than it is."""
    shot_gain, read_variance = noise_at(ISO)
    settings = RecordingSettings(
        shot_gain=shot_gain, read_variance=read_variance, tone_curve=False, moving_object=False
    )
    # `record_photo` decodes display values by a power of 2.2.
    picture = torch.clamp(read_picture(photo) * 2 ** (ev / 2.2), 0, 1)
    return write_recording(record_photo(picture, settings), folder, source=photo.name)


def burst_of(text: str, folder: Path) -> tuple[str, list[Path]]:
    """Return the name and the raws of an argument of the command line; `folder` is for simulated raws."""
    name, _, ev = text.partition(":")
    path = Path(name)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return path.stem + ev, simulate(path, float(ev or 0), folder)
    return path.stem, sorted(path.glob("*.dng")) if path.is_dir() else [path]


def pictures_of(paths: list[Path], folder: Path) -> dict[str, Picture]:
    """Render a burst with each look, and its reference with each raw converter."""
    burst = burstfix.read_burst(paths)
    merged = burstfix.merge_burst(burst)
    found: dict[str, Picture] = {}
    for look in LOOKS:
        image = burstfix.render(merged, look=look)
        ev = image.settings["render"]["exposure_ev"]
        found[f"{look} {ev:+.1f} EV" if ev else look] = image.data / 65535.0
    reference = burst.frames[burst.reference].metadata.path
    for name, converter in OTHERS.items():
        if is_installed(converter):
            picture = convert(converter, reference, folder / f"{name}.png", folder / "home")
            found[name] = upright(picture, found["plain"])
    return found


def upright(picture: Picture, like: Picture) -> Picture:
    """Mirror a picture if it then matches another better: RawTherapee ignores mirrored orientations."""

    def small(array: Picture) -> Picture:
        image = Image.fromarray(np.rint(array * 255).astype(np.uint8)).resize((64, 64), Image.Resampling.BOX)
        return np.asarray(image, float)

    choices = (picture, picture[:, ::-1])
    return min(choices, key=lambda choice: float(np.abs(small(choice) - small(like)).mean()))


def corners(picture: Picture) -> list[tuple[int, int]]:
    """Find the darkest, the brightest and the most detailed part of a picture; top left of each crop."""
    gray = SRGB_CURVE.decode(picture).mean(2)
    height, width = (min(size, whole) for size, whole in zip(CROP, gray.shape, strict=True))
    detail = np.abs(np.diff(picture.mean(2), axis=1, prepend=0))
    places = [
        (y, x)
        for y in range(0, gray.shape[0] - height + 1, max(1, height // 4))
        for x in range(0, gray.shape[1] - width + 1, max(1, width // 4))
    ]

    def mean(values: Picture, place: tuple[int, int]) -> float:
        return float(values[place[0] : place[0] + height, place[1] : place[1] + width].mean())

    return [
        min(places, key=lambda place: mean(gray, place)),
        max(places, key=lambda place: mean(gray, place)),
        max(places, key=lambda place: mean(detail, place)),
    ]


def sheet(pictures: dict[str, Picture]) -> Image.Image:
    """Draw the pictures side by side, with their mean brightness and their share of clipped pixels."""
    font = ImageFont.load_default(14)
    first = next(iter(pictures.values()))
    places = corners(first)
    whole = round(WIDTH * first.shape[0] / first.shape[1])
    drawn = Image.new(
        "RGB",
        (len(pictures) * (WIDTH + GAP) - GAP, LABEL + whole + len(places) * (CROP[0] + GAP)),
        "white",
    )
    pen = ImageDraw.Draw(drawn)
    for column, (name, picture) in enumerate(pictures.items()):
        left = column * (WIDTH + GAP)
        clipped = (picture > 254.5 / 255).any(2).mean()
        label = f"{name}: mean {255 * picture.mean():.0f}, clipped {clipped:.1%}"
        pen.text((left + 2, 4), label, fill="black", font=font)
        image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
        drawn.paste(image.resize((WIDTH, whole), Image.Resampling.LANCZOS), (left, LABEL))
        # Other programs may leave out a few pixels at the borders.
        shift = [(a - b) // 2 for a, b in zip(picture.shape[:2], first.shape[:2], strict=True)]
        for row, (y, x) in enumerate(places):
            y, x = max(y + shift[0], 0), max(x + shift[1], 0)
            crop = image.crop((x, y, min(x + CROP[1], image.width), min(y + CROP[0], image.height)))
            drawn.paste(crop, (left, LABEL + whole + GAP + row * (CROP[0] + GAP)))
    return drawn


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Looks beside darktable and RawTherapee.")
    parser.add_argument("output", type=Path, help="folder for the sheets")
    parser.add_argument("bursts", nargs="+", help="folders of raws, raws, or photographs (PHOTO or PHOTO:EV)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for text in arguments.bursts:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            name, paths = burst_of(text, folder / "burst")
            out = arguments.output / f"{name}.jpg"
            sheet(pictures_of(paths, folder)).save(out, quality=92)
        print(out, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
