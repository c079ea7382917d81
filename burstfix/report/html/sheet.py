"""Draw a report as one picture: the frames as thumbnails, and the plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from burstfix.names import printable
from burstfix.report.html.data import ReportData
from burstfix.report.html.diagrams import Diagram, diagrams
from burstfix.report.html.page import frame_notes, subtitle_of

_WIDTH, _MARGIN, _LINE = 1440, 24, 20  # pixels
_CELL_WIDTH, _CELL_HEIGHT = 240, 180  # size of the thumbnails in pixels
_COLUMNS = (_WIDTH - _MARGIN) // (_CELL_WIDTH + _MARGIN)
_SCALE = 1.5  # pixels per unit of a plot
_COLORS = {
    **{"first": "#0b6fcb", "second": "#c8541a", "third": "#3d8b40", "grid": "#d9dce0"},
    **{"text": "#1c1e21", "tick": "#5d636b"},
}


def draw_sheet(data: ReportData) -> Image.Image:
    """Draw the frames with their measurements, the path of the camera, and the noise."""
    frames, plots = data.document["frames"], diagrams(data)
    longest = max(len(_frame_lines(frame)) for frame in frames)
    cell = _CELL_HEIGHT + longest * _LINE + _MARGIN
    rows = -(-len(frames) // _COLUMNS)
    plots_top = 3 * _MARGIN + 2 * _LINE + rows * cell
    tallest = max(round(one.plot.height * _SCALE) + (len(one.legend) + 1) * _LINE for one in plots)
    sheet = Image.new("RGB", (_WIDTH, plots_top + tallest + _MARGIN), "white")
    title = PurePath(str(data.document["reference"]["path"]).replace("\\", "/")).name
    _write(sheet, _MARGIN, _MARGIN, f"Burst of {len(frames)} frames, reference {title}", size=20)
    _write(sheet, _MARGIN, _MARGIN + _LINE + 10, subtitle_of(data.document), color="tick")
    thumbnails = iter(data.thumbnails)
    for index, frame in enumerate(frames):
        left = _MARGIN + index % _COLUMNS * (_CELL_WIDTH + _MARGIN)
        top = 3 * _MARGIN + 2 * _LINE + index // _COLUMNS * cell
        if frame["kept"] and (thumbnail := next(thumbnails, None)) is not None:
            _paste(sheet, thumbnail, left, top)
        for number, line in enumerate(_frame_lines(frame)):
            color = "text" if number == 0 else "second" if not frame["kept"] else "tick"
            _write(sheet, left, top + _CELL_HEIGHT + 4 + number * _LINE, line, color, width=_CELL_WIDTH)
    for index, diagram in enumerate(plots[:2]):
        _draw_plot(sheet, diagram, _MARGIN + index * (_WIDTH // 2), plots_top)
    return sheet


def _frame_lines(frame: Mapping[str, Any]) -> list[str]:
    name = PurePath(frame["path"].replace("\\", "/")).name
    state = "reference" if frame["reference"] else "kept" if frame["kept"] else f"left out: {frame['reason']}"
    return [name, state, *frame_notes(frame)]


def _paste(sheet: Image.Image, thumbnail: NDArray[np.uint8], left: int, top: int) -> None:
    picture = Image.fromarray(thumbnail)
    picture.thumbnail((_CELL_WIDTH, _CELL_HEIGHT))
    sheet.paste(picture, (left, top + (_CELL_HEIGHT - picture.height) // 2))


def _draw_plot(sheet: Image.Image, diagram: Diagram, left: int, top: int) -> None:
    diagram.plot.paint(sheet, left, top, _COLORS, _SCALE)
    below = top + round(diagram.plot.height * _SCALE)
    for style, text in diagram.legend.items():
        ImageDraw.Draw(sheet).rectangle((left, below + 4, left + 12, below + 16), fill=_COLORS[style])
        _write(sheet, left + 20, below, text)
        below += _LINE


def _write(
    sheet: Image.Image,
    left: int,
    top: int,
    text: str,
    color: str = "text",
    *,
    size: int = 13,
    width: int | None = None,
) -> None:
    """Write a line of text; cut off its end if it is wider than `width`."""
    font, draw, text = ImageFont.load_default(size), ImageDraw.Draw(sheet), printable(text)
    if width is not None and draw.textlength(text, font) > width:
        while text and draw.textlength(text + "…", font) > width:
            text = text[:-1]
        text += "…"
    draw.text((left, top), text, fill=_COLORS[color], font=font)
