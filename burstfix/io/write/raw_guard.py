"""Refuses to overwrite raw photographs, which cannot be made again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from burstfix.errors import InputError, OutputError
from burstfix.io.read.reader import read_metadata
from burstfix.io.suffixes import RAW_SUFFIXES
from burstfix.io.write.picture_tags import is_merged


def refuse_raw(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that would replace a raw, whatever the user allows to overwrite.

    A DNG that burstfix has merged is not a raw photograph. Files with the suffix of a raw that cannot be read
    are taken for raws.

    Args:
        path: Where a picture is to be written.
        inputs: Files that are being merged; they may have any suffix.

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
            f"{path}: is a raw that burstfix has not merged, and raws are never overwritten; choose another "
            "name for the output"
        )
