"""AVIF files: 8 bits at full colour resolution, with an ICC profile, EXIF and XMP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from burstfix.io.write.exif_ifd import exif_block
from burstfix.io.write.picture_tags import PictureTags
from burstfix.io.write.pixels import Pixels

_SPEED = 9  # 0 (slow) to 10
_ORIENTATION = 274


def write_avif(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) uint8 pixels as an AVIF."""
    # AVIF stores the orientation as a property. To remove the tag, Pillow would rewrite the whole EXIF.
    image = {tag: value for tag, value in tags.exif.image.items() if tag != _ORIENTATION}
    Image.fromarray(pixels).save(
        path,
        "AVIF",
        quality=quality,
        subsampling="4:4:4",
        speed=_SPEED,
        icc_profile=icc,
        exif=exif_block(replace(tags.exif, image=image)),
        xmp=tags.xmp,
    )
