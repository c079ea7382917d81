"""From a merged burst to a file: render and write, the same for one burst and for thousands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.color import render
from burstfix.io import write_image
from burstfix.raws_out import preview_of, write_dng
from burstfix.types import LinearImage, RenderedImage


@dataclass(frozen=True, slots=True)
class Finish:
    """How a merged burst becomes a picture.

    Attributes:
        white_balance, exposure, tone, color_space: As `color.render` takes them.
        bit_depth: 8 or 16; None: 16, for JPEG 8.
        quality: Of a JPEG, 1 to 100.
    """

    white_balance: Any = "camera"
    exposure: Any = 0.0
    tone: Any = "none"
    color_space: str = "srgb"
    bit_depth: int | None = None
    quality: int = 95


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A picture that has been written.

    Attributes:
        image: As rendered; of a DNG, its preview.
        height, width: Of the picture in the file.
    """

    image: RenderedImage
    height: int
    width: int


def finish_picture(
    linear: LinearImage, path: Path | str, finish: Finish, *, overwrite: bool = False
) -> Finished:
    """Renders a merged burst and writes it; the format follows from the name.

    A DNG (".dng") stays linear: how it is rendered is left to who develops it.

    Raises:
        OutputError: The file exists or cannot be written.
        UsageError: Settings that the format does not have.
    """
    if Path(path).suffix.lower() == ".dng":
        preview = preview_of(linear)
        write_dng(linear, path, preview=preview, overwrite=overwrite)
        return Finished(preview, *linear.data.shape[1:])  # neither turned upright nor cropped
    image = render(
        linear,
        white_balance=finish.white_balance,
        exposure=finish.exposure,
        tone=finish.tone,
        color_space=finish.color_space,
    )
    write_image(image, path, bit_depth=finish.bit_depth, quality=finish.quality, overwrite=overwrite)
    return Finished(image, *image.data.shape[:2])
