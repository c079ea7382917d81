"""Names that are too long, and characters that must not reach a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstfix.names import NAME_LIMIT, fit_name, name_limit, printable, printable_document


@given(st.text(max_size=300))
def test_printable_when_given_any_text_then_result_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1 and "\x1b" not in shown and "\u202e" not in shown
    assert printable(shown) == shown


def test_printable_when_text_is_harmless_then_it_is_unchanged() -> None:
    for text in ("IMG_0001.dng", "caf\u00e9 \u65e5\u672c", "\U0001f600", "a\\b"):
        assert printable(text) == text
    assert printable("a\x1b[31m\u202eb\nc\udce9") == r"a\x1b[31m\u202eb\nc\udce9"


def test_printable_document_when_nested_then_every_string_is_escaped() -> None:
    document = {"a\n": ["\x1b", 1, None, {"b": ("\x07",)}]}
    assert printable_document(document) == {r"a\n": [r"\x1b", 1, None, {"b": [r"\x07"]}]}


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=200))
def test_fit_name_when_given_any_length_then_result_fits_and_keeps_the_suffix(stem: str) -> None:
    name = fit_name(f"{stem}.tif", 143)
    assert len(os.fsencode(name)) <= 143 and name.endswith(".tif")
    assert name == f"{stem}.tif" or len(os.fsencode(f"{stem}.tif")) > 143


def test_fit_name_when_long_names_differ_at_the_end_then_the_shortened_names_differ() -> None:
    names = {fit_name("n" * 300 + f"{k}.tif") for k in range(50)}
    assert len(names) == 50 and all(len(name) <= NAME_LIMIT for name in names)


@pytest.mark.skipif(os.name != "posix", reason="asks the file system")
def test_name_limit_when_a_folder_exists_then_a_file_name_of_that_length_is_valid(tmp_path: Path) -> None:
    (tmp_path / ("n" * name_limit(tmp_path))).touch()
    assert name_limit(tmp_path / "missing") == NAME_LIMIT
