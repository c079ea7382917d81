"""Read one raw file."""

from __future__ import annotations

import os
from pathlib import Path

from burstfix.errors import InputError
from burstfix.io.read.decoder_client import shared_client
from burstfix.types import Frame, FrameMetadata, OpcodeMode


def read_frame(path: Path | str, *, opcodes: OpcodeMode = "apply", raw_index: int = 0) -> Frame:
    """Read a raw: its visible mosaic, its metadata, and the plan for its opcode lists.

    A child process decodes the file. If LibRaw crashes or hangs, only an `InputError` is raised.

    Args:
        path: A raw of any camera that LibRaw supports: Bayer, monochrome, or already demosaicked.
        opcodes: "apply" plans the corrections stored in a DNG; "skip" ignores them, including malformed ones.
        raw_index: Index of the raw in the file (see `FrameMetadata.raw_count`).

    Raises:
        InputError: The file cannot be read; the message names it and the reason.
        UnsupportedSensorError: The file can be read, but its sensor is not supported.
    """
    return shared_client().read_frame(_checked(path), raw_index).planned(opcodes)


def read_metadata(path: Path | str) -> FrameMetadata:
    """Read the metadata of a raw, without its pixels; raise the same errors as `read_frame`."""
    return shared_client().read_metadata(_checked(path))


def _checked(path: Path | str) -> Path:
    """Return the path if it is a regular file that is not empty (a named pipe would block forever)."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give raw files")
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (no permission)")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty")
    return path
