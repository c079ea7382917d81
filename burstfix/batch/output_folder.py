"""The output folder of a batch: everything that is written or removed there stays inside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from burstfix.batch.layout import RESERVED
from burstfix.batch.lock import LOCK_NAME
from burstfix.errors import OutputError

STAGING = ".burstfix-staging"


class OutputFolder:
    """An existing folder that pictures are written to.

    Attributes:
        path: Absolute, without links.
    """

    def __init__(self, folder: Path | str) -> None:
        """Makes the folder if it is missing.

        Raises:
            OutputError: It cannot be made, or a file that batch writes there is a link to elsewhere.
        """
        self.path = Path(folder).resolve()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be created ({error.strerror or error})") from error
        for name in (*RESERVED, LOCK_NAME, STAGING):
            if os.path.islink(self.path / name):
                raise OutputError(f"{self.path / name}: is a link; remove it, or choose another folder")

    @property
    def staging(self) -> Path:
        """Folder of pictures that are being written."""
        return self.path / STAGING

    def clear_staging(self) -> None:
        """Removes unfinished pictures, including those of a run that was killed."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def contains(self, output: str) -> bool:
        """True if a relative path leads to a place inside the folder, links included."""
        relative = PurePosixPath(output)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            return False
        return (self.path / relative).parent.resolve().is_relative_to(self.path)

    def picture(self, output: str) -> Path:
        """Returns the absolute path of a picture.

        Args:
            output: Relative to the folder, with "/".

        Raises:
            OutputError: It would be outside the folder.
        """
        if not self.contains(output):
            raise OutputError(
                f"{output}: would be written outside {self.path}; remove the link in this path, or choose "
                "another --layout"
            )
        return self.path / output

    def has_picture(self, output: str) -> bool:
        """True if a picture exists at a path inside the folder."""
        return self.contains(output) and os.path.exists(self.path / output)

    def move_in(self, staged: Path, output: str) -> Path:
        """Move a finished picture to its place; returns its path.

        Raises:
            OutputError: Its place would be outside the folder.
            OSError: It cannot be moved.
        """
        path = self.picture(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, path)
        return path
