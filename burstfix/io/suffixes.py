"""Suffixes of camera raws. Those of output files are in `burstfix.io.write.formats`."""

RAW_SUFFIXES = frozenset(
    (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef")
    + (".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw")
    + (".x3f",)
)
"""Suffixes to search for in folders. Explicitly named files are read regardless of their suffix."""
