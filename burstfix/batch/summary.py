"""What a person looks at after a batch: a table as CSV, and a contact sheet of all pictures."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from burstfix.atomic import atomic_path
from burstfix.batch.journal import Entry
from burstfix.batch.superseded import burst_key

CSV_NAME, SHEET_NAME = "summary.csv", "summary.jpg"

_COLUMNS = (
    *("name", "state", "output", "frames", "used", "left_out", "reference", "model", "noise", "megapixels"),
    *("seconds", "ended", "error"),
)
_CELL, _CAPTION, _MARGIN = 240, 28, 10  # pixels
_COLUMNS_OF_SHEET = 6
_MAX_CELLS = 1200  # a JPEG has at most 65500 rows of pixels, and all of them lie in memory: 250 MB
_STRANGE = "backslashreplace"  # for what is no UTF-8 in the names of files
_BACKGROUND, _INK, _FAULT = (24, 24, 24), (220, 220, 220), (230, 120, 100)


def write_summary(folder: Path, entries: Sequence[Entry]) -> None:
    """Writes both into the output folder, over those of an earlier run.

    Args:
        folder: The output folder.
        entries: Of the journal. Each burst gets a row, and a cell with the picture that it has by now; of
            more than 1200 the sheet shows the newest, and says so.

    Raises:
        OutputError: They cannot be written.
    """
    entries = [entry for entry in entries if burst_key(entry.key) == entry.key]
    _write_csv(folder / CSV_NAME, entries)
    if len(entries) > _MAX_CELLS:
        newest = sorted(entry.started for entry in entries)[-_MAX_CELLS]
        shown = [entry for entry in entries if entry.started >= newest][-_MAX_CELLS:]
        title = f"The newest {_MAX_CELLS} of {len(entries)} bursts; all of them are in {CSV_NAME}."
        _write_sheet(folder / SHEET_NAME, shown, title)
    elif entries:
        _write_sheet(folder / SHEET_NAME, entries)


def _write_csv(path: Path, entries: Sequence[Entry]) -> None:
    with (
        atomic_path(path, overwrite=True) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=_STRANGE) as file,
    ):
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for entry in entries:
            facts = dict(entry.facts)
            ended = datetime.fromtimestamp(entry.ended, UTC) if entry.ended else None
            own = {
                "name": entry.name,
                "state": entry.state,
                "output": entry.output,
                "frames": len(entry.frames),
                "left_out": "; ".join(facts.pop("left_out", [])),
                "ended": ended.isoformat(timespec="seconds") if ended else "",
                "error": entry.error or "",
            }
            row = facts | own
            table.writerow([row.get(column, "") for column in _COLUMNS])


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
        thumb = entry.facts.get("thumb")
        if entry.state == "done" and thumb:
            picture = Image.open(io.BytesIO(base64.b64decode(thumb)))
            at = (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2)
            sheet.paste(picture, at)
        else:
            draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), outline=_FAULT)
            draw.text((left + 8, top + 8), entry.state, fill=_FAULT, font=font)
        caption = entry.output if entry.state == "done" else entry.name
        caption = caption.encode(errors=_STRANGE).decode()
        while caption and draw.textlength(caption, font=font) > _CELL:
            caption = caption[1:]  # the end of a path tells more than its beginning
        draw.text((left, top + _CELL + 6), caption, fill=_INK, font=font)
    with atomic_path(path, overwrite=True) as temporary:
        sheet.save(temporary, "JPEG", quality=88)
