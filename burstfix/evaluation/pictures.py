"""Pictures with the results of all methods side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from burstfix.atomic import atomic_path

_LABEL_HEIGHT = 16
_GAP = 4


def save_side_by_side(pictures: Mapping[str, Tensor], path: Path, side: int = 256) -> None:
    """Write the central part of each picture with its name, in one row.

    Args:
        pictures: (3, H, W) display RGB or (1, H, W) grey in 0..1 by name, all of one size.
        path: PNG file; replaced if it exists.
        side: Largest height and width of the part that is shown.

    Raises:
        OutputError: The file cannot be written.
    """
    height, width = next(iter(pictures.values())).shape[1:]
    shown_height, shown_width = min(side, height), min(side, width)
    top, left = (height - shown_height) // 2, (width - shown_width) // 2
    row = Image.new(
        "RGB", (len(pictures) * (shown_width + _GAP) - _GAP, shown_height + _LABEL_HEIGHT), (255, 255, 255)
    )
    pen = ImageDraw.Draw(row)
    for k, (name, picture) in enumerate(pictures.items()):
        part = picture[:, top : top + shown_height, left : left + shown_width].clamp(0, 1)
        pixels = (part * 255).round().expand(3, -1, -1).permute(1, 2, 0).cpu().numpy().astype(np.uint8)
        x = k * (shown_width + _GAP)
        row.paste(Image.fromarray(pixels), (x, _LABEL_HEIGHT))
        pen.text((x + 2, 2), name, fill=(0, 0, 0))
    with atomic_path(path, overwrite=True) as temporary:
        row.save(temporary)
