"""What `io.decoder` and `io.decoder_client` say to each other.

The child greets with `READY`. A request is a line of JSON: "path", "folder" (to take a relative path from,
or null), "pixels" (whether the mosaic is wanted). An answer is `HEADER` (lengths of what follows in bytes), a
pickled `Reply`, and the mosaic's rows as uint16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from burstfix.types import FrameMetadata

HEADER = struct.Struct("<QQ")
READY = b"burstfix decoder\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the child.

    Attributes:
        error: Why the file cannot be read, or None.
        unsupported: Whether that is for its kind of sensor.
        metadata: Of the frame.
        notes: Warnings for people.
    """

    error: str | None = None
    unsupported: bool = False
    metadata: FrameMetadata | None = None
    notes: tuple[str, ...] = ()
