"""Write the report of a merge, with the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burstfix.atomic import atomic_path
from burstfix.report.html.collect import collect, collect_inspection
from burstfix.report.html.page import render_page
from burstfix.settings import MergeSettings, settings_of
from burstfix.types import Burst, LinearImage


def write_report(
    path: Path,
    burst: Burst,
    linear: LinearImage,
    document: Mapping[str, Any],
    settings: MergeSettings,
    *,
    overwrite: bool = False,
) -> None:
    """Write the report of a merge as one HTML file.

    Args:
        path: Output file.
        burst: The frames that were merged.
        linear: The merged picture, (3, H, W).
        document: The JSON document of the merge.
        settings: The settings of the merge.
        overwrite: Replace an existing file.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    reference = burst.frames[burst.reference].metadata.path
    files = [frame.metadata.path for frame in burst.frames]
    command = merge_command(files, reference, str(document["output"]), settings)
    page = render_page(collect(burst, linear, document, settings, command))
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")


def write_inspection(
    path: Path,
    burst: Burst,
    document: Mapping[str, Any],
    settings: MergeSettings,
    *,
    overwrite: bool = False,
) -> None:
    """Write the results of `inspect` as one HTML file: frames, camera motion, noise, the reference.

    Args:
        path: Output file.
        burst: The frames.
        document: The JSON document of `inspect`.
        settings: Settings with the rendering of the pictures.
        overwrite: Replace an existing file.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    page = render_page(collect_inspection(burst, document, settings))
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")


def merge_command(files: Sequence[Path], reference: Path, output: str, settings: MergeSettings) -> str:
    """Return the command line that repeats a merge, quoted for a POSIX shell.

    It names the files and the reference that were used, and every setting that differs from its default.
    """
    words = ["burstfix", "merge", *map(str, files), "--reference", str(reference), "-o", output]
    for name, one in settings_of(settings).items():
        value = getattr(settings, name)
        if value == one.default:
            continue
        words.append(f"--{one.flag}")
        if not one.kind.is_flag:
            words.append(",".join(f"{x:g}" for x in value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)
