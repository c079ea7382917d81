"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burstfix.errors import OutputError


@contextmanager
def atomic_path(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """Gives a path beside `path` to write to; on leaving, flushes the file to disk and renames it.

    When the body raises, whatever it wrote is removed and `path` is left as it was. The name given
    ends like `path` does, so writers that go by the extension work.

    Args:
        path: Where the file shall appear. Its folder must exist.
        overwrite: Whether an existing file may be replaced.

    Yields:
        The temporary path; the file exists, empty.

    Raises:
        OutputError: `path` exists and `overwrite` is False, or nothing can be written there.
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
            # mkstemp makes files for their owner only; give the usual rights, where the disk knows of any
            # (some mounts of network drives and cameras do not).
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
        raise OutputError(f"{target}: exists already; choose another name or allow overwriting")


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(f"{target}: cannot be written ({error.strerror or error})")


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Makes the rename itself survive a power cut, where the system allows it (not on Windows)."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the file itself is on disk already
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's file mode mask (it can only be read by setting it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
