"""Scores as JSON, as tables for a terminal, and as the table in the README."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table

from burstfix._version import __version__
from burstfix.evaluation.protocol import Limits
from burstfix.evaluation.run import Score

TITLES = {"clips": "Clips, REDS4 protocol", "photos": "Photographs, simulated bursts"}


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean scores of one method.

    Attributes:
        psnr: Mean of the decibels.
        ssim: Mean.
        count: Bursts.
    """

    psnr: float
    ssim: float
    count: int


def clip_means(scores: Iterable[Score]) -> dict[str, Mean]:
    """Mean of each clip, by name."""
    by_clip: dict[str, list[Score]] = {}
    for score in scores:
        by_clip.setdefault(score.clip, []).append(score)
    return {
        clip: Mean(
            statistics.fmean(s.psnr for s in found), statistics.fmean(s.ssim for s in found), len(found)
        )
        for clip, found in by_clip.items()
    }


def mean_of(scores: Sequence[Score]) -> Mean:
    """Mean of the clips' means: every clip counts the same, however long it is."""
    clips = clip_means(scores).values()
    return Mean(statistics.fmean(m.psnr for m in clips), statistics.fmean(m.ssim for m in clips), len(scores))


def seconds_per_megapixel(scores: Sequence[Score]) -> float:
    """Median of one method's, without its first run where there are others: that one loads and warms up."""
    times = [s.seconds / s.megapixels for s in scores]
    return statistics.median(times[1:] or times)


def document(scores: Sequence[Score], machine: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Everything as JSON holds it."""
    results = []
    for source in _unique(s.source for s in scores):
        for method in _unique(s.method for s in scores):
            for level in _unique(s.level for s in scores):
                found = _select(scores, source, method, level)
                mean = mean_of(found)
                results.append(
                    {
                        "data": source,
                        "model": method,
                        "noise": level,
                        "psnr": _rounded(mean.psnr, 4),
                        "ssim": _rounded(mean.ssim, 5),
                        "bursts": mean.count,
                        "seconds_per_megapixel": _rounded(seconds_per_megapixel(found), 4),
                        "clips": {
                            clip: {
                                "psnr": _rounded(m.psnr, 4),
                                "ssim": _rounded(m.ssim, 5),
                                "bursts": m.count,
                            }
                            for clip, m in clip_means(found).items()
                        },
                    }
                )
    return {
        "version": __version__,
        "machine": machine,
        "frames": limits.frames,
        "windows": limits.windows,
        "crop": limits.crop,
        "results": results,
    }


def rich_tables(scores: Sequence[Score], machine: dict[str, Any]) -> Group:
    """A table of means for each kind of data, and one of clips for each noise level."""
    parts: list[Any] = []
    methods, levels = _unique(s.method for s in scores), _unique(s.level for s in scores)
    for source in _unique(s.source for s in scores):
        bursts = len(_select(scores, source, methods[0], levels[0]))
        means = Table(title=f"{TITLES[source]} ({bursts} bursts)", title_justify="left")
        means.add_column("model")
        for level in levels:
            means.add_column(f"{level} noise\nPSNR dB", justify="right")
            means.add_column("\nSSIM", justify="right")
        means.add_column("\ns/megapixel", justify="right")
        for cells in _mean_rows(scores, source):
            means.add_row(*cells)
        parts.append(means)
        clips = _unique(s.clip for s in scores if s.source == source)
        for level in levels if len(clips) > 1 else []:
            table = Table(title=f"{level} noise, each clip: PSNR dB / SSIM", title_justify="left")
            table.add_column("clip")
            by_method = [clip_means(_select(scores, source, method, level)) for method in methods]
            for method in methods:
                table.add_column(method, justify="right")
            for clip in clips:
                cells = (f"{found[clip].psnr:.2f} / {found[clip].ssim:.3f}" for found in by_method)
                table.add_row(clip, *cells)
            parts.append(table)
    parts.append(_machine_line(machine))
    return Group(*parts)


def markdown(scores: Sequence[Score], machine: dict[str, Any]) -> str:
    """The means as a Markdown table for each kind of data."""
    levels = _unique(s.level for s in scores)
    parts = []
    for source in _unique(s.source for s in scores):
        head = ["model", *(f"{level}: {what}" for level in levels for what in ("PSNR", "SSIM")), "s/MP"]
        count = len(_unique(s.clip for s in scores if s.source == source))
        rows = [head, ["---"] + ["---:"] * (len(head) - 1), *_mean_rows(scores, source)]
        lines = ["| " + " | ".join(cells) + " |" for cells in rows]
        parts.append(f"{TITLES[source]} ({count}):\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, _machine_line(machine)])


def _mean_rows(scores: Sequence[Score], source: str) -> list[list[str]]:
    rows = []
    for method in _unique(s.method for s in scores):
        cells = [method]
        for level in _unique(s.level for s in scores):
            mean = mean_of(_select(scores, source, method, level))
            cells += [f"{mean.psnr:.2f}", f"{mean.ssim:.4f}"]
        everything = [s for s in scores if s.source == source and s.method == method]
        rows.append([*cells, f"{seconds_per_megapixel(everything):.2f}"])
    return rows


def _machine_line(machine: dict[str, Any]) -> str:
    threads = f", {machine['threads']} threads" if machine["device"] == "cpu" else ""
    place = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return f"Measured on {place}{threads}, torch {machine['torch']}."


def _select(scores: Sequence[Score], source: str, method: str, level: str) -> list[Score]:
    return [s for s in scores if (s.source, s.method, s.level) == (source, method, level)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _rounded(value: float, digits: int) -> float | None:
    """JSON has no infinity, which two equal pictures would give."""
    return round(value, digits) if math.isfinite(value) else None
