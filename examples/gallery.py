"""Create docs/images/gallery.jpg: every look, on the example burst and on the same room in the dark.

    python examples/gallery.py docs/images/gallery.jpg

Only synthetic scenes are shown, so that the picture may be published. With folders as arguments, the bursts
in these folders are shown instead.

    python examples/gallery.py sheet.jpg shots/ other-shots/
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import make_example
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import burstfix
from burstfix.color import SHIPPED
from burstfix.types import LinearImage

HERE = Path(__file__).parent
WIDTH, LABEL, GAP = 440, 26, 6
DARKER = 6.0  # factor by which the second burst has less light
LOOKS = sorted(SHIPPED, key="plain".__ne__)  # plain first


def dark_room(folder: Path) -> list[Path]:
    """Return the example burst with a sixth of its light."""
    bright = make_example.EXPOSURE
    make_example.EXPOSURE = bright / DARKER
    try:
        return make_example.make_burst(folder)
    finally:
        make_example.EXPOSURE = bright


def row_of(title: str, linear: LinearImage) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return a label and a picture for every look."""
    found = []
    for look in LOOKS:
        image = burstfix.render(linear, look=look)
        ev = image.settings["render"]["exposure_ev"]
        label = f"{title}, {look}" + (f", {ev:+.1f} EV" if ev else "")
        found.append((label, (image.data >> 8).astype(np.uint8)))
    return found


def sheet(rows: list[list[tuple[str, NDArray[np.uint8]]]]) -> Image.Image:
    """Arrange labelled pictures of equal width in rows."""
    font = ImageFont.load_default(15)
    reduced = []
    for row in rows:
        pictures = [Image.fromarray(picture) for _, picture in row]
        height = round(WIDTH * pictures[0].height / pictures[0].width)
        sized = [picture.resize((WIDTH, height), Image.Resampling.LANCZOS) for picture in pictures]
        reduced.append(list(zip([label for label, _ in row], sized, strict=True)))
    heights = [row[0][1].height + LABEL + GAP for row in reduced]
    whole = Image.new("RGB", (len(reduced[0]) * (WIDTH + GAP) - GAP, sum(heights)), "white")
    pen, top = ImageDraw.Draw(whole), 0
    for row, height in zip(reduced, heights, strict=True):
        for k, (label, picture) in enumerate(row):
            pen.text((k * (WIDTH + GAP) + 2, top + 4), label, fill="black", font=font)
            whole.paste(picture, (k * (WIDTH + GAP), top + LABEL))
        top += height
    return whole


def merged(paths: list[Path]) -> LinearImage:
    """Merge a burst with the default model."""
    return burstfix.merge_burst(burstfix.read_burst(paths))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Show every look side by side.")
    parser.add_argument("output", type=Path, help="JPEG or PNG to write")
    parser.add_argument("bursts", type=Path, nargs="*", help="raws, or folders of one burst each")
    arguments = parser.parse_args()
    rows = []
    for path in arguments.bursts:
        rows.append(row_of(path.name, merged(sorted(path.iterdir()) if path.is_dir() else [path])))
    if not rows:
        rows.append(row_of("example", merged(sorted((HERE / "burst").glob("*.dng")))))
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row_of("in the dark", merged(dark_room(Path(folder)))))
    sheet(rows).save(arguments.output, quality=88)


if __name__ == "__main__":
    main()
