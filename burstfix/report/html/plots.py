"""Small plots for reports.

A plot is a list of shapes. `svg` returns it for a page, where CSS classes determine the colours. `paint`
draws it on a Pillow image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40  # margins around the plotting area, in units of the plot
_FONT_SIZE = 11

Style = Literal["first", "second", "third", "grid"]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plot.

    Attributes:
        low, high: Values at the ends, low < high. Both are positive on a logarithmic axis.
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
        """Return round values along the axis: powers of ten if logarithmic, else steps of 1, 2 or 5."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**k for k in range(first, last + 1)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(f for f in (1, 2, 5, 10) if (self.high - self.low) / (f * step) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class _Point:
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Line:
    points: tuple[_Point, ...]
    style: Style


@dataclass(frozen=True, slots=True)
class _Dot:
    at: _Point
    style: Style


@dataclass(frozen=True, slots=True)
class _Label:
    at: _Point
    text: str
    anchor: Anchor
    is_tick: bool = False
    is_vertical: bool = False


class Plot:
    """A plot with two axes. Each drawing method adds shapes."""

    def __init__(self, title: str, x: Axis, y: Axis, *, width: int = 460, height: int = 280) -> None:
        self.title, self.x, self.y = title, x, y
        self.width, self.height = width, height
        self._shapes: list[_Line | _Dot | _Label] = []
        self._draw_axes()

    def points(self, xs: Sequence[float], ys: Sequence[float], style: Style) -> None:
        """Draw a dot for each point."""
        self._shapes += [_Dot(self._at(x, y), style) for x, y in zip(xs, ys, strict=True)]

    def line(self, xs: Sequence[float], ys: Sequence[float], style: Style) -> None:
        """Draw a line through the points."""
        points = tuple(self._at(x, y) for x, y in zip(xs, ys, strict=True))
        self._shapes.append(_Line(points, style))

    def text(self, x: float, y: float, text: str) -> None:
        """Write a short text to the right of a point."""
        at = self._at(x, y)
        self._shapes.append(_Label(_Point(at.x + 6, at.y - 5), text, "start"))

    def svg(self) -> Markup:
        """Return the plot as an SVG element."""
        head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(
            self.width, self.height, self.title, self.title
        )
        return Markup("").join([head, *map(_markup, self._shapes), Markup("</svg>")])

    def paint(self, image: Image.Image, left: int, top: int, colors: Mapping[str, str], scale: float) -> None:
        """Draw the plot on an image.

        Args:
            image: RGB image to draw on.
            left, top: Position of the plot in the image, in pixels.
            colors: Colour of each style, and of "text" and "tick".
            scale: Pixels per unit of the plot.
        """
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(round(_FONT_SIZE * scale))

        def place(at: _Point) -> tuple[float, float]:
            return left + at.x * scale, top + at.y * scale

        for shape in self._shapes:
            if isinstance(shape, _Line):
                thickness = round(scale if shape.style == "grid" else 2 * scale)
                draw.line([place(at) for at in shape.points], fill=colors[shape.style], width=thickness)
            elif isinstance(shape, _Dot):
                draw.circle(place(shape.at), 3 * scale, fill=colors[shape.style])
            else:
                color = colors["tick" if shape.is_tick else "text"]
                _paint_label(image, shape, place(shape.at), font, color)

    def _at(self, x: float, y: float) -> _Point:
        across = _LEFT + self.x.position(x) * (self.width - _LEFT - _RIGHT)
        down = self.height - _BOTTOM - self.y.position(y) * (self.height - _TOP - _BOTTOM)
        return _Point(round(across, 2), round(down, 2))

    def _draw_axes(self) -> None:
        right, bottom = self.width - _RIGHT, self.height - _BOTTOM
        for tick in self.x.ticks():
            across = self._at(tick, self.y.low).x
            self._shapes.append(_Line((_Point(across, _TOP), _Point(across, bottom)), "grid"))
            self._shapes.append(_Label(_Point(across, bottom + 15), _number(tick), "middle", is_tick=True))
        for tick in self.y.ticks():
            down = self._at(self.x.low, tick).y
            self._shapes.append(_Line((_Point(_LEFT, down), _Point(right, down)), "grid"))
            self._shapes.append(_Label(_Point(_LEFT - 5, down + 4), _number(tick), "end", is_tick=True))
        below, beside = _Point((_LEFT + right) / 2, self.height - 6), _Point(13, (_TOP + bottom) / 2)
        self._shapes.append(_Label(below, self.x.label, "middle"))
        self._shapes.append(_Label(beside, self.y.label, "middle", is_vertical=True))


