"""Output files: checked before any work is done."""

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

    @property
    def is_raw(self) -> bool:
        """True if a raw developer renders the file."""
        return format_named(self.format).is_raw

    def path(self, reference: Path, inputs: Sequence[Path] = ()) -> Path:
        """Return the file to write, for a result that looks like `reference`.

        Raises:
            OutputError: The file exists, or is a raw.
        """
        path = self.folder / self.name if self.name else self.default(reference)
        _refuse_existing(path, self.overwrite)
        refuse_raw(path, inputs)
        return path

    def default(self, reference: Path) -> Path:
        """Return the file to write if the output has no name."""
        name = f"{reference.stem}_merged{format_named(self.format).suffix}"
        return self.folder / fit_name(name, name_limit(self.folder))

    def refuse_inputs(self, inputs: Sequence[Path]) -> None:
        """Refuse to replace a raw by an output whose name is given, even with --overwrite.

        Raises:
            OutputError: The output is one of the inputs, or another raw.
        """
        if self.name is not None:
            refuse_raw(self.folder / self.name, inputs)


def plan(
    output: str | None, settings: MergeSettings, *, typed: Collection[str] = (), overwrite: bool = False
) -> Target:
    """Checks the destination before anything is read.

    Args:
        output: A file, an existing folder, or None for the working folder.
        settings: The settings in force.
        typed: Names of settings given on the command line. Only these may contradict the name of the output;
            a settings file holds for outputs of every format.
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
        raise UsageError(f"{output}: the name says {row.name}, --format says {settings.format}")
    if "quality" in typed:
        row.check_quality(settings.quality)
    for name in ("dng", "dng_compression"):
        if name in typed and not row.is_raw:
            raise UsageError(f"{_option(name)} is for a DNG; the output is {row.title} (use -o NAME.dng)")
    for name in ("scale", "max_size"):
        if name in typed and row.is_raw:
            raise UsageError(f"{_option(name)} is for pictures; a {row.title} keeps the size of the raw")
    row.check_color_space(settings.color_space)
    fits = "bit_depth" in typed or settings.bit_depth in row.bit_depths
    depth = row.bit_depth(settings.bit_depth if fits else None)
    _check_folder(folder)
    if by_name:
        _refuse_existing(given, overwrite)
    return Target(folder, given.name if by_name else None, row.name, depth, overwrite)


def check_report(report: Path, destination: Target, settings: MergeSettings, *, overwrite: bool) -> None:
    """Checks the file of a report before anything is read.

    Raises:
        UsageError: The name does not end in .html, or the output is a mosaic, which has no colours to show.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    if destination.is_raw and settings.dng == "mosaic":
        raise UsageError("--report shows a demosaicked merge; it cannot be used with --dng mosaic")
    check_report_file(report, overwrite=overwrite)


def check_report_file(path: Path, *, overwrite: bool) -> None:
    """Checks where a report will be written.

    Raises:
        UsageError: The name does not end in .html.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: a report is an HTML file; give it a name that ends in .html")
    _check_folder(path.parent)
    _refuse_existing(path, overwrite)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _format_of(output: str | None) -> OutputFormat | None:
    """Returns the format that the name of the output says; None for a folder.

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
        # Permission bits do not cover read-only disks and root: try it.
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
