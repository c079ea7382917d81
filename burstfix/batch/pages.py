"""Reports of a batch: a page for each burst, and an index of all bursts.

The index is `report.html` in the output folder; the pages are in the subfolder `report`. All links are
relative, so the folder can be moved or published as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from burstfix.atomic import atomic_path
from burstfix.batch.journal import Entry
from burstfix.batch.layout import page_of
from burstfix.batch.output_folder import OutputFolder
from burstfix.batch.superseded import burst_key
from burstfix.pipeline import Finished
from burstfix.report.frames import burst_document
from burstfix.report.html.cards import Card, render_cards
from burstfix.report.html.write import write_report
from burstfix.settings import MergeSettings
from burstfix.types import Burst, LinearImage

INDEX_NAME = "report.html"
_CARD_WIDTH = 200  # pixels


def write_page(
    path: Path, picture: Path, burst: Burst, linear: LinearImage, finished: Finished, settings: MergeSettings
) -> None:
    """Write the page of a burst.

    Args:
        path: File of the page; replaced if it exists.
        picture: Final path of the picture.
        burst: The frames.
        linear: The merged picture, (3, H, W).
        finished: The picture as it was written.
        settings: Settings of the merge.

    Raises:
        OutputError: The page cannot be written.
    """
    document = {
        "output": str(picture.absolute()),
        **burst_document(burst),
        "model": linear.settings.get("model", settings.model),
        "settings": finished.image.settings,
    }
    write_report(path, burst, document, settings, linear, finished.image, overwrite=True)


def write_index(output: OutputFolder, entries: Sequence[Entry]) -> None:
    """Write the index of all bursts in the journal; it replaces an earlier one.

    Raises:
        OutputError: The index cannot be written.
    """
    entries = [entry for entry in entries if burst_key(entry.key) == entry.key]
    cards = [_card(output, entry) for entry in entries]
    failed = sum(card.is_fault for card in cards)
    subtitle = f"Pictures: {len(cards) - failed}, failed bursts: {failed}"
    page = render_cards(output.path.name, subtitle, cards, card_width=_CARD_WIDTH)
    with atomic_path(output.path / INDEX_NAME, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _card(output: OutputFolder, entry: Entry) -> Card:
    if entry.state != "done":
        reason = entry.error or "not merged yet"
        return Card(entry.name, (f"{entry.state}: {reason}",), is_fault=entry.state == "failed")
    result = entry.result
    lines = [f"{result.get('used', '?')} of {len(entry.frames)} frames, {result.get('model', '?')}"]
    lines += [f"left out: {reason}" for reason in result.get("left_out", ())]
    page = page_of(entry.output)
    if not output.has_picture(page):
        lines.append("no report: merged without --report")
    return Card(
        entry.output,
        lines,
        picture=f"data:image/jpeg;base64,{result['thumb']}" if result.get("thumb") else "",
        link=quote(os.fsencode(page)) if output.has_picture(page) else "",
    )
