"""Build the HTML of a report from the data of a merge."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from burstfix.analysis.noise_gain import NoiseGain
from burstfix.names import printable
from burstfix.report.frames import exposure_text
from burstfix.report.html.pictures import choose_crops, color_map, data_uri, luminance_of, reduced
from burstfix.report.html.plots import histogram_plot, legend, noise_plot, path_plot

_OVERVIEW_SIDE = 1600
_THUMBNAIL_SIDE = 240
_MAP_SIDE = 640
_BINS = 64
_MOVED = 3.0  # sensor pixels beyond the movement of the camera that count as motion
_FEW_MISSING = 0.2  # share of the frames that may be unused where nothing moves


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """Data of a report.

    Attributes:
        document: The JSON document of the merge (`burst_document` and the facts that `merge` adds).
        before: The reference alone, uint8 (H, W, 3) sRGB.
        after: The merge with the same look, uint8 (H, W, 3) sRGB; None without a merge.
        thumbnails: Each kept frame in time order, uint8 (h, w, 3).
        gain: Noise before and after; None without a merge.
        motion: Map of the largest motion in addition to the camera motion, in sensor pixels, float32 (h, w);
            None if unknown.
        frames_used: Map of the effective number of frames, float32 (h, w); None if unknown.
        noise_points: Signals and variances from which the noise was measured; None if it was not measured.
        command: Command line that repeats the merge; "" if unknown.
    """

    document: Mapping[str, Any]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8] | None
    thumbnails: Sequence[NDArray[np.uint8]]
    gain: NoiseGain | None
    motion: NDArray[np.float32] | None = None
    frames_used: NDArray[np.float32] | None = None
    noise_points: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    command: str = ""
    memory_bytes: int | None = None
    extra_settings: Sequence[tuple[str, str]] = field(default_factory=tuple)


def render_page(data: ReportData) -> str:
    """Return the report as one self-contained HTML document.

    All text from files and arguments is escaped by the template engine.
    """
    source = importlib.resources.files("burstfix.report.html").joinpath("template.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown)
    template = environment.from_string(source)
    document = data.document
    return template.render(
        title=PurePath(str(document.get("output", document["reference"]["path"]))).name,
        subtitle=_subtitle(document),
        facts=_facts(data),
        warnings=document["warnings"],
        views=_views(data),
        frames=_frames(data),
        maps=_maps(data),
        plots=_plots(data),
        settings=_settings(data),
        command=data.command,
    )


def _shown(value: Any) -> Any:
    """Make control and bidirectional characters of plain text visible; markup and data URIs are our own."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.startswith("data:image/"):
        return printable(value)
    return value


def _subtitle(document: Mapping[str, Any]) -> str:
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
        alone = float(np.mean(data.frames_used < 1.5))
        facts.append({"value": f"{alone:.0%}", "label": "of the picture from one frame only"})
    if "seconds" in document:
        facts.append(
            {"value": f"{document['seconds']['total']:.1f} s", "label": "for reading, merging and writing"}
        )
    if data.memory_bytes:
        facts.append({"value": f"{data.memory_bytes / 1e9:.2f} GB", "label": "peak memory"})
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
    """Return a map of moving parts: places with motion where the merge used fewer frames.

    Motion alone is not enough, because flat areas can match by chance.
    """
    if data.motion is None or data.frames_used is None:
        return data.motion
    count = max(2, sum(frame["kept"] for frame in data.document["frames"]))
    missing = np.clip((count - data.frames_used) / (count - 1) - _FEW_MISSING, 0, None)
    return np.where(data.motion >= _MOVED, data.motion * np.nan_to_num(missing), 0)


