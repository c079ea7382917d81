"""What cameras wrote comes in here, and results go out."""

from burstfix.io.dng_writer import write_cfa_dng
from burstfix.io.frames import ReadFrames, read_frames
from burstfix.io.image_writer import write_image, write_linear_tiff
from burstfix.io.reader import read_frame, read_metadata

__all__ = [
    "ReadFrames",
    "read_frame",
    "read_frames",
    "read_metadata",
    "write_cfa_dng",
    "write_image",
    "write_linear_tiff",
]
