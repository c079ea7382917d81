"""Progress bars and results on the standard streams."""

from __future__ import annotations

import io
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.table import Table

from burstfix.cli import main
from burstfix.cli.batch_display import BatchDisplay
from burstfix.cli.progress import MERGING, BatchProgress, OverallProgress
from burstfix.cli.terminal import Terminal
from burstfix.records import Error
from tests.batch.cards import Camera, burst


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_as_stderr(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Replace stderr by a terminal. Call this in tests, because pytest replaces stderr after fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    fake = Screen()
    monkeypatch.setattr(sys, "stderr", fake)
    return fake


def work(terminal: Terminal) -> None:
    with terminal.progress(MERGING) as progress:
        for done in range(4):
            progress("decode", done, 3)
        progress("prepare", 7, 7)
        progress("merge", 1, 10)


def test_progress_when_stderr_is_a_terminal_then_one_bar_names_the_stages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    work(Terminal())
    shown = screen.getvalue()
    for stage in ("Starting", "Decoding", "Analysing", "Merging"):
        assert stage in shown
    # Shares of the stages before the merge, and a tenth of the merge: .05 + .08 + .12 + .15 + .052.
    assert "100%" not in shown and "45%" in shown
    assert " left" in shown and "-:--" not in shown


def test_overall_progress_when_stages_follow_each_other_then_it_never_decreases() -> None:
    now = iter([0.0, 1.0, 10.0])
    overall = OverallProgress(MERGING, clock=lambda: next(now))
    assert (overall.description, overall.time_text) == ("Starting", "0:01 elapsed")
    fractions = []
    for stage, done, total in [
        ("decode", 1, 2),
        ("prepare", 1, 1),
        ("prepare", 0, 1),
        ("merge", 5, 4),
        ("write", 1, 1),
    ]:
        overall.report(stage, done, total)
        fractions.append(overall.fraction)
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    overall.fraction = 0.5
    assert overall.time_text == "0:10 left"


def test_overall_progress_when_a_stage_is_not_listed_then_fraction_is_of_this_stage() -> None:
    overall = OverallProgress({})
    overall.report("train", 1, 4)
    assert (overall.description, overall.fraction) == ("Training", 0.25)


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


def test_result_when_names_look_like_markup_then_shows_them_unchanged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("[night] :cat:")
    table.add_row("[bold]a[/bold] [/]")
    Terminal().result(Error, {}, lambda _: table)
    out = capsys.readouterr().out
    assert "[night] :cat:" in out and "[bold]a[/bold] [/]" in out


def test_batch_display_when_a_name_looks_like_markup_then_shows_it_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    with BatchDisplay(Terminal()).shown() as display:
        display.event("plan", groups(1))
        display.progress("[night]/a.dng", "merge", 1, 2)
    assert "[night]/a.dng" in screen.getvalue()


def groups(count: int) -> dict[str, list[dict[str, str]]]:
    """Return the data of the event "plan" for bursts that are all merged."""
    return {"groups": [{"output": f"{number}.tif"} for number in range(count)]}


def test_batch_display_when_bursts_are_merged_then_one_bar_names_stage_number_and_burst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_as_stderr(monkeypatch)
    with BatchDisplay(Terminal()).shown() as display:
        display.progress("", "scan", 1, 2)
        display.event("plan", groups(3))
        display.progress("a.dng", "decode", 1, 2)
        display.event("done", {"name": "a.dng"})
        display.progress("b.dng", "merge", 1, 2)
        shown = screen.getvalue()
    for text in ("Starting", "Searching for raws", "Decoding 1 of 3", "a.dng", "Merging 2 of 3", "b.dng"):
        assert text in shown
    assert "\x1b[1A" not in shown  # there is only one bar, because the cursor never moves up


def test_batch_progress_when_bursts_run_then_the_fraction_rises_from_the_search_to_the_end() -> None:
    now = [0.0]
    state = BatchProgress(clock=lambda: now[0])
    fractions = [state.fraction]

    def seen() -> float:
        fractions.append(state.fraction)
        return state.fraction

    state.report("", "scan", 1, 2)
    assert 0 < seen() < 0.05
    state.plan(4)
    assert seen() == pytest.approx(0.05)
    for name in ("a", "b"):
        state.report(name, "decode", 1, 2)
        assert seen() > fractions[-2]
        state.report(name, "merge", 1, 1)
        assert seen() > fractions[-2]
    state.finish("a")
    state.finish("b")
    now[0] = 10.0
    assert seen() == pytest.approx(0.05 + 0.95 * 0.5) and state.time_text == "0:10 left"
    state.finish("c")
    state.finish("d")
    assert seen() == 1 and fractions == sorted(fractions)


def test_batch_progress_when_bursts_were_merged_before_then_they_do_not_count() -> None:
    state = BatchProgress()
    state.plan(10)
    for name in "abcdefgh":
        state.finish(name, skipped=True)
    assert state.fraction == pytest.approx(0.05)
    state.finish("i")
    assert state.fraction == pytest.approx(0.05 + 0.95 / 2)
    state.finish("j", skipped=True)
    assert state.fraction == 1


def test_result_when_closing_and_quiet_then_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(quiet=True).result(Error, {}, lambda _: "done", closing=True)
    assert capsys.readouterr() == ("", "")
    Terminal(quiet=True).result(Error, {}, lambda _: "the answer")
    assert capsys.readouterr() == ("the answer\n", "")


def test_result_when_json_and_quiet_then_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(json=True, quiet=True).result(
        Error, {"error": "ä", "exit_code": 1}, lambda _: "done", closing=True
    )
    out, err = capsys.readouterr()
    assert out.startswith('{\n  "schema": "burstfix.error"') and '"error": "\\u00e4"' in out and err == ""


HOSTILE = "IMG\x1b[31m\u202e\n_1"


def test_log_line_when_a_name_contains_control_characters_then_they_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal().error(f"{HOSTILE}.dng: is damaged", 3)
    Terminal().log_line(HOSTILE)
    output = capsys.readouterr().err
    assert output == "burstfix: IMG\\x1b[31m\\u202e\\n_1.dng: is damaged\nIMG\\x1b[31m\\u202e\\n_1\n"
    screen = screen_as_stderr(monkeypatch)
    Terminal().log_line(HOSTILE)
    assert "IMG\\x1b[31m" in screen.getvalue() and "\u202e" not in screen.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
@pytest.mark.parametrize("command", ["batch", "group", "inspect", "merge"])
def test_command_when_names_and_tags_contain_control_characters_then_the_terminal_gets_none(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, out = tmp_path / "card\x1b[2J", tmp_path / "out"
    out.mkdir()
    camera = Camera(model="One\x1b[31m", lens="50mm\x9b1m\u2066")
    frames = burst(card, 1, 3, 0.0, camera=camera, prefix="IMG\x1b]0;\u202e_")
    (card / "bad\x1b[1m.dng").write_bytes(b"damaged")
    arguments = {
        "batch": ["batch", str(card), "-o", str(out), "-m", "average", "-v"],
        "group": ["group", str(card)],
        "inspect": ["inspect", *map(str, frames), "-v"],
        "merge": ["merge", *map(str, frames), "-o", str(out), "-m", "average", "-v"],
    }[command]
    main([*arguments])
    output = capsys.readouterr()
    log = out / "burstfix.log"
    text = output.out + output.err + (log.read_text(encoding="utf-8") if log.exists() else "")
    assert "IMG\\x1b]0;\\u202e_" in text
    assert not [c for c in text if c != "\n" and (unicodedata.category(c) == "Cc" or c in "\u202e\u2066")]