def _frames(data: ReportData) -> list[dict[str, Any]]:
    thumbnails = iter(data.thumbnails)
    frames = []
    for frame in data.document["frames"]:
        notes = []
        if frame.get("sharpness") is not None:
            notes.append(f"sharpness {frame['sharpness']:.2f}")
        if frame.get("motion") and not frame["reference"]:
            motion = frame["motion"]
            notes.append(
                f"moved {motion['dy']:+.1f}, {motion['dx']:+.1f} px, turned {motion['degrees']:+.2f}°"
            )
        thumbnail = next(thumbnails, None) if frame["kept"] else None
        frames.append(
            {
                "name": PurePath(frame["path"].replace("\\", "/")).name,
                "reference": frame["reference"],
                "kept": frame["kept"],
                "reason": frame["reason"],
                "notes": notes,
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
                "Frames that each place was merged from, by their weights. Few where something moved.",
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
                "The largest displacement found beyond the camera's own movement.",
                lambda value: f"{value:.0f} px",
            )
        )
    if data.gain is not None and np.isfinite(data.gain.left).any():
        maps.append(
            _map(
                "Noise that is left",
                data.gain.left,
                (0, 1),
                "Noise of the merge as a share of one frame's, in flat parts; grey where there is detail.",
                lambda value: f"{value:.0%}",
            )
        )
    return maps


def _map(
    title: str, values: NDArray[np.float32], span: tuple[float, float], caption: str, text: Any
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
    document = data.document
    reference = next(frame for frame in document["frames"] if frame["reference"])
    used = _mean_noise(document["noise"])
    assert used is not None
    file = _mean_noise(reference.get("file_noise"))
    names = [("first", f"used: {document['noise']['source']}")]
    if file is not None:
        names.append(("second", "the file's NoiseProfile"))
    plots = [
        {
            "svg": noise_plot(data.noise_points, used, file),
            "legend": legend(names),
            "caption": "Variance of the noise against the signal. Dots are measurements in this burst.",
        }
    ]
    kept = [frame for frame in document["frames"] if frame["kept"]]
    if len(kept) > 1:
        shifts = [(frame["motion"]["dy"], frame["motion"]["dx"]) for frame in kept]
        labels = [str(frame["number"]) for frame in kept]
        index = next(i for i, frame in enumerate(kept) if frame["reference"])
        plots.append(
            {
                "svg": path_plot(shifts, labels, index),
                "legend": legend(
                    [("first", "reference"), ("second", "other frames, numbered in time order")]
                ),
                "caption": "Shift of each frame against the reference, in sensor pixels.",
            }
        )
    if data.after is None:
        return plots
    before, after = _histogram(data.before), _histogram(data.after)
    clipped = [float(np.mean((p >= 255).any(-1))) for p in (data.before, data.after)]
    plots.append(
        {
            "svg": histogram_plot(before, after),
            "legend": legend([("second", "one frame"), ("first", "merged")]),
            "caption": f"Display brightness. Clipped: {clipped[0]:.2%} before, {clipped[1]:.2%} after.",
        }
    )
    return plots


def _histogram(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts, _ = np.histogram(luminance_of(picture[::2, ::2]), _BINS, (0, 256))
    return counts / max(1, counts.sum())


def _mean_noise(noise: Mapping[str, Any] | None) -> tuple[float, float] | None:
    if not noise:
        return None
    return float(np.mean(noise["shot_gain"])), float(np.mean(noise["read_variance"]))


def _settings(data: ReportData) -> list[tuple[str, str | Markup]]:
    document = data.document
    rows: list[tuple[str, str | Markup]] = []
    for name in ("output", "model", "format", "bit_depth", "version"):
        if document.get(name) is not None:
            rows.append((name.replace("_", " "), str(document[name])))
    for fate in ("applied", "skipped"):
        if document["opcodes"][fate]:
            rows.append((f"corrections {fate}", ", ".join(document["opcodes"][fate])))
    rows.append(("hot pixels repaired", str(document["hot_pixels"])))
    for name, seconds in document.get("seconds", {}).items():
        rows.append((f"seconds: {name}", f"{seconds:.2f}"))
    render = document.get("settings", {}).get("render", {})
    rows += [(name.replace("_", " "), _plain(value)) for name, value in render.items()]
    return [*rows, *data.extra_settings]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
