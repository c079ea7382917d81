"""Scores as JSON, as tables for a terminal, and as Markdown for the README."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table

from burstfix.evaluation.protocol import Limits
from burstfix.evaluation.run import Score
from burstfix.evaluation.statistics import Estimate, bootstrap
from burstfix.names import printable

TITLES = {
    "clips": "Clips, REDS4 protocol",
    "photos": "Photographs, simulated bursts",
    "grey-clips": "Grey clips, denoised mosaics",
    "grey-photos": "Grey photographs, simulated bursts, denoised mosaics",
    "grey-picture-clips": "Grey clips, merged pictures",
    "grey-picture-photos": "Grey photographs, simulated bursts, merged pictures",
}


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean scores of one method.

    Attributes:
        psnr: Mean PSNR in dB.
        ssim: Mean SSIM.
        lpips: Mean LPIPS; None if it was not measured.
        count: Number of bursts.
    """

    psnr: float
    ssim: float
    lpips: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences in PSNR between two methods on the same bursts.

    Attributes:
        psnr: Mean difference in dB, with its confidence interval.
        median: Median difference in dB.
        better: Share of the bursts with a positive difference.
        count: Number of bursts.
    """

    psnr: Estimate
    median: float
    better: float
    count: int


def clip_means(scores: Iterable[Score]) -> dict[str, Mean]:
    """Map the name of each clip to its mean."""
    return {clip: _mean(found, len(found)) for clip, found in _by_clip(scores).items()}


def mean_of(scores: Sequence[Score]) -> Mean:
    """Return the mean of the means of clips. Each clip has the same weight, independent of its length."""
    return _mean(list(clip_means(scores).values()), len(scores))


def _mean(parts: Sequence[Score] | Sequence[Mean], count: int) -> Mean:
    distances = [part.lpips for part in parts if part.lpips is not None]
    return Mean(
        statistics.fmean(part.psnr for part in parts),
        statistics.fmean(part.ssim for part in parts),
        statistics.fmean(distances) if distances else None,
        count,
    )


def psnr_estimate(scores: Sequence[Score]) -> Estimate:
    """Estimate the mean PSNR of one method, as in `mean_of`, with its confidence interval."""
    return bootstrap([[s.psnr for s in found] for found in _by_clip(scores).values()])


def difference(scores: Sequence[Score], baseline: Sequence[Score]) -> Difference:
    """Compare two methods burst by burst.

    Args:
        scores: Scores of one method.
        baseline: Scores of the other method on the same bursts.
    """
    expected = {(s.clip, s.window): s.psnr for s in baseline}
    groups = [[s.psnr - expected[s.clip, s.window] for s in found] for found in _by_clip(scores).values()]
    gains = [gain for group in groups for gain in group]
    better = sum(gain > 0 for gain in gains) / len(gains)
    return Difference(bootstrap(groups), statistics.median(gains), better, len(gains))


def seconds_per_megapixel(scores: Sequence[Score]) -> float:
    """Return the median time of one method without its first run, which includes loading and warm-up."""
    times = [s.seconds / s.megapixels for s in scores]
    return statistics.median(times[1:] or times)


def document(
    scores: Sequence[Score], machine: dict[str, Any], limits: Limits, baseline: str = ""
) -> dict[str, Any]:
    """Return all results as a JSON document.

    Args:
        scores: Scores of all methods.
        machine: See `run.machine`.
        limits: Selection of the data.
        baseline: Reference row of the differences; by default the first.
    """
    results, differences = [], []
    methods = _unique(s.method for s in scores)
    baseline = baseline or methods[0]
    for source in _unique(s.source for s in scores):
        for method in methods:
            for level in _unique(s.level for s in scores):
                found = _select(scores, source, method, level)
                where = {"data": source, "model": method, "noise_level": level}
                results.append({**where, **_result(found)})
                if method != baseline:
                    compared = difference(found, _select(scores, source, baseline, level))
                    differences.append({**where, "baseline": baseline, **_difference_record(compared)})
    return {
        "machine": machine,
        "frames": limits.frames,
        "windows": limits.windows,
        "per_photo": limits.per_photo,
        "crop": limits.crop,
        "results": results,
        "differences": differences,
    }


def _result(scores: Sequence[Score]) -> dict[str, Any]:
    mean, estimate = mean_of(scores), psnr_estimate(scores)
    return {
        "psnr": rounded(mean.psnr, 4),
        "psnr_interval": [rounded(estimate.low, 4), rounded(estimate.high, 4)],
        "ssim": rounded(mean.ssim, 5),
        "lpips": None if mean.lpips is None else rounded(mean.lpips, 5),
        "bursts": mean.count,
        "seconds_per_megapixel": rounded(seconds_per_megapixel(scores), 4),
        "clips": {
            clip: {"psnr": rounded(m.psnr, 4), "ssim": rounded(m.ssim, 5), "bursts": m.count}
            for clip, m in clip_means(scores).items()
        },
    }


def _difference_record(found: Difference) -> dict[str, Any]:
    return {
        "psnr": rounded(found.psnr.mean, 4),
        "psnr_interval": [rounded(found.psnr.low, 4), rounded(found.psnr.high, 4)],
        "standard_error": rounded(found.psnr.error, 4),
        "median": rounded(found.median, 4),
        "share_better": rounded(found.better, 4),
        "bursts": found.count,
    }


def rich_tables(scores: Sequence[Score], machine: dict[str, Any], baseline: str = "") -> Group:
    """Return tables for each kind of data: means, differences, and the clips at each noise level."""
    parts: list[Any] = []
    methods, levels = _unique(s.method for s in scores), _unique(s.level for s in scores)
    baseline = baseline or methods[0]
    for source in _unique(s.source for s in scores):
        bursts = len(_select(scores, source, methods[0], levels[0]))
        means = Table(title=f"{TITLES[source]} ({bursts} bursts)", title_justify="left")
        means.add_column("model")
        for level in levels:
            means.add_column(f"{level} noise\nPSNR dB", justify="right")
            means.add_column("\nSSIM", justify="right")
            if _has_lpips(scores):
                means.add_column("\nLPIPS", justify="right")
        means.add_column("\ns/megapixel", justify="right")
        for cells in _mean_rows(scores, source, intervals=True):
            means.add_row(*cells)
        parts.append(means)
        if len(methods) > 1:
            gains = Table(title=f"Difference to {printable(baseline)} in dB", title_justify="left")
            gains.add_column("model")
            for level in levels:
                gains.add_column(f"{level} noise\nmean", justify="right")
                gains.add_column("\nmedian", justify="right")
                gains.add_column("\nbetter", justify="right")
            for cells in _difference_rows(scores, source, baseline):
                gains.add_row(*cells)
            parts.append(gains)
        parts += _clip_tables(scores, source, methods, levels)
    parts.append("± is half of the 95% confidence interval (bootstrap over bursts).")
    parts.append(_machine_line(machine))
    return Group(*parts)


def _clip_tables(
    scores: Sequence[Score], source: str, methods: Sequence[str], levels: Sequence[str]
) -> list[Table]:
    clips = _unique(s.clip for s in scores if s.source == source)
    tables = []
    for level in levels if len(clips) > 1 else []:
        table = Table(title=f"{level} noise, each clip: PSNR dB / SSIM", title_justify="left")
        table.add_column("clip")
        by_method = [clip_means(_select(scores, source, method, level)) for method in methods]
        for method in methods:
            table.add_column(printable(method), justify="right")
        for clip in clips:
            cells = (f"{found[clip].psnr:.2f} / {found[clip].ssim:.3f}" for found in by_method)
            table.add_row(printable(clip), *cells)
        tables.append(table)
    return tables


def markdown(scores: Sequence[Score], machine: dict[str, Any], baseline: str = "") -> str:
    """Return means and differences as Markdown tables for each kind of data."""
    methods, levels = _unique(s.method for s in scores), _unique(s.level for s in scores)
    baseline = baseline or methods[0]
    parts = []
    for source in _unique(s.source for s in scores):
        measures = ("PSNR", "SSIM", "LPIPS") if _has_lpips(scores) else ("PSNR", "SSIM")
        head = ["model", *(f"{level}: {what}" for level in levels for what in measures), "s/MP"]
        count = len(_unique(s.clip for s in scores if s.source == source))
        parts.append(f"{TITLES[source]} ({count}):")
        parts.append(_markdown_table(head, _mean_rows(scores, source, intervals=False)))
        if len(methods) > 1:
            head = [
                "model",
                *(f"{level}: {what}" for level in levels for what in ("mean", "median", "better")),
            ]
            parts.append(
                f"Difference to {printable(baseline)} in dB (± is half of the 95% confidence interval):"
            )
            parts.append(_markdown_table(head, _difference_rows(scores, source, baseline)))
    return "\n\n".join([*parts, _machine_line(machine)])


def _markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in cells] for cells in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in escaped)


def _mean_rows(scores: Sequence[Score], source: str, *, intervals: bool) -> list[list[str]]:
    rows = []
    for method in _unique(s.method for s in scores):
        cells = [printable(method)]
        for level in _unique(s.level for s in scores):
            found = _select(scores, source, method, level)
            mean = mean_of(found)
            half = f" {half_width(psnr_estimate(found), 2)}" if intervals else ""
            cells += [f"{mean.psnr:.2f}{half}", f"{mean.ssim:.4f}"]
            cells += [f"{mean.lpips:.4f}"] if mean.lpips is not None else []
        everything = [s for s in scores if s.source == source and s.method == method]
        rows.append([*cells, f"{seconds_per_megapixel(everything):.2f}"])
    return rows


def _difference_rows(scores: Sequence[Score], source: str, baseline: str) -> list[list[str]]:
    rows = []
    for method in _unique(s.method for s in scores):
        if method == baseline:
            continue
        cells = [printable(method)]
        for level in _unique(s.level for s in scores):
            found = difference(
                _select(scores, source, method, level), _select(scores, source, baseline, level)
            )
            mean = f"{found.psnr.mean:+.3f} {half_width(found.psnr, 3)}"
            cells += [mean, f"{found.median:+.3f}", f"{found.better:.0%}"]
        rows.append(cells)
    return rows


def _has_lpips(scores: Sequence[Score]) -> bool:
    return any(score.lpips is not None for score in scores)


def half_width(estimate: Estimate, digits: int) -> str:
    """Format half of a confidence interval."""
    half = (estimate.high - estimate.low) / 2
    return f"±{half:.{digits}f}" if math.isfinite(half) else "±?"


def _machine_line(machine: dict[str, Any]) -> str:
    threads = f", {machine['threads']} threads" if machine["device"] == "cpu" else ""
    name = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return f"Measured on {name}{threads}, torch {machine['torch']}."


def _by_clip(scores: Iterable[Score]) -> dict[str, list[Score]]:
    by_clip: dict[str, list[Score]] = {}
    for score in scores:
        by_clip.setdefault(score.clip, []).append(score)
    return by_clip


def _select(scores: Sequence[Score], source: str, method: str, level: str) -> list[Score]:
    return [s for s in scores if (s.source, s.method, s.level) == (source, method, level)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def rounded(value: float, digits: int) -> float | None:
    """Round for JSON, which has neither infinity (PSNR of equal pictures) nor NaN."""
    return round(value, digits) if math.isfinite(value) else None
