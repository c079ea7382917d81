"""Write the summary of a batch: a CSV table and a contact sheet."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from burstfix.atomic import atomic_path
from burstfix.batch.journal import Entry
from burstfix.batch.superseded import burst_key
from burstfix.names import printable

CSV_NAME, SHEET_NAME = "summary.csv", "summary.jpg"

_COLUMNS = (
    *("name", "state", "output", "frames", "used", "left_out", "reference", "model", "noise", "megapixels"),
    *("seconds", "ended", "error"),
)
_CELL, _CAPTION, _MARGIN = 240, 28, 10  # pixels
_COLUMNS_OF_SHEET = 6
_MAX_CELLS = 1200  # keeps the sheet below 65500 rows of pixels (the maximum of a JPEG) and 250 MB of memory
_FORMULA = ("=", "+", "-", "@")  # spreadsheets evaluate text that begins with one of these
_BACKGROUND, _INK, _FAULT = (24, 24, 24), (220, 220, 220), (230, 120, 100)


def write_summary(folder: Path, entries: Sequence[Entry], unreadable: Mapping[str, str]) -> None:
    """Write both files to the output folder and replace those of an earlier run.

    Args:
        folder: The output folder.
        entries: Entries of the journal. Each burst gets a row in the table and a cell in the sheet. If there
            are more than 1200 bursts, the sheet shows the newest 1200, and a line at its top states this.
        unreadable: Mapping from the path of each unreadable raw to the reason. Each raw gets a row in the
            table.

    Raises:
        OutputError: A file cannot be written.
    """
    entries = [entry for entry in entries if burst_key(entry.key) == entry.key]
    rows = [_row(entry) for entry in entries]
    rows += [{"name": path, "state": "unreadable", "error": why} for path, why in unreadable.items()]
    _write_csv(folder / CSV_NAME, rows)
    if len(entries) > _MAX_CELLS:
        newest = sorted(entry.started for entry in entries)[-_MAX_CELLS]
        shown = [entry for entry in entries if entry.started >= newest][-_MAX_CELLS:]
        title = f"The newest {_MAX_CELLS} of {len(entries)} bursts; {CSV_NAME} lists all bursts."
        _write_sheet(folder / SHEET_NAME, shown, title)
    elif entries:
        _write_sheet(folder / SHEET_NAME, entries)


def _row(entry: Entry) -> dict[str, Any]:
    ended = datetime.fromtimestamp(entry.ended, UTC) if entry.ended else None
    return {
        **entry.result,
        "name": entry.name,
        "state": entry.state,
        "output": entry.output,
        "frames": len(entry.frames),
        "left_out": "; ".join(entry.result.get("left_out", [])),
        "ended": ended.isoformat(timespec="seconds") if ended else "",
        "error": entry.error or "",
    }


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with (
        atomic_path(path, overwrite=True) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        table.writerows([_cell(row.get(column, "")) for column in _COLUMNS] for row in rows)


def _cell(value: Any) -> Any:
    """Convert a value so that a spreadsheet shows it as text on one line."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_sheet(path: Path, entries: Sequence[Entry], title: str = "") -> None:
    columns = min(_COLUMNS_OF_SHEET, len(entries))
    rows = -(-len(entries) // columns)
    step_x, step_y = _CELL + _MARGIN, _CELL + _CAPTION + _MARGIN
    head = _MARGIN + (_CAPTION if title else 0)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, head + rows * step_y), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
    for k, entry in enumerate(entries):
        left, top = _MARGIN + k % columns * step_x, head + k // columns * step_y
        thumb = entry.result.get("thumb")
        if entry.state == "done" and thumb:
            picture = Image.open(io.BytesIO(base64.b64decode(thumb)))
            at = (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2)
            sheet.paste(picture, at)
        else:
            draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), outline=_FAULT)
            draw.text((left + 8, top + 8), entry.state, fill=_FAULT, font=font)
        caption = printable(entry.output if entry.state == "done" else entry.name)
        while caption and draw.textlength(caption, font=font) > _CELL:
            caption = caption[1:]  # keep the end of the path, which is more specific
        draw.text((left, top + _CELL + 6), caption, fill=_INK, font=font)
    with atomic_path(path, overwrite=True) as temporary:
        sheet.save(temporary, "JPEG", quality=88)
