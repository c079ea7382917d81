"""Progress bars, and what they leave on the streams."""

from __future__ import annotations

import io
import sys

import pytest
from rich.table import Table

from burstfix.cli.batch_display import BatchDisplay
from burstfix.cli.terminal import Terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_as_stderr(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """To be called inside a test: pytest sets its own stderr between fixtures and test."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    fake = Screen()
    monkeypatch.setattr(sys, "stderr", fake)
    return fake


def work(terminal: Terminal) -> None:
    with terminal.progress() as progress:
        for done in range(4):
            progress("decode", done, 3)
        progress("prepare", 7, 7)
        progress("merge", 1, 10)


def test_progress_when_stderr_is_a_terminal_then_shows_the_stages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    work(Terminal())
    shown = screen.getvalue()
    assert "Decoding" in shown and "100%" in shown
    assert "Preparing" in shown
    assert "Merging" in shown and "10%" in shown


def test_progress_when_quiet_then_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_as_stderr(monkeypatch)
    work(Terminal(quiet=True))
    assert screen.getvalue() == ""


def test_progress_when_the_terminal_cannot_move_its_cursor_then_shows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    work(Terminal())
    assert screen.getvalue() == ""


def test_progress_when_stderr_is_a_pipe_then_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Terminal())
    assert capsys.readouterr() == ("", "")


def test_result_when_names_look_like_markup_then_shows_them_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("[night] :cat:")
    table.add_row("[bold]a[/bold] [/]")
    Terminal().result({}, table)
    out = capsys.readouterr().out
    assert "[night] :cat:" in out and "[bold]a[/bold] [/]" in out


def test_batch_display_when_a_burst_looks_like_markup_then_shows_it_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    with BatchDisplay(Terminal()).shown() as display:
        display.progress("[night]/a.dng", "merge", 1, 2)
    assert "[night]/a.dng" in screen.getvalue()


def test_result_when_closing_and_quiet_then_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(quiet=True).result({}, "done", closing=True)
    assert capsys.readouterr() == ("", "")
    Terminal(quiet=True).result({}, "the answer")
    assert capsys.readouterr() == ("the answer\n", "")


def test_result_when_json_and_quiet_then_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(json=True, quiet=True).result({"ä": 1}, "done", closing=True)
    assert capsys.readouterr() == ('{\n  "\\u00e4": 1\n}\n', "")
