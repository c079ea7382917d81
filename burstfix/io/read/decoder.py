"""The child process that opens raw files, so that a crash of LibRaw does not end burstfix.

`decoder_client` runs it as `python -m burstfix.io.read.decoder`. It reads requests
from standard input and writes answers to standard output, as described in `decoder_protocol`. All parsing of
files happens here. The process ends when its input ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io.read import decode as reading
from burstfix.io.read import sandbox
from burstfix.io.read.decoder_protocol import (
    HEADER,
    Reply,
    Request,
    decode,
    encode,
    encode_greeting,
    seconds_for,
)

try:
    import resource
except ImportError:  # Windows
    resource = None

# Additional address space for decoding: for a small file, and for each decoded value (LibRaw's buffers, the
# mosaic, a copy).
_BASE_BYTES = 1 << 30
_BYTES_PER_VALUE = 12
# LibRaw can repeat a message for every pixel.
_LOG_LIMIT = 1 << 20
# Multiple of the parent's time limit. It takes effect only if the parent has ended.
_SELF_DESTRUCT_FACTOR = 4


class _Memory:
    """Limit of the address space of this process, if the system supports one."""

    def __init__(self) -> None:
        self.is_scarce = False
        """True if the system allows less than decoding may take."""
        self._used = 0
        with contextlib.suppress(OSError, ValueError):
            self._used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")

    def reserve(self, values: int = 0) -> None:
        """Raise the limit by the memory that is needed to decode this number of values."""
        if resource is None or not self._used:
            return
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = self._used + _BASE_BYTES + _BYTES_PER_VALUE * values
        self.is_scarce = 0 <= hard < limit
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


def _answer(request: Request, memory: _Memory, log_fd: int) -> tuple[Reply, NDArray[np.uint16] | None]:
    """Decode a file. Failures are returned as replies."""
    path = Path(request.path)
    os.lseek(log_fd, 0, os.SEEK_SET)
    os.ftruncate(log_fd, 0)
    memory.reserve()
    try:
        decoded = reading.decode(
            path, wants_pixels=request.pixels, raw_index=request.raw_index, reserve=memory.reserve
        )
    except UnsupportedSensorError as error:
        return Reply(str(error), unsupported=True), None
    except InputError as error:
        return Reply(str(error)), None
    except MemoryError:
        if memory.is_scarce:
            return Reply(f"{path}: out of memory while decoding; raise ulimit -v", out_of_memory=True), None
        return Reply(f"{path}: takes more memory than its size allows; it is likely damaged"), None
    except OSError as error:
        return Reply(f"{path}: cannot be read ({error.strerror or error})"), None
    except Exception as error:  # on damaged tags, parsers raise exceptions of many types
        return Reply(f"{path}: the file is damaged ({type(error).__name__}: {error})"), None
    os.lseek(log_fd, 0, os.SEEK_SET)
    log = os.read(log_fd, _LOG_LIMIT).decode("utf-8", "replace")
    # LibRaw reports these errors only on standard error and continues with incomplete data.
    for sign, meaning in (
        ("Unexpected end of file", "the file is truncated: its picture data end early"),
        ("data corrupted", "the picture data are damaged"),
    ):
        if sign in log:
            return Reply(f"{path}: {meaning}"), None
    return Reply(metadata=decoded.metadata, warnings=decoded.warnings), decoded.mosaic


def _limit_log() -> None:
    """Limit the size of files that this process can write. It should write only its log."""
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (_LOG_LIMIT if hard < 0 else min(_LOG_LIMIT, hard), hard)
            )


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and closes our input
    # LibRaw and C libraries may print to standard output, so the original output is reserved for answers.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    log_fd = 2
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(out.fileno(), os.O_BINARY)
    logging.disable(logging.CRITICAL)
    _limit_log()
    memory = _Memory()
    _write(out, encode_greeting(sandbox.enter()))
    for line in sys.stdin.buffer:
        request: Request = decode(Request, line)
        if request.folder is not None:
            os.chdir(request.folder)
        # A C thread ends the process even if LibRaw hangs and the parent has ended.
        patience = _SELF_DESTRUCT_FACTOR * seconds_for(Path(request.path))
        faulthandler.dump_traceback_later(patience, exit=True)
        reply, mosaic = _answer(request, memory, log_fd)
        faulthandler.cancel_dump_traceback_later()
        body = encode(reply)
        values = mosaic.data.cast("B") if mosaic is not None else memoryview(b"")
        _write(out, HEADER.pack(len(body), len(values)))
        _write(out, body)
        _write(out, values)


def _write(out: Any, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    main()
