"""Read raws in a thread, while the main thread does something else, such as importing torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from burstfix.io.read.frames import ReadFrames, read_frames
from burstfix.types import OpcodeMode, Progress


class _CancelledError(Exception):
    """Ends the thread; nobody waits for its result."""


class ReadAhead:
    """A running `read_frames`. Use it in a `with` statement, which ends the thread early after an exception.

    Args:
        paths: Raw files, in any order.
        skip_bad: See `read_frames`.
        opcodes: See `read_frames`.
        progress: Called from the thread; see `read_frames`.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        skip_bad: bool = False,
        opcodes: OpcodeMode = "apply",
        progress: Progress | None = None,
    ) -> None:
        self._cancelled = threading.Event()
        self._found: ReadFrames | None = None
        self._error: BaseException | None = None

        def watched(stage: str, done: int, total: int) -> None:
            if self._cancelled.is_set():
                raise _CancelledError
            if progress is not None:
                progress(stage, done, total)

        def run() -> None:
            try:
                self._found = read_frames(paths, skip_bad=skip_bad, opcodes=opcodes, progress=watched)
            except BaseException as error:  # raised again in `result`
                self._error = error

        self._thread = threading.Thread(target=run, name="burstfix-read", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancelled.set()
        self._thread.join()

    def result(self) -> ReadFrames:
        """Wait for the frames.

        Raises:
            InputError: See `read_frames`.
            BurstError: See `read_frames`.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found
