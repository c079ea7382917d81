"""Show pictures side by side: the reference frame alone, and the burst merged by one or more models.

    python examples/compare.py examples/burst/*.dng -o side-by-side.png --crop 60,75 --crop 330,470

Each crop is a row and each picture is a column. All pictures are rendered with the same settings. The
reference frame is demosaicked, but not denoised.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import burstfix
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.demosaic import menon
from burstfix.raw.levels import normalise
from burstfix.types import Burst, LinearImage

LABEL_HEIGHT, GAP = 26, 6


def single_frame(burst: Burst) -> LinearImage:
    """Demosaick the reference frame (Menon 2007) without denoising."""
    frame = burst.frames[burst.reference]
    dn = torch.from_numpy(frame.mosaic.astype(np.float32))
    padded = pad_to_rggb(normalise(dn, frame.metadata.levels), frame.metadata.cfa)
    rgb = menon(pack(padded.mosaic)[None])[0]
    height, width = frame.mosaic.shape
    rgb = rgb[:, padded.top : padded.top + height, padded.left : padded.left + width]
    return LinearImage(rgb.numpy(), frame.metadata)


def to_eight_bits(linear: LinearImage, exposure: float | str) -> NDArray[np.uint8]:
    """Render a linear image as (H, W, 3) sRGB with 8 bits."""
    return (burstfix.render(linear, exposure=exposure).data / 257).round().astype(np.uint8)


def montage(
    pictures: dict[str, NDArray[np.uint8]], corners: list[tuple[int, int]], size: tuple[int, int], zoom: int
) -> Image.Image:
    """Draw labelled crops: a row for each corner (y, x), a column for each picture."""
    height, width = size[0] * zoom, size[1] * zoom
    font = ImageFont.load_default(16)
    sheet = Image.new(
        "RGB",
        (len(pictures) * (width + GAP) - GAP, LABEL_HEIGHT + len(corners) * (height + GAP) - GAP),
        (255, 255, 255),
    )
    pen = ImageDraw.Draw(sheet)
    for column, (label, picture) in enumerate(pictures.items()):
        left = column * (width + GAP)
        pen.text((left + 2, 2), label, fill=(0, 0, 0), font=font)
        for row, (y, x) in enumerate(corners):
            y = min(max(y, 0), max(picture.shape[0] - size[0], 0))
            x = min(max(x, 0), max(picture.shape[1] - size[1], 0))
            crop = Image.fromarray(picture[y : y + size[0], x : x + size[1]])
            # Enlarge without smoothing, so that single pixels are visible.
            crop = crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST)
            sheet.paste(crop, (left, LABEL_HEIGHT + row * (height + GAP)))
    return sheet


def _pair(text: str) -> tuple[int, int]:
    first, second = text.split(",")
    return int(first), int(second)


def _exposure(text: str) -> float | str:
    return text if text == "auto" else float(text)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write one PNG with the reference and the merges.")
    parser.add_argument("paths", type=Path, nargs="+", help="the raws of one burst")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    parser.add_argument("--models", default="auto", help="names or files of models, separated by commas")
    parser.add_argument("--crop", type=_pair, action="append", help="Y,X of a crop; repeatable")
    parser.add_argument("--size", type=_pair, default=(200, 300), help="HEIGHT,WIDTH of a crop")
    parser.add_argument("--zoom", type=int, default=1, help="factor by which pixels are enlarged")
    parser.add_argument("--reference", type=int, default=None, help="index of the reference, counted from 0")
    parser.add_argument("--exposure", type=_exposure, default=0.0, help="exposure correction in EV, or auto")
    arguments = parser.parse_args()

    burst = burstfix.read_burst(arguments.paths, reference=arguments.reference)
    pictures = {"single frame": to_eight_bits(single_frame(burst), arguments.exposure)}
    for model in arguments.models.split(","):
        merged = burstfix.merge_burst(burst, model=model)
        name = merged.settings.get("model", model)
        pictures[f"{len(burst.frames)} frames, {name}"] = to_eight_bits(merged, arguments.exposure)
    height, width = next(iter(pictures.values())).shape[:2]
    middle = [((height - arguments.size[0]) // 2, (width - arguments.size[1]) // 2)]
    montage(pictures, arguments.crop or middle, arguments.size, arguments.zoom).save(arguments.output)


if __name__ == "__main__":
    main()
