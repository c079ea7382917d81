"""Picture files in and out: the only room that opens them."""

from burstfix.io.dng_writer import write_cfa_dng
from burstfix.io.reader import read_frame, read_metadata

__all__ = ["write_cfa_dng", "read_frame", "read_metadata"]
