"""Names of the pictures of a batch, from a pattern. No two bursts get the same name."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from burstfix.errors import UsageError
from burstfix.io.write.formats import DEFAULT_FORMAT, format_named, format_of
from burstfix.names import NAME_LIMIT, fit_name

if TYPE_CHECKING:
    from burstfix.batch.plan import FoundBurst

DEFAULT_LAYOUT = "{folder}/{first}-{last}"

FIELDS = {
    "folder": "folder of the frames, relative to the searched folder",
    "first": "name of the first frame without its suffix",
    "last": "name of the last frame without its suffix",
    "count": "number of frames",
    "camera": "make and model of the camera",
    "model": "model that merges: kpn, average ...",
    "type": "suffix of the raws: dng, arw ...",
    "date": "capture date of the first frame, 2024-05-31, or undated",
    "time": "capture time of the first frame, 23-59-58, or undated",
}

RESERVED = (
    *("burstfix.sqlite", "burstfix.log", "summary.csv", "summary.jpg"),
    *("report.html", "preview.html"),
)
"""Files that a batch writes at the top of the output folder."""

REPORT_FOLDER = "report"
"""Subfolder of the output folder for the pages of a report."""


def check_layout(layout: str, format: str | None) -> str:
    """Validate a layout and add the suffix of its format.

    Args:
        layout: A pattern such as "{folder}/{first}-{last}_{model}.tif".
        format: Name of an output format. None = from the suffix of the layout; TIFF if it has no suffix.

    Raises:
        UsageError: A field is unknown, the path leaves the output folder, or the suffix contradicts
            `format`.
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(layout) if name is not None]
    except ValueError as error:
        raise UsageError(f"layout {layout!r}: {error}") from error
    for name in fields:
        if name not in FIELDS:
            raise UsageError(f"layout {layout!r}: unknown field {{{name}}}; use {', '.join(FIELDS)}")
    if not {"first", "last"} & set(fields):
        raise UsageError(
            f"layout {layout!r}: contains neither {{first}} nor {{last}}; add one of them, so that names are "
            "distinct"
        )
    try:
        layout.format(**(dict.fromkeys(FIELDS, "x") | {"count": 1}))
    except (ValueError, TypeError) as error:
        raise UsageError(f"layout {layout!r}: {error}") from error
    path = PurePosixPath(layout)
    if path.is_absolute() or ".." in path.parts or "\\" in layout:
        raise UsageError(f"layout {layout!r}: expected a relative path without .. and \\")
    # Fields and names may contain dots, so only known suffixes are recognised.
    by_suffix = format_of(path)
    if by_suffix is None:
        return layout + (format_named(format) if format else DEFAULT_FORMAT).suffix
    if format is not None and format != by_suffix.name:
        raise UsageError(
            f"layout {layout!r}: the suffix means {by_suffix.name}, but the format is {format}; "
            "leave out one of them"
        )
    return layout


def page_of(output: str) -> str:
    """Return the path of a burst's page, relative to the output folder.

    Args:
        output: Path of the picture, relative to the output folder.
    """
    picture = PurePosixPath(output)
    return str(PurePosixPath(REPORT_FOLDER) / picture.parent / fit_name(f"{picture.name}.html"))


def assign_outputs(
    bursts: Sequence[FoundBurst],
    layout: str,
    *,
    model: str,
    settled: Mapping[str, str] | None = None,
    taken: Mapping[str, str] | None = None,
    limit: int = NAME_LIMIT,
) -> dict[str, str]:
    """Name the pictures of bursts. All names are distinct on every file system.

    If a name is taken, the type of the raws is added ("IMG_1-IMG_5_arw.tif"), then a number
    ("IMG_1-IMG_5-2.tif").

    Args:
        bursts: Bursts to merge, in order.
        layout: From `check_layout`.
        model: Name of the model that merges.
        settled: Mapping from the key of a burst to its existing name, which it keeps.
        taken: Mapping from the name of each existing picture to the key of its burst. No other burst gets
            this name.
        limit: Maximum length of a file name in bytes; longer names are shortened.

    Returns:
        Mapping from the key of a burst to its path in the output folder, with "/".
    """
    settled = settled or {}
    outputs: dict[str, str] = {}
    used = dict.fromkeys(RESERVED, "") | {_folded(name): key for name, key in (taken or {}).items()}
    for burst in bursts:
        if burst.key in settled:
            outputs[burst.key] = settled[burst.key]
            used[_folded(settled[burst.key])] = burst.key
    for burst in bursts:
        if burst.key in outputs:
            continue
        for name in _candidates(_fill(layout, burst, model), burst, limit):
            if used.setdefault(_folded(name), burst.key) == burst.key:
                outputs[burst.key] = name
                break
    return outputs


def _candidates(wanted: PurePosixPath, burst: FoundBurst, limit: int) -> Iterator[str]:
    *folders, _ = wanted.parts

    def fitted(addition: str) -> str:
        name = f"{wanted.stem}{addition}{wanted.suffix}"
        return "/".join(fit_name(part, limit) for part in (*folders, name))

    yield fitted("")
    yield fitted(f"_{_raw_type(burst)}")
    number = 2
    while True:
        yield fitted(f"-{number}")
        number += 1


def _folded(name: str) -> str:
    """Map names that a file system may treat as equal to the same text."""
    return unicodedata.normalize("NFC", name).casefold()


def _fill(layout: str, burst: FoundBurst, model: str) -> PurePosixPath:
    first, last = burst.paths[0].stem, burst.paths[-1].stem
    if len(burst.paths) == 1:
        # A single frame is not a range.
        layout = re.sub(r"\{first\}[-_ ]*\{last\}", "{first}", layout)
    values = {
        "folder": burst.folder.as_posix(),
        "first": _safe(first),
        "last": _safe(last),
        "count": len(burst.paths),
        "camera": _safe(burst.camera),
        "model": _safe(Path(model).stem if model.endswith(".safetensors") else model),
        "type": _raw_type(burst),
        "date": burst.time.strftime("%Y-%m-%d") if burst.time else "undated",
        "time": burst.time.strftime("%H-%M-%S") if burst.time else "undated",
    }
    parts = PurePosixPath(layout.format(**values)).parts
    return PurePosixPath("/".join(part for part in parts if part not in (".", "/")) or "picture")


def _raw_type(burst: FoundBurst) -> str:
    return burst.paths[0].suffix.lower().lstrip(".")


def _safe(text: str) -> str:
    """Replace separators and control characters, so that every file system accepts the name."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]+', "_", text).strip(" .") or "_"
