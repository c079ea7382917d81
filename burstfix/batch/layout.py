"""Where each burst's picture goes: patterns for names, and what happens when two would be the same."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from burstfix.batch.plan import FoundBurst
from burstfix.errors import UsageError
from burstfix.io.write.formats import DEFAULT_FORMAT, format_named, format_of

DEFAULT_LAYOUT = "{folder}/{first}-{last}"

FIELDS = {
    "folder": "the frames' folder, as seen from the folder given",
    "first": "the first frame's name without its suffix",
    "last": "the last frame's",
    "count": "how many frames",
    "camera": "make and model of the camera",
    "model": "what merges: kpn, average ...",
    "type": "the raws' suffix: dng, arw ...",
    "date": "capture date of the first frame, 2024-05-31, or undated",
    "time": "capture time of the first frame, 23-59-58, or undated",
}

# What batch itself writes at the top of the output folder.
RESERVED = ("burstfix.sqlite", "burstfix.log", "summary.csv", "summary.jpg")


def check_layout(layout: str, format: str | None) -> str:
    """The layout with the suffix that its pictures get.

    Args:
        layout: A pattern such as "{folder}/{first}-{last}_{model}.tif".
        format: Name of an output format, or None: by the layout's suffix, else TIFF.

    Raises:
        UsageError: Unknown field, a path that leaves the output folder, a suffix that contradicts `format`.
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(layout) if name is not None]
    except ValueError as error:
        raise UsageError(f"layout {layout!r}: {error}") from error
    for name in fields:
        if name not in FIELDS:
            raise UsageError(f"layout {layout!r}: unknown field {{{name}}}; use {', '.join(FIELDS)}")
    if not {"first", "last"} & set(fields):
        raise UsageError(f"layout {layout!r}: needs {{first}} or {{last}}, or many bursts would share a name")
    try:
        layout.format(**(dict.fromkeys(FIELDS, "x") | {"count": 1}))
    except (ValueError, TypeError) as error:
        raise UsageError(f"layout {layout!r}: {error}") from error
    path = PurePosixPath(layout)
    if path.is_absolute() or ".." in path.parts or "\\" in layout:
        raise UsageError(f"layout {layout!r}: names a place outside the output folder")
    # A dot may also stand within a field's braces or a name; only known suffixes count.
    by_suffix = format_of(path)
    if by_suffix is None:
        return layout + (format_named(format) if format else DEFAULT_FORMAT).suffix
    if format is not None and format != by_suffix.name:
        raise UsageError(f"layout {layout!r}: the name says {by_suffix.name}, the format says {format}")
    return layout


def assign_outputs(
    bursts: Sequence[FoundBurst],
    layout: str,
    *,
    model: str,
    settled: Mapping[str, str] | None = None,
    taken: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Names for the pictures of bursts, no two alike on any file system.

    A name that is taken gets the raws' type ("IMG_1-IMG_5_arw.tif"), then a number ("IMG_1-IMG_5-2.tif").

    Args:
        bursts: What is merged, in order.
        layout: From `check_layout`.
        model: Name of what merges.
        settled: Name of each burst (key) that has one already: it keeps it.
        taken: Names of pictures that are there, and of each the burst (key) that has or had it: no other
            gets it.

    Returns:
        For each burst, by key, the path in the output folder, with "/".
    """
    settled = settled or {}
    given: dict[str, str] = {}
    used = dict.fromkeys(RESERVED, "") | {_folded(name): key for name, key in (taken or {}).items()}
    for burst in bursts:
        if burst.key in settled:
            given[burst.key] = settled[burst.key]
            used[_folded(settled[burst.key])] = burst.key
    for burst in bursts:
        if burst.key in given:
            continue
        wanted = PurePosixPath(_fill(layout, burst, model))
        for name in _candidates(wanted, burst):
            if used.setdefault(_folded(name), burst.key) == burst.key:
                given[burst.key] = name
                break
    return given


def _candidates(wanted: PurePosixPath, burst: FoundBurst) -> Iterator[str]:
    yield wanted.as_posix()
    kind = burst.paths[0].suffix.lower().lstrip(".")
    yield wanted.with_name(f"{wanted.stem}_{kind}{wanted.suffix}").as_posix()
    number = 2
    while True:
        yield wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}").as_posix()
        number += 1


def _folded(name: str) -> str:
    """Alike for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _fill(layout: str, burst: FoundBurst, model: str) -> str:
    first, last = burst.paths[0].stem, burst.paths[-1].stem
    if len(burst.paths) == 1:
        # A single frame is no range.
        layout = re.sub(r"\{first\}[-_ ]*\{last\}", "{first}", layout)
    values = {
        "folder": burst.folder.as_posix(),
        "first": _plain(first),
        "last": _plain(last),
        "count": len(burst.paths),
        "camera": _plain(burst.camera),
        "model": _plain(Path(model).stem if model.endswith(".safetensors") else model),
        "type": burst.paths[0].suffix.lower().lstrip("."),
        "date": burst.time.strftime("%Y-%m-%d") if burst.time else "undated",
        "time": burst.time.strftime("%H-%M-%S") if burst.time else "undated",
    }
    parts = PurePosixPath(layout.format(**values)).parts
    return "/".join(part for part in parts if part not in (".", "/")) or "picture"


def _plain(text: str) -> str:
    """A name that every file system takes: without separators and control characters."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]+', "_", text).strip(" .") or "_"
