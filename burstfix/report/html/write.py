"""Write a report, with the command that repeats the merge."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burstfix.atomic import atomic_path
from burstfix.report.html.collect import collect
from burstfix.report.html.page import render_page
from burstfix.report.html.sheet import draw_sheet
from burstfix.settings import MergeSettings, settings_of
from burstfix.types import Burst, LinearImage, RenderedImage


def write_report(
    path: Path,
    burst: Burst,
    document: Mapping[str, Any],
    settings: MergeSettings,
    linear: LinearImage | None = None,
    picture: RenderedImage | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a report: an HTML page, or a sheet of frames and plots if the suffix is .png.

    Args:
        path: Output file.
        burst: The frames.
        document: The JSON document of `merge` or `inspect`.
        settings: Settings of the merge.
        linear: The merged picture, (3, H, W); None without a merge.
        picture: Rendered output picture; None if there is none.
        overwrite: Replace an existing file.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    command = ""
    if linear is not None:
        reference = burst.frames[burst.reference].metadata.path
        files = [frame.metadata.path for frame in burst.frames]
        command = merge_command(files, reference, str(document["output"]), settings)
    data = collect(burst, document, settings, linear, picture, command)
    with atomic_path(path, overwrite) as temporary:
        if path.suffix.lower() == ".png":
            draw_sheet(data).save(temporary, "PNG")
        else:
            temporary.write_text(render_page(data), encoding="utf-8")


def merge_command(files: Sequence[Path], reference: Path, output: str, settings: MergeSettings) -> str:
    """Return the command line that repeats a merge, quoted for a POSIX shell.

    It contains the files, the reference, and every setting that differs from its default.
    """
    words = ["burstfix", "merge", *map(str, files), "--reference", str(reference), "-o", output]
    for name, one in settings_of(MergeSettings).items():
        value = getattr(settings, name)
        if value == one.default:
            continue
        words.append(f"--{one.flag}")
        if not one.kind.is_flag:
            words.append(",".join(f"{x:g}" for x in value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)
