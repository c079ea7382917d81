"""Write TIFF files, 8 or 16 bits, deflated: rendered pictures with metadata, and linear ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError
from burstfix.io.tag_numbers import XMP
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.io.write.picture_tags import SOFTWARE, PictureTags
from burstfix.io.write.pixels import Pixels
from burstfix.threads import thread_count

_LEVEL = 1  # higher levels take longer; files with 16 bits do not become smaller, and with 8 bits by 2%
_STRIP_BYTES = 1 << 20
_MAX_BYTES = (1 << 32) - (1 << 24)  # offsets of a classic TIFF have 32 bits; leaves room for tags


def write_tiff(path: Path, pixels: Pixels, icc: bytes, tags: PictureTags, quality: int) -> None:
    """Write (H, W, 3) pixels as a TIFF; `quality` is not used.

    Raises:
        OutputError: The picture is larger than a classic TIFF can hold.
    """
    xmp = (XMP, tifffile.DATATYPE.BYTE, len(tags.xmp), tags.xmp, True)
    _write_pixels(path, pixels, iccprofile=icc, extratags=[xmp])
    append_exif_ifds(path, tags.exif)


def write_linear_tiff(
    path: Path | str,
    data: NDArray[np.float32],
    *,
    white: float = 1.0,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write linear ground truth as a 16-bit TIFF without a colour profile.

    Value = code * white / 65535. ImageDescription states this as JSON, together with `facts`.

    Args:
        path: Output file.
        data: float32 (3, H, W); values outside 0 to `white` are clipped.
        white: Value of the highest code.
        facts: Additional entries of ImageDescription, as JSON values.
        overwrite: Replace an existing file.

    Returns:
        Path of the written file.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    target = Path(path)
    scaled = np.clip(data * np.float32(65535.0 / white), 0.0, 65535.0)
    codes = np.rint(scaled.transpose(1, 2, 0)).astype(np.uint16)
    description = {"software": SOFTWARE, "linear": True, "white": white, "white_code": 65535, **(facts or {})}
    with atomic_path(target, overwrite) as temporary:
        _write_pixels(temporary, codes, description=json.dumps(description, default=str))
    return target


def _write_pixels(path: Path, pixels: Pixels, **options: Any) -> None:
    """Write strips with horizontal differencing and deflate compression."""
    if pixels.nbytes > _MAX_BYTES:
        raise OutputError(
            f"{path.name}: {pixels.nbytes / 1e9:.1f} GB of pixels are more than a TIFF can hold;"
            " write PNG, or 8 bits"
        )
    height, width, channels = pixels.shape
    tifffile.imwrite(
        path,
        pixels,
        bigtiff=False,
        photometric="rgb",
        compression="adobe_deflate",
        compressionargs={"level": _LEVEL},
        predictor=True,
        maxworkers=thread_count(),
        rowsperstrip=min(height, max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))),
        metadata=None,
        software=SOFTWARE,
        **options,
    )
