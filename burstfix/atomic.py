"""Write output files atomically: complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burstfix.errors import OutputError


@contextmanager
def atomic_path(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """Provide a temporary path beside `path`; on success, flush the file to disk and rename it to `path`.

    If the body raises an exception, the temporary file is removed and `path` is not changed. The temporary
    name has the suffix of `path`, because writers choose the format by the suffix.

    Args:
        path: The output file. Its folder must exist.
        overwrite: Replace an existing file.

    Yields:
        The temporary path of an existing empty file.

    Raises:
        OutputError: `path` exists and `overwrite` is False, or it cannot be written.
    """
    target = Path(path)
    _refuse_existing(target, overwrite)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:20]}-", suffix=target.suffix, dir=target.parent
        )
        os.close(handle)
    except OSError as error:
        raise _cannot_write(target, error) from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            _flush(temporary)
            # Another process may have written the target in the meantime.
            _refuse_existing(target, overwrite)
            # mkstemp creates files that only the owner can read. Set the usual permissions if the file system
            # supports permissions (some network drives and cameras do not).
            with suppress(OSError):
                os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if os.path.isdir(target):
        raise OutputError(f"{target}: is a folder; give the name of a file")
    if os.path.exists(target) and not overwrite:
        raise OutputError(f"{target}: already exists; choose another name or allow overwriting")


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(f"{target}: cannot be written ({error.strerror or error})")


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush the folder, so that the rename survives a power failure (not possible on Windows)."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems do not support this; the file itself is already on disk
    finally:
        os.close(handle)


def _umask() -> int:
    """Return the file mode mask of the process, which can be read only by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
