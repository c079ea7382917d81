"""Tables that fit the width of the terminal."""

from __future__ import annotations

from rich.console import Console

from burstfix.report.columns import Column, FittedTable, fitting

NAME = Column("frame", ["IMG_20240531_0001.dng", "IMG_20240531_0002.dng"], shrinks=True)
TIME = Column("time", ["21:14:05", "21:14:06"], priority=1)
ISO = Column("ISO", ["6400", "6400"], priority=2)
STATE = Column("", ["kept", "dropped: is far blurrier than the rest"], wraps=True)


def printed(width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as text:
        console.print(FittedTable([NAME, TIME, ISO, STATE], ["", "dim"]))
    return [line.rstrip() for line in text.get().splitlines()]


def test_columns_when_the_width_decreases_then_the_least_important_are_left_out_first() -> None:
    columns = [NAME, TIME, ISO, STATE]
    assert fitting(columns, 80) == columns
    assert fitting(columns, 36) == [NAME, TIME, STATE]
    assert fitting(columns, 30) == fitting(columns, 5) == [NAME, STATE]


def test_table_when_wide_then_it_shows_all_columns_and_no_footnote() -> None:
    lines = printed(120)
    assert len(lines) == 3
    assert lines[2].split("  ")[0] == "IMG_20240531_0002.dng" and "6400" in lines[2]
    assert lines[2].endswith("dropped: is far blurrier than the rest")


def test_table_when_narrow_then_names_are_shortened_and_uniform_columns_are_below() -> None:
    lines = printed(30)
    assert all(len(line) <= 30 for line in lines[:3])
    assert any(line.startswith("IMG_") and "…" in line and "1.dng" in line for line in lines)
    text = " ".join(lines)
    assert "in every row: ISO 6400" in text
    assert "not shown for lack of space: time" in text
