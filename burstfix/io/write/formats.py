"""Table of output formats with their file names, options, checks and writers.

To add a format, add a row and the module that encodes it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

from burstfix.errors import UsageError

DEFAULT_QUALITY = 95

DngCompression = Literal["none", "ljpeg", "jxl"]
"""Compression of the raw picture: none, lossless JPEG (DNG 1.1), or lossless JPEG XL (DNG 1.7)."""

DNG_COMPRESSIONS: tuple[DngCompression, ...] = get_args(DngCompression)


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One row of the table.

    Attributes:
        name: Value of `--format`.
        title: Name used in messages.
        suffixes: File suffixes in lower case; the first is the default.
        bit_depths: Bits per channel; the first is the default.
        has_quality: True if the encoder takes a quality of 1 to 100.
        color_spaces: Supported colour spaces; empty for all.
        encoder: "module:function" of the writer of rendered pictures; None for a raw format (a DNG), which
            contains the linear image. Modules are imported on first use.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    bit_depths: tuple[int, ...]
    has_quality: bool
    encoder: str | None
    color_spaces: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The default suffix."""
        return self.suffixes[0]

    @property
    def is_raw(self) -> bool:
        """True if files contain the linear image, which a raw converter renders."""
        return self.encoder is None

    def load_encoder(self) -> Callable[..., None]:
        """Import the function that writes a rendered picture."""
        if self.encoder is None:
            raise ValueError(f"{self.title} files do not hold rendered pictures")
        module, function = self.encoder.split(":")
        return getattr(importlib.import_module(module), function)

    def bit_depth(self, requested: int | None) -> int:
        """Return the bits per channel to write.

        Raises:
            UsageError: The format does not have the requested depth.
        """
        if requested is None:
            return self.bit_depths[0]
        if requested not in self.bit_depths:
            supported = " or ".join(map(str, self.bit_depths))
            others = " or ".join(row.title for row in FORMATS if requested in row.bit_depths)
            use = f"; use {others} for {requested} bits" if others else ""
            raise UsageError(
                f"{self.title} is written with {supported} bits per channel, not {requested}{use}"
            )
        return requested

    def check_quality(self, requested: int | None) -> None:
        """Check that the format takes a quality, and that the requested quality is valid.

        Raises:
            UsageError: The format is lossless, or the quality is not between 1 and 100.
        """
        if requested is None:
            return
        if not self.has_quality:
            lossy = ", ".join(row.title for row in FORMATS if row.has_quality)
            raise UsageError(f"quality applies only to {lossy}; the output is {self.title}")
        if not 1 <= requested <= 100:
            raise UsageError(f"quality {requested} is not between 1 and 100")

    def check_color_space(self, requested: str) -> None:
        """Check that the format supports a colour space.

        Raises:
            UsageError: The format does not support it. The message names the formats that do.
        """
        if self.color_spaces and requested not in self.color_spaces:
            others = ", ".join(row.title for row in FORMATS if not row.color_spaces and not row.is_raw)
            supported = ", ".join(self.color_spaces)
            raise UsageError(f"{self.title} is written in {supported}, not {requested}; use {others}")


FORMATS = (
    OutputFormat("tiff", "TIFF", (".tif", ".tiff"), (16, 8), False, "burstfix.io.write.tiff:write_tiff"),
    OutputFormat("png", "PNG", (".png",), (16, 8), False, "burstfix.io.write.png:write_png"),
    OutputFormat("jpeg", "JPEG", (".jpg", ".jpeg"), (8,), True, "burstfix.io.write.jpeg:write_jpeg"),
    OutputFormat(
        "jxl", "JPEG XL", (".jxl",), (16, 8), True, "burstfix.io.write.jpeg_xl:write_jpeg_xl", ("srgb",)
    ),
    OutputFormat("avif", "AVIF", (".avif",), (8,), True, "burstfix.io.write.avif:write_avif"),
    OutputFormat("dng", "DNG", (".dng",), (16,), False, None),
)

DEFAULT_FORMAT = FORMATS[0]

FORMAT_NAMES = tuple(row.name for row in FORMATS)

BIT_DEPTHS = tuple(sorted({depth for row in FORMATS for depth in row.bit_depths}))

_BY_NAME = {row.name: row for row in FORMATS}
_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}


def format_named(name: str) -> OutputFormat:
    """Return the format for a value of `--format`.

    Raises:
        UsageError: There is no such format.
    """
    if name not in _BY_NAME:
        raise UsageError(f"unknown format {name!r}; use one of {', '.join(FORMAT_NAMES)}")
    return _BY_NAME[name]


def format_of(path: PurePath | str) -> OutputFormat | None:
    """Return the format for the suffix of a file; None if the suffix is not in the table."""
    return _BY_SUFFIX.get(PurePath(path).suffix.lower())


def suffix_list(formats: Iterable[OutputFormat] = FORMATS) -> str:
    """List the default suffixes of formats for a message.

    >>> suffix_list(FORMATS[:3])
    '.tif, .png or .jpg'
    """
    *others, last = (row.suffix for row in formats)
    return f"{', '.join(others)} or {last}" if others else last


def depths_help() -> str:
    """Describe the default bit depths for --help: "16; JPEG 8"."""
    common = DEFAULT_FORMAT.bit_depths[0]
    others = [f"{row.title} {row.bit_depths[0]}" for row in FORMATS if row.bit_depths[0] != common]
    return "; ".join([str(common), *others])


def quality_help() -> str:
    """Name the formats that have a quality, for --help."""
    return ", ".join(row.title for row in FORMATS if row.has_quality)
