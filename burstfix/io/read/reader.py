"""Reading one raw file."""

from __future__ import annotations

import os
from pathlib import Path

from burstfix.errors import InputError
from burstfix.io.read.decoder_client import shared_client
from burstfix.types import Frame, FrameMetadata, OpcodeMode


def read_frame(path: Path | str, *, opcodes: OpcodeMode = "apply", raw_index: int = 0) -> Frame:
    """Read a raw: its visible mosaic, its metadata, and the plan for its opcode lists.

    Decoding happens in a child process, so a file that crashes or hangs LibRaw is an error like any other.

    Args:
        path: A raw of any make that LibRaw reads: Bayer, monochrome, or already demosaiced.
        opcodes: "apply" plans the corrections that a DNG asks for; "skip" ignores them, malformed ones too.
        raw_index: Which of the raws in the file (see `FrameMetadata.raw_count`).

    Raises:
        InputError: It cannot be read; the message names the file and the reason.
        UnsupportedSensorError: It can be read, but its sensor is not supported.
    """
    return shared_client().read_frame(_checked(path), raw_index).planned(opcodes)


def read_metadata(path: Path | str) -> FrameMetadata:
    """Read all but the pixels of a raw; raise as `read_frame` does."""
    return shared_client().read_metadata(_checked(path))


def _checked(path: Path | str) -> Path:
    """Return the path if it is a regular file that is not empty (a named pipe would block for ever)."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give raw files")
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read (permissions)")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty")
    return path
