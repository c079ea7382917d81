"""Read small text files that come with raws or from other users."""

from __future__ import annotations

import errno
from pathlib import Path

MAX_BYTES = 1_000_000


def read_text(path: Path) -> str:
    """Read a UTF-8 file; a byte order mark, as Notepad writes it, is removed.

    Args:
        path: The file. Devices and pipes are read up to the limit as well.

    Raises:
        OSError: The file cannot be read, or is larger than 1 MB.
        UnicodeDecodeError: The file is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_BYTES // 1_000_000} MB")
    return content.decode("utf-8-sig")
