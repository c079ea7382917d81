"""Write rendered pictures to files, in any format of the table."""

from __future__ import annotations

from pathlib import Path

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError, UsageError
from burstfix.io.write.formats import DEFAULT_QUALITY, FORMATS, format_of, suffix_list
from burstfix.io.write.picture_tags import picture_tags
from burstfix.io.write.pixels import to_depth
from burstfix.types import RenderedImage


def write_image(
    image: RenderedImage,
    path: Path | str,
    *,
    bit_depth: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a rendered picture; the suffix of the file determines the format.

    The file contains the ICC profile, EXIF and XMP of the reference frame, Software, and the settings as XMP.
    It is written atomically.

    Args:
        image: The picture, upright.
        path: Output file; its folder must exist.
        bit_depth: Bits per channel; None for the format's default.
        quality: Quality of lossy formats, 1 to 100 (95 by default); lossless formats ignore it. Colour is
            never subsampled.
        overwrite: Replace an existing file.

    Returns:
        Path of the written file.

    Raises:
        OutputError: The file exists, its suffix is unknown, or it cannot be written.
        UsageError: The format does not have that bit depth or colour space, or `quality` is out of range.
    """
    target = Path(path)
    row = format_of(target)
    if row is None or row.is_raw:
        raise OutputError(
            f"{path}: pictures are not written as {target.suffix or 'files without a suffix'};"
            f" use {suffix_list(row for row in FORMATS if not row.is_raw)}"
        )
    quality = DEFAULT_QUALITY if quality is None else quality
    if not 1 <= quality <= 100:
        raise UsageError(f"{target}: quality {quality} is not between 1 and 100")
    try:
        depth = row.bit_depth(bit_depth)
        row.check_color_space((image.settings.get("render") or {}).get("color_space", "srgb"))
    except UsageError as error:
        raise UsageError(f"{target}: {error}") from error
    pixels = to_depth(image.data, depth)
    with atomic_path(target, overwrite) as temporary:
        row.load_encoder()(temporary, pixels, image.icc_profile, picture_tags(image), quality)
    return target
