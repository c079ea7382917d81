"""Protect raw photographs from being overwritten, because they cannot be recreated."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from burstfix.errors import InputError, OutputError
from burstfix.io.read.reader import read_metadata
from burstfix.io.suffixes import RAW_SUFFIXES
from burstfix.io.write.picture_tags import is_merged


def refuse_raw(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Check that an output does not replace a raw, even with --overwrite.

    A DNG written by burstfix is not a raw photograph and may be replaced. Unreadable files with the
    suffix of a raw count as raws.

    Args:
        path: The output file.
        inputs: Frames of the burst, with any suffix.

    Raises:
        OutputError: A raw has this name.
    """
    if not os.path.exists(path):
        return
    if any(os.path.exists(frame) and os.path.samefile(frame, path) for frame in inputs):
        raise OutputError(f"{path}: is a frame of the burst; choose another name for the output")
    if path.suffix.lower() not in RAW_SUFFIXES:
        return
    try:
        is_raw = not is_merged(read_metadata(path).exif)
    except InputError:
        is_raw = True
    if is_raw:
        raise OutputError(
            f"{path}: is a raw, not a DNG merged by burstfix; raws are never overwritten, so choose another "
            "name for the output"
        )
