"""What `inspect` shows: a burst as one JSON document, and that document as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from burstfix.names import printable_document
from burstfix.types import Burst, FrameMetadata, GlobalMotion, Levels, NoiseProfile, camera_name

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

NOISE_SOURCES = {
    "given": "given with --noise",
    "file": "the files' NoiseProfile",
    "table": "from a table of noise profiles",
    "burst": "estimated from the burst",
    "frame": "estimated from one frame",
}


def burst_document(burst: Burst, dropped: Mapping[Path, FrameMetadata] | None = None) -> dict[str, Any]:
    """Everything known about a burst, as values that JSON can hold.

    Args:
        burst: The burst.
        dropped: Metadata of dropped frames, as far as their files could be read.

    Returns:
        "camera", "reference" (path and number), "noise", "hot_pixels", "opcodes", "frames" (in time order,
        those that could not be used at the end), "warnings". Numbers count from 1, as --reference takes them;
        shifts are in sensor pixels, rotations in degrees.
    """
    taken = {left_out.index for left_out in burst.dropped if left_out.index is not None}
    free = [index for index in range(len(burst.frames) + len(taken)) if index not in taken]
    frames = []
    for index, frame in enumerate(burst.frames):
        motion = burst.motions[index]
        frames.append(
            {
                "number": free[index] + 1,
                **_metadata(frame.metadata),
                "sharpness": _finite(burst.sharpness[index]),
                "motion": _motion(motion),
                "reference": index == burst.reference,
                "kept": True,
                "reason": None,
            }
        )
    for left_out in burst.dropped:
        metadata = (dropped or {}).get(left_out.path)
        frames.append(
            {
                "number": None if left_out.index is None else left_out.index + 1,
                **(_metadata(metadata) if metadata else {"path": str(left_out.path)}),
                "reference": False,
                "kept": False,
                "reason": left_out.reason,
            }
        )
    frames.sort(key=lambda frame: (frame["number"] is None, frame["number"] or 0))
    reference = burst.frames[burst.reference].metadata
    return {
        "camera": camera_name(reference.make, reference.model),
        "lens": reference.lens or None,
        "reference": {"number": free[burst.reference] + 1, "path": str(reference.path)},
        "noise": noise_document(burst.noise),
        "hot_pixels": len(burst.hot_pixels),
        "opcodes": burst.frames[burst.reference].plan.summary(),
        "frames": frames,
        "warnings": list(burst.warnings),
    }


def noise_document(noise: NoiseProfile) -> dict[str, Any]:
    """Noise as JSON: four values each, for R, G on red rows, G on blue rows, B, in normalised units."""
    return {
        "source": noise.source,
        "shot_gain": list(noise.shot_gain),
        "read_variance": list(noise.read_variance),
    }


def burst_tables(document: Mapping[str, Any]) -> RenderableType:
    """The document of `burst_document` for people: a table of frames, and the facts under it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    document = printable_document(document)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title, justify in (
        ("#", "right"), ("frame", "left"), ("time", "left"), ("exposure", "right"), ("ISO", "right"),
        ("size", "right"), ("CFA", "left"), ("black..white", "left"), ("sharp", "right"),
        ("shift y, x", "right"), ("turn", "right"), ("noise S, O", "left"), ("", "left"),
    ):  # fmt: skip
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    noise = _noise_pair(document["noise"])
    for frame in document["frames"]:
        table.add_row(
            str(frame["number"] or "-"),
            Text(frame["path"].replace("\\", "/").rsplit("/", 1)[-1]),
            *_exposure_cells(frame),
            *_analysis_cells(frame),
            noise if frame["kept"] else "-",
            "reference" if frame["reference"] else "kept" if frame["kept"] else f"dropped: {frame['reason']}",
            style="bold" if frame["reference"] else "" if frame["kept"] else "dim",
        )
    return Group(table, Text(""), Text(_facts(document)))


def _facts(document: Mapping[str, Any]) -> str:
    kept = sum(frame["kept"] for frame in document["frames"])
    reference = document["reference"]
    facts = {
        "camera": ", ".join(filter(None, (document["camera"], document["lens"]))),
        "frames": f"{kept} of {len(document['frames'])} kept",
        "reference": f"{reference['number']}, {reference['path']}",
        "noise": f"{_noise_pair(document['noise'])} ({NOISE_SOURCES[document['noise']['source']]})",
        "hot pixels": str(document["hot_pixels"]),
    }
    for fate in ("applied", "skipped"):
        if document["opcodes"][fate]:
            facts[fate] = ", ".join(document["opcodes"][fate])
    lines = [f"{name:<11}{value}" for name, value in facts.items()]
    return "\n".join(lines + [f"{'warning':<11}{warning}" for warning in document["warnings"]])


def _metadata(metadata: FrameMetadata) -> dict[str, Any]:
    return {
        "path": str(metadata.path),
        "time": metadata.time.isoformat() if metadata.time else None,
        "exposure_seconds": metadata.exposure_time,
        "iso": metadata.iso,
        "aperture": metadata.aperture,
        "focal_length_mm": metadata.focal_length,
        "height": metadata.height,
        "width": metadata.width,
        "cfa": metadata.cfa,
        "black": _black(metadata.levels),
        "white": float(metadata.levels.white),
        "file_noise": noise_document(metadata.noise) if metadata.noise else None,
    }


def _black(levels: Levels) -> list[float]:
    """Distinct mean black levels of the pattern, smallest first, with row and column deltas averaged in."""
    extra = sum(float(np.mean(d)) for d in (levels.black_rows, levels.black_cols) if d is not None)
    return [round(float(value) + extra, 4) for value in np.unique(levels.black)]


def _motion(motion: GlobalMotion) -> dict[str, float]:
    return {
        "dy": round(float(motion.dy), 3),
        "dx": round(float(motion.dx), 3),
        "degrees": round(math.degrees(motion.angle), 4),
        "confidence": round(float(motion.confidence), 4),
    }


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _noise_pair(noise: Mapping[str, Any]) -> str:
    return f"{np.mean(noise['shot_gain']):.2e}, {np.mean(noise['read_variance']):.2e}"


def _exposure_cells(frame: Mapping[str, Any]) -> list[str]:
    if "time" not in frame:
        return ["-"] * 6
    time = frame["time"].split("T")[-1][:12] if frame["time"] else "-"
    black = "/".join(f"{value:g}" for value in frame["black"])
    return [
        time,
        exposure_text(frame["exposure_seconds"]),
        f"{frame['iso']:g}" if frame["iso"] else "-",
        f"{frame['width']}x{frame['height']}",
        frame["cfa"],
        f"{black}..{frame['white']:g}",
    ]


def _analysis_cells(frame: Mapping[str, Any]) -> list[str]:
    if "motion" not in frame:
        return ["-"] * 3
    motion, sharpness = frame["motion"], frame["sharpness"]
    return [
        "-" if sharpness is None else f"{sharpness:.2f}",
        f"{_signed(motion['dy'], 1)}, {_signed(motion['dx'], 1)}",
        f"{_signed(motion['degrees'], 2)}°",
    ]


def _signed(value: float, digits: int) -> str:
    """With its sign, but never -0.0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def exposure_text(seconds: float | None) -> str:
    """1/60 s, 2.5 s; "-" if unknown."""
    if not seconds:
        return "-"
    return f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"
