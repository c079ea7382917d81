"""The output folder of a batch. Files outside this folder are never written or removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from burstfix.batch.layout import RESERVED
from burstfix.batch.lock import LOCK_NAME
from burstfix.errors import OutputError

STAGING = ".burstfix-staging"


class OutputFolder:
    """Existing folder for pictures.

    Attributes:
        path: Absolute path without links.
    """

    def __init__(self, folder: Path | str) -> None:
        """Create the folder if it is missing.

        Raises:
            OutputError: The folder cannot be created, or a file that batch writes in it is a link.
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
        """Folder for pictures that are being written."""
        return self.path / STAGING

    def clear_staging(self) -> None:
        """Remove unfinished pictures, including those of a run that was killed."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def contains(self, output: str) -> bool:
        """Return True if a relative path, with links resolved, lies inside the folder."""
        relative = PurePosixPath(output)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            return False
        return (self.path / relative).parent.resolve().is_relative_to(self.path)

    def picture(self, output: str) -> Path:
        """Return the absolute path of a picture.

        Args:
            output: Path relative to the folder, with "/".

        Raises:
            OutputError: The path leads outside the folder.
        """
        if not self.contains(output):
            raise OutputError(
                f"{output}: would be written outside {self.path}; remove the link in this path, or choose "
                "another --layout"
            )
        return self.path / output

    def has_picture(self, output: str) -> bool:
        """Return True if a picture exists at a path inside the folder."""
        return self.contains(output) and os.path.exists(self.path / output)

    def move_in(self, staged: Path, output: str) -> Path:
        """Move a finished picture to its place and return its path.

        Raises:
            OutputError: The place is outside the folder.
            OSError: The picture cannot be moved.
        """
        path = self.picture(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, path)
        return path
