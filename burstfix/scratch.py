"""Arrays in temporary files, so that memory does not grow with the number of frames."""

from __future__ import annotations

import logging
import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_MEMORY = 16_000_000
"""Bytes that a `Scratch` keeps in memory by default, so that small bursts do not need files."""

log = logging.getLogger(__name__)


class Scratch:
    """Storage for arrays: in memory up to a limit, then in temporary files that are mapped into memory.

    A file has no name and is removed with its array. If there is not enough space for temporary files, arrays
    stay in memory.

    Args:
        limit: Bytes to keep in memory.

    Example:
        >>> scratch = Scratch(limit=0)
        >>> kept = scratch.keep(np.arange(6).reshape(2, 3))
        >>> isinstance(kept, np.memmap), kept.sum()
        (True, np.int64(15))
    """

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self._left = limit

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array, or a copy of it in a temporary file. Changes to the copy are not saved."""
        if array.nbytes <= self._left or array.nbytes == 0:
            self._left -= array.nbytes
            return array
        try:
            with tempfile.TemporaryFile() as file:
                array.tofile(file)
                file.flush()
                return np.memmap(file, array.dtype, mode="c", shape=array.shape)
        except OSError as error:
            log.debug("kept in memory, because there is no room for a temporary file: %s", error)
            return array


def release(array: NDArray[Any]) -> None:
    """Free the memory of an array in a temporary file until it is read again.

    This has no effect on other arrays.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