def _markup(shape: _Line | _Dot | _Label) -> Markup:
    if isinstance(shape, _Line):
        path = " ".join(f"{at.x},{at.y}" for at in shape.points)
        return Markup('<polyline points="{}" class="line {}"/>').format(path, shape.style)
    if isinstance(shape, _Dot):
        return Markup('<circle cx="{}" cy="{}" r="3" class="{}"/>').format(
            shape.at.x, shape.at.y, shape.style
        )
    style = f"tick {shape.anchor}" if shape.is_tick else shape.anchor
    turn = " rotate(-90)" if shape.is_vertical else ""
    return Markup('<text transform="translate({} {}){}" class="{}">{}</text>').format(
        shape.at.x, shape.at.y, turn, style, shape.text
    )


def _paint_label(
    image: Image.Image,
    label: _Label,
    at: tuple[float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    color: str,
) -> None:
    letter = {"start": "l", "middle": "m", "end": "r"}[label.anchor]
    if not label.is_vertical:
        ImageDraw.Draw(image).text(at, label.text, fill=color, font=font, anchor=f"{letter}s")
        return
    box = font.getbbox(label.text)
    text = Image.new("L", (math.ceil(box[2]), math.ceil(box[3])))
    ImageDraw.Draw(text).text((0, 0), label.text, fill=255, font=font)
    turned = text.transpose(Image.Transpose.ROTATE_90)
    corner = round(at[0] - turned.width), round(at[1] - turned.height / 2)
    image.paste(color, (*corner, corner[0] + turned.width, corner[1] + turned.height), turned)


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.10g}"


@dataclass(frozen=True, slots=True)
class NoiseLine:
    """A noise profile in the noise plot.

    Attributes:
        name: Text for the legend.
        style: Colour of the line.
        shot_gain, read_variance: Means over the planes.
    """

    name: str
    style: Style
    shot_gain: float
    read_variance: float

    def at(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance at each signal."""
        return self.shot_gain * signals + self.read_variance


@dataclass(frozen=True, slots=True, eq=False)
class NoisePoints:
    """Measured points of the noise plot: normalised signals and variances, float64 (count,)."""

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]


def noise_plot(lines: Sequence[NoiseLine], points: NoisePoints | None) -> Plot:
    """Plot variance against signal.

    Args:
        lines: At least one noise profile. Later ones are drawn on top.
        points: Points measured in the burst, or None.
    """
    signals = np.geomspace(1e-4, 1.0, 60)
    curves = [line.at(signals) for line in lines]
    measured = [] if points is None else [points.variance]
    values = np.concatenate([*curves, *measured])
    values = values[values > 0]
    low = 10.0 ** math.floor(math.log10(max(float(values.min(initial=1.0)), 1e-12)))
    high = 10.0 ** math.ceil(math.log10(max(float(values.max(initial=0.0)), 10 * low)) + 1e-9)
    plot = Plot(
        "Noise and signal",
        Axis(1e-4, 1.0, "signal (1 = white)", log=True),
        Axis(low, high, "variance", log=True),
    )
    if points is not None:
        plot.points(np.clip(points.signal, 1e-4, 1).tolist(), points.variance.tolist(), "third")
    for line, curve in zip(lines, curves, strict=True):
        plot.line(signals.tolist(), curve.tolist(), line.style)
    return plot


def path_plot(shifts: Sequence[tuple[float, float]], names: Sequence[str], reference: int) -> Plot:
    """Plot the camera motion: the shift of each frame relative to the reference, in sensor pixels.

    Args:
        shifts: (dy, dx) of each frame. y points downwards in the plot, as in the picture.
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
    return plot


def histogram_plot(before: NDArray[np.float64], after: NDArray[np.float64]) -> Plot:
    """Plot the brightness histograms of the reference alone and of the merge.

    Args:
        before: (n,), share of pixels in n equal ranges of display brightness from black to white.
        after: The same for the merged picture.
    """
    top = max(float(before.max()), float(after.max()), 1e-6) * 1.05
    plot = Plot("Histogram", Axis(0, 255, "display value"), Axis(0, top, "share of pixels"))
    xs = np.linspace(0, 255, len(before)).tolist()
    plot.line(xs, before.tolist(), "second")
    plot.line(xs, after.tolist(), "first")
    return plot


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Return a legend of (style, text) pairs."""
    items = [
        Markup('<span><i class="swatch {}"></i>{}</span>').format(style, escape(text))
        for style, text in entries
    ]
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(items))
