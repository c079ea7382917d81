"""What file suffixes stand for: camera raws, and the pictures that are written."""

RAW_SUFFIXES = frozenset(
    (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef")
    + (".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw")
    + (".x3f",)
)
"""Of camera raws. Only a folder needs them; a file that is named is read whatever its suffix."""

PICTURE_FORMATS = {".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""The format that a picture's suffix means."""

PICTURE_SUFFIXES = {"tiff": ".tif", "png": ".png", "jpeg": ".jpg"}
"""The suffix that a format gets by default."""

OUTPUT_FORMATS = {**PICTURE_FORMATS, ".dng": "dng"}
OUTPUT_SUFFIXES = {**PICTURE_SUFFIXES, "dng": ".dng"}
"""Of all that a merge can end in: pictures, and raws for other developers."""
