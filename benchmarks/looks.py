"""Print the effect of each look on pictures as a Markdown table.

    python benchmarks/looks.py examples/burst shots/IMG_0001.dng photo.png:-2

The arguments are those of `benchmarks/contact_sheets.py`. Columns: mean of the encoded picture (0 to 255),
share of pixels with a channel at 255, exposure found, median difference of Oklab hue from `plain`, mean
CIEDE2000 from `plain`, and processor time. Hue is compared only where both pictures have colour and neither
is clipped.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from contact_sheets import burst_of
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

import burstfix
from burstfix.color import SHIPPED, SPACES, SRGB_CURVE
from burstfix.color.oklab import Oklab

COLOURED = 0.03  # Oklab chroma
PIXELS = 100_000  # approximate number of pixels that are compared


def hue_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the median difference of Oklab hue in degrees, for (n, 3) encoded sRGB."""
    oklab = Oklab(SPACES["srgb"])
    labs = [oklab.from_rgb(SRGB_CURVE.decode(rgb).T.astype(np.float32)) for rgb in (first, second)]
    inside = np.all([(rgb.max(1) < 0.99) & (rgb.min(1) > 0.01) for rgb in (first, second)], axis=0)
    coloured = inside & np.all([np.hypot(lab[1], lab[2]) > COLOURED for lab in labs], axis=0)
    if not coloured.any():
        return 0.0
    turned = np.subtract(*(np.degrees(np.arctan2(lab[2], lab[1]))[coloured] for lab in labs))
    return float(np.median(np.abs((turned + 180) % 360 - 180)))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Looks compared with plain, as a table.")
    parser.add_argument("bursts", nargs="+", help="folders of raws, raws, or photographs (PHOTO or PHOTO:EV)")
    parser.add_argument("--model", default="average", help="what merges them")
    arguments = parser.parse_args()
    print("| picture | look | mean | clipped | EV | hue | CIEDE2000 | seconds |")  # noqa: T201
    print("|---" * 8 + "|")  # noqa: T201
    for text in arguments.bursts:
        with tempfile.TemporaryDirectory() as folder:
            name, paths = burst_of(text, Path(folder) / "burst")
            linear = burstfix.merge_burst(burstfix.read_burst(paths), model=arguments.model)
        plain = None
        for look in sorted(SHIPPED, key="plain".__ne__):
            started = time.process_time()
            image = burstfix.render(linear, look=look)
            seconds = time.process_time() - started
            step = max(1, round((image.data[..., 0].size / PIXELS) ** 0.5))
            shown = image.data[::step, ::step].reshape(-1, 3) / 65535.0
            plain = shown if plain is None else plain
            difference = float(deltaE_ciede2000(rgb2lab(plain), rgb2lab(shown)).mean())
            clipped = (shown > 254.5 / 255).any(1).mean()
            ev = image.settings["render"]["exposure_ev"]
            hue = hue_difference(plain, shown)
            figures = f"{255 * shown.mean():.0f} | {clipped:.1%} | {ev:+.1f} | {hue:.1f} | {difference:.1f}"
            print(f"| {name} | {look} | {figures} | {seconds:.1f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
