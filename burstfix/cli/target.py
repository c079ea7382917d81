"""Check output files before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from burstfix.errors import OutputError, UsageError
from burstfix.io.write.formats import DEFAULT_FORMAT, OutputFormat, format_named, format_of, suffix_list
from burstfix.io.write.raw_guard import refuse_raw
from burstfix.names import fit_name, name_limit
from burstfix.settings import MergeSettings


@dataclass(frozen=True, slots=True)
class Target:
    """An output file that has been checked.

    Attributes:
        folder: Folder of the output; it exists and is writable.
        name: File name, or None for `<reference>_merged` with the format's suffix.
        format: Name of an output format.
        bit_depth: Bits per channel.
        overwrite: True to replace an existing file.
    """

    folder: Path
    name: str | None
    format: str
    bit_depth: int
    overwrite: bool

    @property
    def is_raw(self) -> bool:
        """True for a raw format, which a raw converter renders."""
        return format_named(self.format).is_raw

    def path(self, reference: Path, inputs: Sequence[Path] = ()) -> Path:
        """Return the path of the output for a reference frame.

        Raises:
            OutputError: The file exists, or is a raw.
        """
        path = self.folder / self.name if self.name else self.default(reference)
        _refuse_existing(path, self.overwrite)
        refuse_raw(path, inputs)
        return path

    def default(self, reference: Path) -> Path:
        """Return the path of the output if no file name is given."""
        name = f"{reference.stem}_merged{format_named(self.format).suffix}"
        return self.folder / fit_name(name, name_limit(self.folder))

    def refuse_inputs(self, inputs: Sequence[Path]) -> None:
        """Refuse an explicit output file that is a raw, even with --overwrite.

        Raises:
            OutputError: The output is one of the inputs, or another raw.
        """
        if self.name is not None:
            refuse_raw(self.folder / self.name, inputs)


def plan(
    output: str | None, settings: MergeSettings, *, typed: Collection[str] = (), overwrite: bool = False
) -> Target:
    """Check the destination before anything is read.

    Args:
        output: A file, an existing folder, or None for the working folder.
        settings: The settings in force.
        typed: Names of settings given on the command line. An error is raised only if one of these
            contradicts the suffix of the output; values from settings files that do not apply are ignored.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The suffix is unknown, or options contradict the format.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    by_name = _format_of(output)
    given = Path(output) if output is not None else Path(".")
    folder = given.parent if by_name else given
    row = by_name or (format_named(settings.format) if settings.format else DEFAULT_FORMAT)
    if "format" in typed and settings.format != row.name:
        raise UsageError(
            f"{output}: the suffix means {row.name}, but --format is {settings.format}; leave out one of them"
        )
    if "quality" in typed:
        row.check_quality(settings.quality)
    for name in ("dng", "dng_compression"):
        if name in typed and not row.is_raw:
            raise UsageError(
                f"{_option(name)} applies to DNG only; the output is {row.title} (use -o NAME.dng)"
            )
    for name in ("scale", "max_size"):
        if name in typed and row.is_raw:
            raise UsageError(
                f"{_option(name)} does not apply to {row.title}, which keeps the raw size; leave it out"
            )
    row.check_color_space(settings.color_space)
    fits = "bit_depth" in typed or settings.bit_depth in row.bit_depths
    depth = row.bit_depth(settings.bit_depth if fits else None)
    _check_folder(folder)
    if by_name:
        _refuse_existing(given, overwrite)
    return Target(folder, given.name if by_name else None, row.name, depth, overwrite)


def check_report(report: Path, destination: Target, settings: MergeSettings, *, overwrite: bool) -> None:
    """Check the file of a report before anything is read.

    Raises:
        UsageError: The name does not end in .html, or the output is a mosaic, which a report cannot show.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    if destination.is_raw and settings.dng == "mosaic":
        raise UsageError("--report needs a demosaicked merge; it cannot be used with --dng mosaic")
    check_report_file(report, overwrite=overwrite)


def check_report_file(
    path: Path, *, suffixes: Sequence[str] = (".html", ".htm"), overwrite: bool = False
) -> None:
    """Check the file of a report: its name and its folder.

    Args:
        path: File of the report.
        suffixes: Allowed suffixes.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The name has another suffix.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    if path.suffix.lower() not in suffixes:
        names = " or ".join(suffix for suffix in suffixes if suffix != ".htm")
        raise UsageError(f"{path}: cannot write a report to this file; give it a name that ends in {names}")
    _check_folder(path.parent)
    _refuse_existing(path, overwrite)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _format_of(output: str | None) -> OutputFormat | None:
    """Return the format that belongs to the suffix of the output; None for a folder.

    Raises:
        UsageError: The suffix is unknown.
    """
    if output is None or os.path.isdir(output) or output.endswith(("/", os.sep)):
        return None
    row = format_of(output)
    if row is None:
        suffix = Path(output).suffix or "a file without a suffix"
        raise UsageError(f"{output}: cannot write {suffix}; use {suffix_list()}, or name an existing folder")
    return row


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "this folder does not exist; create it first"
        raise OutputError(f"{folder}: {kind}")
    try:
        # Create a file, because permission bits are not reliable (read-only disks, root).
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{folder}: cannot write here ({error.strerror})") from error


def _refuse_existing(path: Path, overwrite: bool) -> None:
    limit = name_limit(path.parent)
    if len(os.fsencode(path.name)) > limit:
        raise OutputError(f"{path}: the name is too long; this folder allows {limit} bytes")
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"{path}: already exists; choose another name or add --overwrite")
