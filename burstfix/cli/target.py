"""Where the result goes: everything that can be wrong with it is said before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from burstfix.errors import OutputError, UsageError
from burstfix.io.write.formats import DEFAULT_FORMAT, format_named, format_of, suffix_list
from burstfix.names import fit_name, name_limit


@dataclass(frozen=True, slots=True)
class Target:
    """A checked destination.

    Attributes:
        folder: Exists and can be written to.
        name: File name, or None for `<reference>_merged` with the format's suffix.
        format: Name of an output format.
        bit_depth: Bits per channel.
        overwrite: Replace an existing file.
    """

    folder: Path
    name: str | None
    format: str
    bit_depth: int
    overwrite: bool

    def path(self, reference: Path) -> Path:
        """The file to write, for a result that looks like `reference`.

        Raises:
            OutputError: The file exists.
        """
        default = f"{reference.stem}_merged{format_named(self.format).suffix}"
        name = self.name or fit_name(default, name_limit(self.folder))
        path = self.folder / name
        _refuse_existing(path, self.overwrite)
        return path

    def refuse_inputs(self, inputs: Iterable[Path]) -> None:
        """Refuses to replace a frame of the burst, even with --overwrite.

        Raises:
            OutputError: The output is one of the inputs.
        """
        if self.name is None or not (self.folder / self.name).exists():
            return
        for path in inputs:
            if path.samefile(self.folder / self.name):
                raise OutputError(f"{path}: is a frame of the burst; choose another name for the output")


def plan(
    output: str | None, *, format: str | None, bit_depth: int | None, quality: int | None, overwrite: bool
) -> Target:
    """Checks -o and the options that belong to it.

    Args:
        output: A file, an existing folder, or None for the working folder.
        format: Name of an output format, or None: by the file's suffix, else TIFF.
        bit_depth: Bits per channel, or None for the format's default.
        quality: 1 to 100 for a lossy format; None if not given.
        overwrite: Whether an existing file may be replaced.

    Raises:
        UsageError: Unknown suffix, or settings that contradict each other.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    given = Path(output) if output is not None else Path(".")
    is_folder = output is None or os.path.isdir(given) or output.endswith(("/", os.sep))
    folder = given if is_folder else given.parent
    if not is_folder:
        by_suffix = format_of(given)
        if by_suffix is None:
            raise UsageError(
                f"{output}: cannot write {given.suffix or 'a file without a suffix'}; "
                f"use {suffix_list()}, or name an existing folder"
            )
        if format is not None and format != by_suffix.name:
            raise UsageError(f"{output}: the name says {by_suffix.name}, --format says {format}")
        format = by_suffix.name
    row = format_named(format) if format else DEFAULT_FORMAT
    depth = row.bit_depth(bit_depth)
    row.check_quality(quality)
    _check_folder(folder)
    if not is_folder:
        _refuse_existing(given, overwrite)
    return Target(folder, None if is_folder else given.name, row.name, depth, overwrite)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "this folder does not exist; create it first"
        raise OutputError(f"{folder}: {kind}")
    try:
        # Permission bits do not tell about read-only disks or about root: try it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{folder}: cannot write here ({error.strerror})") from error


def _refuse_existing(path: Path, overwrite: bool) -> None:
    limit = name_limit(path.parent)
    if len(os.fsencode(path.name)) > limit:
        raise OutputError(f"{path}: the name is too long; this folder allows {limit} bytes")
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or add --overwrite")
