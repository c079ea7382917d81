"""Decode DNG pixels that LibRaw cannot decode or returns in the wrong order.

JPEG XL (DNG 1.7) and planar pixels are decoded by tifffile. Interleaved rows and columns (DNG 1.7) are
reordered here for both decoders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError
from burstfix.io import tag_numbers as tn
from burstfix.io.read.tags import FileTags

_PLANAR = 2


def needs_tifffile(tags: FileTags) -> bool:
    """Return True for DNGs that LibRaw cannot decode."""
    raw = tags.raw
    if raw is None or not tags.is_dng:
        return False
    planar = raw.number(tn.PLANAR_CONFIGURATION, 1) == _PLANAR and raw.number(tn.SAMPLES_PER_PIXEL, 1) > 1
    return planar or raw.number(tn.COMPRESSION, 1) == tn.COMPRESSION_JPEG_XL


def decode_with_tifffile(tags: FileTags) -> NDArray[np.uint16]:
    """Decode the raw picture and apply its linearisation table.

    Returns:
        uint16 (rows, columns) or (rows, columns, 3).

    Raises:
        InputError: The pixels cannot be decoded.
    """
    import tifffile  # imported on use, because few files need it and the decoder should start fast

    assert tags.raw is not None
    raw = tags.raw
    try:
        with tifffile.TiffFile(tags.path) as tif:
            pages = [page for first in tif.pages for page in (first, *(getattr(first, "pages", None) or ()))]
            page: Any = next(page for page in pages if page.offset == raw.offset)
            values: NDArray[Any] = page.asarray()
    except MemoryError:
        raise
    except Exception as error:  # codecs raise many types of exceptions
        raise InputError(f"{tags.path}: its pixels cannot be decoded ({error})") from error
    samples = raw.number(tn.SAMPLES_PER_PIXEL, 1)
    if raw.number(tn.PLANAR_CONFIGURATION, 1) == _PLANAR and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    if samples == 2 and values.ndim == 3:
        values = values[..., 0]
    if values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{tags.path}: its pixels are of type {values.dtype}; 8 or 16 bits were expected")
    table = raw.array(tn.LINEARIZATION_TABLE)
    if len(table):
        return table.astype(np.uint16)[np.minimum(values, len(table) - 1)]
    return values.astype(np.uint16)


def deinterleaved(tags: FileTags, mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Reorder interleaved rows and columns (RowInterleaveFactor, ColumnInterleaveFactor).

    With a factor of 2, all even rows are stored first, then all odd rows:

        stored  0 2 4 1 3    order  0 1 2 3 4

    Args:
        tags: The file's tags.
        mosaic: All rows and columns as stored.
    """
    if tags.raw is None or not tags.is_dng:
        return mosaic
    for axis, tag in ((0, tn.ROW_INTERLEAVE), (1, tn.COLUMN_INTERLEAVE)):
        factor = tags.raw.number(tag, 1)
        if factor > 1:
            stored = np.concatenate([np.arange(k, mosaic.shape[axis], factor) for k in range(factor)])
            mosaic = mosaic.take(np.argsort(stored), axis)
    return mosaic
