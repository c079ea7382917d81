"""Small SVG plots for the report, drawn as text; colours come from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40  # margins in SVG units around the plotting area


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plot.

    Attributes:
        low, high: Values at the ends, low < high; both positive on a logarithmic axis.
        label: Text beside the axis.
        log: True for a logarithmic axis.
    """

    low: float
    high: float
    label: str
    log: bool = False

    def position(self, value: float) -> float:
        """Return the position of a value: 0 at `low`, 1 at `high`, clipped to the axis."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round values along the axis: powers of ten if logarithmic, otherwise steps of 1, 2 or 5."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**k for k in range(first, last + 1)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(f for f in (1, 2, 5, 10) if (self.high - self.low) / (f * step) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Plot:
    """An SVG picture with two axes; each drawing method adds one element."""

    def __init__(self, title: str, x: Axis, y: Axis, *, width: int = 460, height: int = 280) -> None:
        self.title, self.x, self.y = title, x, y
        self.width, self.height = width, height
        self._parts: list[Markup] = []

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = _LEFT + self.x.position(x) * (self.width - _LEFT - _RIGHT)
        down = self.height - _BOTTOM - self.y.position(y) * (self.height - _TOP - _BOTTOM)
        return round(across, 2), round(down, 2)

    def points(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Draw a dot for each point; `style` is a CSS class of the page."""
        for x, y in zip(xs, ys, strict=True):
            across, down = self._at(x, y)
            self._parts.append(
                Markup('<circle cx="{}" cy="{}" r="3" class="{}"/>').format(across, down, style)
            )

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Draw a line through the points."""
        path = " ".join("{},{}".format(*self._at(x, y)) for x, y in zip(xs, ys, strict=True))
        self._parts.append(Markup('<polyline points="{}" class="line {}"/>').format(path, style))

    def text(self, x: float, y: float, text: str) -> None:
        """Write a short text to the right of a point."""
        across, down = self._at(x, y)
        self._parts.append(Markup('<text x="{}" y="{}">{}</text>').format(across + 6, down - 5, text))

    def svg(self) -> Markup:
        """Return the finished picture."""
        right, bottom = self.width - _RIGHT, self.height - _BOTTOM
        parts = [
            Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
                self.width, self.height, self.title
            ),
            Markup("<title>{}</title>").format(self.title),
        ]
        for tick in self.x.ticks():
            across, _ = self._at(tick, self.y.low)
            parts.append(
                Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                    across, across, _TOP, bottom
                )
            )
            parts.append(
                Markup('<text x="{}" y="{}" class="tick middle">{}</text>').format(
                    across, bottom + 15, _number(tick)
                )
            )
        for tick in self.y.ticks():
            _, down = self._at(self.x.low, tick)
            parts.append(
                Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                    _LEFT, right, down, down
                )
            )
            parts.append(
                Markup('<text x="{}" y="{}" class="tick end">{}</text>').format(
                    _LEFT - 5, down + 4, _number(tick)
                )
            )
        parts.append(
            Markup('<text x="{}" y="{}" class="middle">{}</text>').format(
                (_LEFT + right) / 2, self.height - 6, self.x.label
            )
        )
        parts.append(
            Markup('<text class="middle" transform="translate(13 {}) rotate(-90)">{}</text>').format(
                (_TOP + bottom) / 2, self.y.label
            )
        )
        return Markup("").join([*parts, *self._parts, Markup("</svg>")])


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.10g}"


def noise_plot(
    points: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    used: tuple[float, float],
    file: tuple[float, float] | None,
) -> Markup:
    """Plot variance against signal: measured points, the profile of the merge, and the profile in the file.

    Args:
        points: Measured signals and variances in normalised units, or None.
        used: Shot gain and read variance of the merge, mean over the planes.
        file: Shot gain and read variance from the NoiseProfile in the reference file, or None.
    """
    signals = np.geomspace(1e-4, 1.0, 60)
    lines = [gain * signals + read for gain, read in filter(None, (used, file))]
    values = np.concatenate([*lines, points[1] if points is not None and len(points[1]) else lines[0]])
    values = values[values > 0]
    low = 10.0 ** math.floor(math.log10(max(float(values.min()), 1e-12)))
    high = 10.0 ** math.ceil(math.log10(max(float(values.max()), 10 * low)) + 1e-9)
    plot = Plot(
        "Noise against signal",
        Axis(1e-4, 1.0, "signal (1 = white)", log=True),
        Axis(low, high, "variance", log=True),
    )
    if file is not None:
        plot.line(signals.tolist(), lines[1].tolist(), "second")
    plot.line(signals.tolist(), lines[0].tolist(), "first")
    if points is not None:
        plot.points(np.clip(points[0], 1e-4, 1).tolist(), points[1].tolist(), "first")
    return plot.svg()


def path_plot(shifts: Sequence[tuple[float, float]], names: Sequence[str], reference: int) -> Markup:
    """Plot the camera motion: the shift of each frame relative to the reference, in sensor pixels.

    Args:
        shifts: (dy, dx) of each frame; y points downwards in the plot, as in the picture.
        names: Short name of each frame.
        reference: Index of the reference.
    """
    reach = max(1.0, *(abs(value) for shift in shifts for value in shift)) * 1.15
    plot = Plot(
        "Path of the camera",
        Axis(-reach, reach, "pixels to the right"),
        Axis(-reach, reach, "pixels up"),
        height=340,
    )
    xs, ys = [dx for _, dx in shifts], [-dy for dy, _ in shifts]
    plot.line(xs, ys, "second")
    plot.points(xs, ys, "second")
    plot.points([xs[reference]], [ys[reference]], "first")
    for index, name in enumerate(names):
        plot.text(xs[index], ys[index], name)
    return plot.svg()


def histogram_plot(before: NDArray[np.float64], after: NDArray[np.float64]) -> Markup:
    """Plot the brightness histograms of the reference alone and of the merge.

    Args:
        before: Share of pixels in n equal ranges of display brightness from black to white, (n,).
        after: The same for the merged picture.
    """
    top = max(float(before.max()), float(after.max()), 1e-6) * 1.05
    plot = Plot("Histogram", Axis(0, 255, "display value"), Axis(0, top, "share of pixels"))
    xs = np.linspace(0, 255, len(before)).tolist()
    plot.line(xs, before.tolist(), "second")
    plot.line(xs, after.tolist(), "first")
    return plot.svg()


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Return a legend of (CSS class, text) pairs."""
    items = [
        Markup('<span><i class="swatch {}"></i>{}</span>').format(style, escape(text))
        for style, text in entries
    ]
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(items))
