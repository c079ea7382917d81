"""A table that fits the terminal: less important columns are summarised below the table instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

GAP = 2  # characters between columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its cells.

    Attributes:
        title: Heading of the column.
        cells: Text of each row.
        priority: Columns with the highest number are left out first. Columns with 0 are always shown.
        justify: Alignment of the cells.
        shrinks: True to remove the middle of cells that are too wide ("IMG_00…5.dng").
        wraps: True to wrap cells that are too wide, between words.
    """

    title: str
    cells: Sequence[str]
    priority: int = 0
    justify: Literal["left", "right"] = "left"
    shrinks: bool = False
    wraps: bool = False

    @property
    def width(self) -> int:
        """Width in characters if no cell is shortened or wrapped."""
        return max(map(cell_len, (self.title, *self.cells)))

    @property
    def min_width(self) -> int:
        """Minimum width in characters."""
        if self.wraps:
            words = [word for cell in self.cells for word in cell.split()]
            return min(self.width, max(map(cell_len, (self.title, "dropped:", *words))))
        return min(self.width, 12) if self.shrinks else self.width


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A rich renderable that shows as many columns as fit into the width.

    Attributes:
        columns: Columns from left to right.
        styles: Style of each row; "" = the default.
    """

    columns: Sequence[Column]
    styles: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Render the columns that fit, then lines that summarise the other columns."""
        shown = fitting(self.columns, options.max_width)
        widths = _widths(shown, options.max_width)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column, width in zip(shown, widths, strict=True):
            table.add_column(column.title, justify=column.justify, no_wrap=not column.wraps, max_width=width)
        for index, style in enumerate(self.styles):
            cells = [
                Text(column.cells[index] if column.wraps else _cut(column.cells[index], width))
                for column, width in zip(shown, widths, strict=True)
            ]
            table.add_row(*cells, style=style)
        yield table
        hidden = [column for column in self.columns if column not in shown]
        uniform = [(column.title, _common_value(column.cells)) for column in hidden]
        if facts := [f"{title} {value}" for title, value in uniform if value]:
            yield Text("in every row: " + ", ".join(facts), style="dim")
        if varying := [title for title, value in uniform if value is None]:
            yield Text("not shown for lack of space: " + ", ".join(varying), style="dim")


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Choose the columns that fit into a width.

    Columns with the highest priority number are left out first, columns with priority 0 never.
    """
    shown = list(columns)
    while sum(column.min_width + GAP for column in shown) - GAP > width:
        last = max(shown, key=lambda column: column.priority)
        if last.priority == 0:
            break
        shown.remove(last)
    return shown


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Distribute the width over columns. Shortened columns get the spare characters from left to right."""
    widths = [column.min_width for column in columns]
    spare = width - sum(widths) - GAP * (len(columns) - 1)
    for index, column in enumerate(columns):
        more = max(0, min(spare, column.width - widths[index]))
        widths[index] += more
        spare -= more
    return widths


def _cut(text: str, width: int) -> str:
    """Remove the middle of a text that is too wide, because file names usually differ at start and end."""
    if cell_len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    head = width - 1 - tail
    return f"{text[:head]}…{text[len(text) - tail :]}"


def _common_value(cells: Sequence[str]) -> str | None:
    """Return the common value of all cells that have a value; None if they differ, "" if all are empty."""
    values = {cell for cell in cells if cell not in ("", "-")}
    return values.pop() if len(values) == 1 else None if values else ""
