"""Messages between `decoder` and `decoder_client`.

First, the child sends a greeting (`encode_greeting`) that states its restrictions. A request is a `Request`
as one line of JSON. An answer has three parts: `HEADER` (the lengths in bytes of the other two parts), a
`Reply` in JSON, and the rows of the mosaic as uint16.

The parent validates every answer, so that a raw that takes over the decoder cannot take over the parent.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.cfa import LINEAR
from burstfix.io.read.plain import from_plain, to_plain
from burstfix.io.read.sandbox import Sandbox
from burstfix.types import FrameMetadata

HEADER = struct.Struct("<QQ")
READY = b"burstfix decoder "
GREETING_BYTES = len(READY) + 2

MAX_REPLY_BYTES = 1 << 26
"""Maximum length of a reply. Opcode lists take a few megabytes."""

BASE_SECONDS = 8.0
"""Time limit of one attempt to read a small file. With a second attempt, this takes at most 20 s."""

_BYTES_PER_SECOND = 20_000_000


def seconds_for(path: Path, base_seconds: float = BASE_SECONDS) -> float:
    """Return the time limit of one attempt. It grows by one second per 20 MB, for slow drives and codecs."""
    try:
        return base_seconds + os.path.getsize(path) / _BYTES_PER_SECOND
    except OSError:
        return base_seconds


@dataclass(frozen=True, slots=True)
class Request:
    """A file to read.

    Attributes:
        path: The file.
        folder: Base folder of a relative path; None for an absolute path.
        pixels: True to read the mosaic as well.
        raw_index: Index of the raw in the file.
    """

    path: str
    folder: str | None
    pixels: bool
    raw_index: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the child.

    Attributes:
        error: Reason why the file cannot be read, or None.
        unsupported: True if the type of sensor is not supported.
        out_of_memory: True if memory ran out because of a limit of the system (`ulimit -v`).
        metadata: Metadata of the frame; None after an error.
        warnings: Sentences for the user.
    """

    error: str | None = None
    unsupported: bool = False
    out_of_memory: bool = False
    metadata: FrameMetadata | None = None
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the mosaic according to `metadata`; (0,) without metadata."""
        m = self.metadata
        if m is None:
            return (0,)
        return (m.height, m.width, 3) if m.cfa == LINEAR else (m.height, m.width)


def encode_greeting(sandbox: Sandbox) -> bytes:
    """Return the first bytes that the child sends: `READY` and one digit per restriction."""
    return READY + f"{sandbox.read_only:d}{sandbox.offline:d}".encode("ascii")


def decode_greeting(greeting: bytes | bytearray) -> Sandbox | None:
    """Return the restrictions stated by a greeting; None if the bytes are not a greeting."""
    flags = greeting.removeprefix(READY)
    if len(greeting) != GREETING_BYTES or len(flags) != 2:
        return None
    return Sandbox(read_only=flags[:1] == b"1", offline=flags[1:] == b"1")


def encode(message: Request | Reply) -> bytes:
    """Convert a message to one line of ASCII JSON."""
    return json.dumps(to_plain(message)).encode("ascii") + b"\n"


def decode(kind: type[Any], line: bytes | bytearray) -> Any:
    """Convert JSON back to a message of the given class.

    Raises:
        ValueError: The JSON is not a message of this class.
    """
    try:
        return from_plain(kind, json.loads(line))
    except RecursionError as error:
        raise ValueError("a message that is nested too deeply") from error
