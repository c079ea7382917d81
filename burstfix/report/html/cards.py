"""Pages that show many bursts as cards: the index of a batch, and the contact sheet of a preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burstfix.report.html.environment import render_template


@dataclass(frozen=True, slots=True)
class Card:
    """One burst on a page.

    Attributes:
        name: Name of the burst or of its picture.
        lines: Short texts below the name.
        picture: Data URI of the picture; "" if there is none.
        link: Relative URL of the burst's own page; "" if there is none.
        is_fault: True if the burst could not be merged.
    """

    name: str
    lines: Sequence[str]
    picture: str = ""
    link: str = ""
    is_fault: bool = False


def render_cards(title: str, subtitle: str, cards: Sequence[Card], *, card_width: int) -> str:
    """Return a self-contained HTML page.

    Args:
        title: Title of the page.
        subtitle: Text below the title.
        cards: The bursts, in order.
        card_width: Minimum width of a card in pixels, on screens that are wide enough.
    """
    return render_template("cards.html", title=title, subtitle=subtitle, cards=cards, card_width=card_width)
