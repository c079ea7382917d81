"""Describe a burst as a JSON document and as the table of `inspect`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from burstfix.types import Burst, FrameMetadata, GlobalMotion, Levels, NoiseProfile, camera_name

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

NOISE_SOURCES = {
    "given": "given with --noise",
    "file": "from the files' NoiseProfile",
    "table": "from a table of noise profiles",
    "burst": "estimated from the burst",
    "frame": "estimated from one frame",
}


def burst_document(burst: Burst, dropped: Mapping[Path, FrameMetadata] | None = None) -> dict[str, Any]:
    """Describe a burst in JSON values.

    Args:
        burst: The burst.
        dropped: Metadata of the readable dropped frames.

    Returns:
        The fields of `records.BurstDocument`. Frames are in time order, with unreadable frames at the end.
        Frames are numbered from 1; shifts are in sensor pixels, rotations in degrees.
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
                **(_metadata(metadata) if metadata else {"path": str(left_out.path.absolute())}),
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
        "reference": {"number": free[burst.reference] + 1, "path": str(reference.path.absolute())},
        "noise": noise_document(burst.noise),
        "hot_pixels": len(burst.hot_pixels),
        "opcodes": burst.frames[burst.reference].plan.summary(),
        "frames": frames,
        "warnings": list(burst.warnings),
    }


def noise_document(noise: NoiseProfile) -> dict[str, Any]:
    """Describe noise in JSON values, in normalised units, for the planes R, Gr, Gb, B."""
    return {
        "source": noise.source,
        "shot_gain": list(noise.shot_gain),
        "read_variance": list(noise.read_variance),
    }


def burst_tables(document: Mapping[str, Any]) -> RenderableType:
    """Format the document of `burst_document`: a table of frames, followed by lines about the burst.

    Args:
        document: The document, with control characters escaped.

    Returns:
        A rich renderable. On a narrow terminal, less important columns are left out.
    """
    from rich.console import Group
    from rich.text import Text

    from burstfix.report.columns import Column, FittedTable

    frames = document["frames"]
    exposures = list(zip(*map(_exposure_cells, frames), strict=True))
    analysis = list(zip(*map(_analysis_cells, frames), strict=True))
    columns = [
        Column("#", [str(frame["number"] or "-") for frame in frames], justify="right"),
        Column("frame", [_name(frame["path"]) for frame in frames], shrinks=True),
        Column("time", exposures[0], priority=1),
        Column("exposure", exposures[1], priority=2, justify="right"),
        Column("ISO", exposures[2], priority=3, justify="right"),
        Column("size", exposures[3], priority=4, justify="right"),
        Column("CFA", exposures[4], priority=6),
        Column("black..white", exposures[5], priority=5),
        Column("sharp", analysis[0], justify="right"),
        Column("shift y, x", analysis[1], justify="right"),
        Column("rotation", analysis[2], justify="right"),
        Column("", [_state(frame) for frame in frames], wraps=True),
    ]
    styles = ["bold" if frame["reference"] else "" if frame["kept"] else "dim" for frame in frames]
    return Group(FittedTable(columns, styles), Text(""), Text(_facts(document)))


def _name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _state(frame: Mapping[str, Any]) -> str:
    if frame["reference"]:
        return "reference"
    return "kept" if frame["kept"] else f"dropped: {frame['reason']}"


def _facts(document: Mapping[str, Any]) -> str:
    kept = sum(frame["kept"] for frame in document["frames"])
    reference = document["reference"]
    facts = {
        "camera": ", ".join(filter(None, (document["camera"], document["lens"]))),
        "frames": f"{kept} of {len(document['frames'])} kept",
        "reference": f"{reference['number']}, {_name(reference['path'])}",
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
        "path": str(metadata.path.absolute()),
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
    """Return the distinct mean black levels, including row and column deltas, in ascending order."""
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
    """Format a number with its sign, but never as -0.0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def exposure_text(seconds: float | None) -> str:
    """Format an exposure time as "1/60 s" or "2.5 s"; "-" if unknown."""
    if not seconds:
        return "-"
    return f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"
