"""Build the HTML of a report from the data of a merge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from burstfix.report.frames import exposure_text
from burstfix.report.html.data import ReportData
from burstfix.report.html.diagrams import diagrams
from burstfix.report.html.environment import render_template
from burstfix.report.html.pictures import choose_crops, color_map, data_uri, reduced
from burstfix.report.html.plots import legend

_OVERVIEW_SIDE = 1600
_THUMBNAIL_SIDE = 240
_MAP_SIDE = 640
_MOVED = 3.0  # sensor pixels relative to the camera motion; larger displacements count as motion
_FEW_MISSING = 0.2  # share of the frames that may be unused in areas without motion


def render_page(data: ReportData) -> str:
    """Return the report as one self-contained HTML document."""
    document = data.document
    return render_template(
        "page.html",
        title=PurePath(str(document.get("output", document["reference"]["path"]))).name,
        subtitle=subtitle_of(document),
        facts=_facts(data),
        warnings=document["warnings"],
        views=_views(data),
        frames=_frames(data),
        maps=_maps(data),
        plots=_plots(data),
        settings=_settings(data),
        command=data.command,
    )


def subtitle_of(document: Mapping[str, Any]) -> str:
    """Return camera, lens, exposure, ISO and time of the reference."""
    reference = next(frame for frame in document["frames"] if frame["reference"])
    parts = [
        document["camera"],
        document["lens"],
        exposure_text(reference.get("exposure_seconds")) if reference.get("exposure_seconds") else None,
        f"ISO {reference['iso']:g}" if reference.get("iso") else None,
        (reference.get("time") or "").replace("T", " ")[:19] or None,
    ]
    return " · ".join(part for part in parts if part)


def _facts(data: ReportData) -> list[dict[str, str]]:
    document, facts = data.document, []
    kept = [frame for frame in document["frames"] if frame["kept"]]
    facts.append(
        {
            "value": f"{len(kept)} of {len(document['frames'])}",
            "label": "frames merged" if data.after is not None else "frames to be merged",
        }
    )
    if data.gain is not None and data.gain.decibels is not None:
        facts.append({"value": f"{data.gain.decibels:.1f} dB", "label": "less noise in flat parts"})
        iso = next((frame.get("iso") for frame in kept if frame["reference"]), None)
        if iso:
            equivalent = _two_digits(data.gain.iso_equivalent(iso) or 0)
            facts.append(
                {
                    "value": f"ISO {equivalent:g}",
                    "label": f"equivalent noise, instead of ISO {iso:g}",
                }
            )
    if data.frames_used is not None and len(kept) > 1:
        rejected = float(np.mean(_unused(data.frames_used, len(kept)) > 0.5))
        facts.append(
            {"value": f"{rejected:.0%}", "label": "share of the picture where most frames were rejected"}
        )
    if "seconds" in document:
        facts.append(
            {"value": f"{document['seconds']['total']:.1f} s", "label": "for reading, merging and writing"}
        )
    if document.get("peak_memory_bytes"):
        facts.append({"value": f"{document['peak_memory_bytes'] / 1e9:.2f} GB", "label": "peak memory"})
    return facts


def _two_digits(value: float) -> float:
    if value <= 0:
        return 0.0
    digits = 1 - math.floor(math.log10(value))
    return round(value, digits)


def _views(data: ReportData) -> list[dict[str, Any]]:
    """Return the views of the comparison: the whole picture, then the crops."""
    before = reduced(data.before, _OVERVIEW_SIDE)
    if data.after is None:
        return [{"name": "whole", "before": data_uri(before), "width": before.shape[1]}]
    after = reduced(data.after, _OVERVIEW_SIDE)
    views = [{"name": "whole", "before": data_uri(before), "after": data_uri(after), "width": after.shape[1]}]
    for crop in choose_crops(data.after, _moving(data)):
        views.append(
            {
                "name": crop.reason,
                "before": data_uri(crop.of(data.before), quality=92),
                "after": data_uri(crop.of(data.after), quality=92),
                "width": crop.width,
            }
        )
    return views


def _moving(data: ReportData) -> NDArray[np.floating] | None:
    """Return a map of moving parts: areas with motion where the merge used fewer frames.

    Motion alone is not sufficient, because flat areas may match by chance.
    """
    if data.motion is None or data.frames_used is None:
        return data.motion
    count = sum(frame["kept"] for frame in data.document["frames"])
    missing = np.clip(_unused(data.frames_used, count) - _FEW_MISSING, 0, None)
    return np.where(data.motion >= _MOVED, data.motion * np.nan_to_num(missing), 0)


def _unused(frames_used: NDArray[np.float32], count: int) -> NDArray[np.floating]:
    """Return for each cell the share, 0 to 1, of unused frames, not counting the reference."""
    return (count - frames_used) / max(1, count - 1)


def frame_notes(frame: Mapping[str, Any]) -> list[str]:
    """Return the measurements of a frame as short texts."""
    notes = []
    if frame.get("sharpness") is not None:
        notes.append(f"sharpness {frame['sharpness']:.2f}")
    motion = frame.get("motion")
    if motion and not frame["reference"]:
        notes.append(f"moved {motion['dy']:+.1f}, {motion['dx']:+.1f} px")
        notes.append(f"rotated {motion['degrees']:+.2f}°")
    return notes


def _frames(data: ReportData) -> list[dict[str, Any]]:
    thumbnails = iter(data.thumbnails)
    frames = []
    for frame in data.document["frames"]:
        thumbnail = next(thumbnails, None) if frame["kept"] else None
        frames.append(
            {
                "name": PurePath(frame["path"].replace("\\", "/")).name,
                "reference": frame["reference"],
                "kept": frame["kept"],
                "reason": frame["reason"],
                "notes": frame_notes(frame),
                "thumbnail": None
                if thumbnail is None
                else data_uri(reduced(thumbnail, _THUMBNAIL_SIDE), quality=80),
            }
        )
    return frames


def _maps(data: ReportData) -> list[dict[str, Any]]:
    maps = []
    if data.frames_used is not None:
        count = sum(frame["kept"] for frame in data.document["frames"])
        maps.append(
            _map(
                "Frames used",
                data.frames_used,
                (1, max(2, count)),
                "Number of frames that contributed to each place, weighted. It is low where something moved.",
                lambda value: f"{value:g}",
            )
        )
    if data.motion is not None:
        high = max(4.0, float(np.nanquantile(data.motion, 0.995)))
        maps.append(
            _map(
                "Motion in the scene",
                data.motion,
                (0, high),
                "Largest displacement found, in addition to the motion of the camera.",
                lambda value: f"{value:.0f} px",
            )
        )
    if data.gain is not None and np.isfinite(data.gain.left).any():
        maps.append(
            _map(
                "Remaining noise",
                data.gain.left,
                (0, 1),
                "Noise of the merge as a share of the noise of one frame. Parts that are not flat are grey.",
                lambda value: f"{value:.0%}",
            )
        )
    return maps


def _map(
    title: str,
    values: NDArray[np.floating],
    span: tuple[float, float],
    caption: str,
    text: Callable[[float], str],
) -> dict[str, Any]:
    colored = color_map(values, *span)
    factor = max(1, _MAP_SIDE // max(colored.shape[:2]))
    picture = colored.repeat(factor, 0).repeat(factor, 1)
    return {
        "title": title,
        "picture": data_uri(reduced(picture, 2 * _MAP_SIDE), lossless=True),
        "low": text(span[0]),
        "high": text(span[1]),
        "caption": caption,
    }


def _plots(data: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "svg": diagram.plot.svg(),
            "legend": legend(tuple(diagram.legend.items())),
            "caption": diagram.caption,
        }
        for diagram in diagrams(data)
    ]


def _settings(data: ReportData) -> list[tuple[str, str | Markup]]:
    document = data.document
    rows: list[tuple[str, str | Markup]] = []
    for name in ("output", "model", "format", "bit_depth"):
        if document.get(name) is not None:
            rows.append((name.replace("_", " "), str(document[name])))
    for fate in ("applied", "skipped"):
        if document["opcodes"][fate]:
            rows.append((f"corrections {fate}", ", ".join(document["opcodes"][fate])))
    rows.append(("hot pixels repaired", str(document["hot_pixels"])))
    for name, seconds in document.get("seconds", {}).items():
        rows.append((f"seconds: {name}", f"{seconds:.2f}"))
    render = document.get("settings", {}).get("render", {})
    rows += [(_row_name(name), _plain(value)) for name, value in render.items()]
    return [*rows, ("versions", ", ".join(f"{name} {version}" for name, version in data.versions.items()))]


def _row_name(name: str) -> str:
    return name.replace("_ev", " (EV)").replace("_", " ")


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
