"""The plots of a report: noise, path of the camera, histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.report.frames import NOISE_SOURCES
from burstfix.report.html.data import ReportData
from burstfix.report.html.pictures import luminance_of
from burstfix.report.html.plots import (
    NoiseLine,
    NoisePoints,
    Plot,
    Style,
    histogram_plot,
    noise_plot,
    path_plot,
)
from burstfix.types import NoiseMeasurement

_BINS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """A plot with its legend and caption.

    Attributes:
        plot: The plot.
        legend: Mapping from the style of each colour to its text.
        caption: Sentences below the plot.
    """

    plot: Plot
    legend: Mapping[Style, str]
    caption: str


def diagrams(data: ReportData) -> list[Diagram]:
    """Return the plots of a report. Without a merge, there is no histogram."""
    found = [_noise(data)]
    kept = [frame for frame in data.document["frames"] if frame["kept"]]
    if len(kept) > 1:
        found.append(_path(kept))
    if data.after is not None:
        found.append(_histograms(data.before, data.after))
    return found


def noise_lines(document: Mapping[str, Any], measured: NoiseMeasurement | None) -> list[NoiseLine]:
    """Return the noise profiles of a burst: from the file, measured, and used (if different from both)."""
    used, lines = document["noise"], []
    reference = next(frame for frame in document["frames"] if frame["reference"])
    file = reference.get("file_noise")
    if file is not None:
        lines.append(_line("the file's NoiseProfile", "second", file, is_used=used["source"] == "file"))
    if measured is not None:
        profile = {
            "shot_gain": measured.profile.shot_gain,
            "read_variance": measured.profile.read_variance,
        }
        is_used = used["source"] == measured.profile.source
        lines.append(_line("measured in this burst", "third", profile, is_used=is_used))
    if not any(line.name.endswith(_USED) for line in lines):
        lines.append(_line(NOISE_SOURCES[used["source"]], "first", used, is_used=True))
    return lines


_USED = " (used)"


def _line(name: str, style: Style, noise: Mapping[str, Any], *, is_used: bool) -> NoiseLine:
    gain, read = float(np.mean(noise["shot_gain"])), float(np.mean(noise["read_variance"]))
    return NoiseLine(name + (_USED if is_used else ""), style, gain, read)


def _noise(data: ReportData) -> Diagram:
    measured = data.measured_noise
    lines = noise_lines(data.document, measured)
    points = None if measured is None else NoisePoints(measured.signal, measured.variance)
    caption = "Variance of the noise as a function of the signal, in normalised units."
    if points is None:
        caption += " The noise of this burst was not measured."
    else:
        caption += (
            " The dots are measurements in parts of this burst; scene detail can raise them above the line."
        )
    return Diagram(noise_plot(lines, points), {line.style: line.name for line in lines}, caption)


def _path(kept: Sequence[Mapping[str, Any]]) -> Diagram:
    shifts = [(frame["motion"]["dy"], frame["motion"]["dx"]) for frame in kept]
    labels = [str(frame["number"]) for frame in kept]
    index = next(i for i, frame in enumerate(kept) if frame["reference"])
    return Diagram(
        path_plot(shifts, labels, index),
        {"first": "reference", "second": "other frames, numbered in time order"},
        "Shift of each frame relative to the reference, in sensor pixels.",
    )


def _histograms(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Diagram:
    clipped = [float(np.mean((picture >= 255).any(-1))) for picture in (before, after)]
    return Diagram(
        histogram_plot(_histogram(before), _histogram(after)),
        {"second": "one frame", "first": "merged"},
        f"Display brightness. Clipped: {clipped[0]:.2%} before, {clipped[1]:.2%} after.",
    )


def _histogram(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts, _ = np.histogram(luminance_of(picture[::2, ::2]), _BINS, (0, 256))
    return counts / max(1, counts.sum())
