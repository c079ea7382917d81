"""Text from files that is shown to people."""

from __future__ import annotations

import pytest

from burstfix.text import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name_1.dng", "plain name_1.dng"),
        ("Zoë 写真 صورة.dng", "Zoë 写真 صورة.dng"),
        ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
        ("two\nlines\r", r"two\nlines\r"),
        ("fdp\u202egnp", r"fdp\u202egnp"),
        ("sep\u2028\u2029\x85", r"sep\u2028\u2029\x85"),
        ("\udce4.dng", r"\udce4.dng"),
        ("\x00\x7f", r"\x00\x7f"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_printable_when_text_is_unsafe_then_it_shows_as_escapes(raw: str, shown: str) -> None:
    assert printable(raw) == shown
    printable(raw).encode("utf-8")
