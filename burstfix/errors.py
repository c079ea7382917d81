"""The exceptions of burstfix, all derived from `BurstfixError`.

The library raises them; only `burstfix.cli` converts them to exit codes. A message names the file, what
was found, what was expected, and what to do next.
"""

import errno


class BurstfixError(Exception):
    """Base class of all exceptions of burstfix."""

    exit_code = 1


class UsageError(BurstfixError):
    """A setting, or a combination of settings, is not valid."""

    exit_code = 2


class NoMosaicError(UsageError):
    """A mosaic is requested of a model that computes only a picture."""


class InputError(BurstfixError):
    """A file cannot be read, or its kind is not supported."""

    exit_code = 3


class UnsupportedSensorError(InputError):
    """A raw is readable, but its sensor is not supported."""


class BurstError(BurstfixError):
    """Readable frames do not form one burst."""

    exit_code = 4


class OutputError(BurstfixError):
    """The output already exists or cannot be written."""

    exit_code = 5


class OutOfMemoryError(BurstfixError):
    """Memory ran out after every fallback."""

    exit_code = 6


class WeightsError(BurstfixError):
    """Weights are missing, damaged, or not for this model."""

    exit_code = 7


class BatchError(BurstfixError):
    """Some bursts of a batch failed.

    It is never raised, but defines the exit code of the report of a batch.
    """

    exit_code = 8


_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "cannot allocate memory",
    "failed to map segment",
    "can't allocate memory",
    "defaultcpuallocator",
    "bad_alloc",
    "could not create a primitive",  # from oneDNN, if it cannot allocate a kernel or its scratch memory
    "could not create a memory",
    "memory allocation still failed",  # OpenBLAS
    "memoryerror",
    "can't start new thread",  # the stack of the thread does not fit into the address space
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out.

    torch has an exception type for this only on GPUs. On the CPU, it raises a RuntimeError.
    """
    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # Memory can also run out while a library is loaded: "failed to map segment from shared object".
    loading_or_computing = isinstance(error, (RuntimeError, ImportError))
    return loading_or_computing and names_memory(str(error))


def names_memory(message: str) -> bool:
    """Return True if a message of Python or of a library states that memory ran out."""
    return any(words in message.lower() for words in _NO_MEMORY)
