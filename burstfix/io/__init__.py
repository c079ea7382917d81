"""Picture files in and out: the only room that opens them."""

from burstfix.io.reader import read_frame, read_metadata

__all__ = ["read_frame", "read_metadata"]
