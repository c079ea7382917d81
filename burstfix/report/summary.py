"""The closing line of `merge`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burstfix.names import printable_document
from burstfix.report.frames import NOISE_SOURCES


def closing_line(document: Mapping[str, Any]) -> str:
    """Return one line with output, frames, reference, noise source, model, megapixels and seconds.

    Args:
        document: The document of `merge --json`.
    """
    document = printable_document(document)
    kept = sum(frame["kept"] for frame in document["frames"])
    reference = Path(document["reference"]["path"]).name
    output = shown_path(document["output"])
    return (
        f"{output}: {kept} of {len(document['frames'])} frames, reference {reference}, "
        f"noise {NOISE_SOURCES[document['noise']['source']]}, model {document['model']}, "
        f"{document['megapixels']:.1f} MP in {document['seconds']['total']:.1f} s"
    )


def shown_path(path: str) -> str:
    """Shorten an absolute path in the working folder to a relative one."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
