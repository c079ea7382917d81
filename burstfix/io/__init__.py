"""Read raws and write results."""

from burstfix.io.read.frames import ReadFrames, read_frames
from burstfix.io.read.reader import read_frame, read_metadata
from burstfix.io.write.cfa_dng import write_cfa_dng
from burstfix.io.write.image_writer import write_image
from burstfix.io.write.tiff import write_linear_tiff

__all__ = [
    "ReadFrames",
    "read_frame",
    "read_frames",
    "read_metadata",
    "write_cfa_dng",
    "write_image",
    "write_linear_tiff",
]
