"""The whole command: help, speed, exit codes of errors, output on stdout and stderr."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from burstfix import errors
from burstfix.cli import app, main
from burstfix.cli import merge as merge_file
from burstfix.cli.app import COMMANDS

SLOW_IMPORTS = ("torch", "numpy", "rich", "rawpy", "PIL", "tifffile")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "burstfix", *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_group_when_help_is_requested_then_no_slow_module_is_imported(arguments: list[str]) -> None:
    script = (
        "import sys; from burstfix.cli import main; code = main(sys.argv[1:]); "
        f"print([m for m in {SLOW_IMPORTS!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert "burstfix" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_command_when_help_is_requested_then_it_shows_examples_and_no_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"burstfix {name} " in out.split("Examples:")[1]
    assert "Exit codes:" not in out
    assert err == ""


def test_group_when_help_is_requested_then_it_shows_the_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Exit codes:" in out and "130" in out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("merg", "did you mean merge?"), ("insepct", "did you mean inspect?"), ("x", "choose from merge,")],
)
def test_command_when_misspelled_then_the_error_suggests_a_name(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("name", ["weights", "config"])
def test_command_group_when_no_subcommand_is_given_then_it_shows_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: burstfix {name} ") and "Commands:\n" in out
    assert err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_command_when_loaded_then_its_help_begins_with_the_listed_summary(name: str) -> None:
    ctx = app.group.make_context("burstfix", [], resilient_parsing=True)
    command = app.group.get_command(ctx, name)
    assert command is not None
    # The list contains copies of the summaries, so that --help does not import commands.
    first_paragraph = " ".join((command.help or "").split("\n\n")[0].split())
    assert first_paragraph == COMMANDS[name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["merg"],
        ["merge"],
        ["merge", "--no-such-option", "a.dng"],
        ["merge", "a.dng", "--device", "gpu"],
        ["merge", "a.dng", "--noise", "1e-3"],
        ["merge", "a.dng", "--noise", "-1,0"],
        ["merge", "a.dng", "--noise", "nan,1"],
        ["merge", "a.dng", "--wb", "1,1"],
        ["merge", "a.dng", "--wb", "daylight"],
        ["merge", "a.dng", "--exposure", "bright"],
        ["merge", "a.dng", "--reference", "0"],
        ["merge", "a.dng", "--tile", "-1"],
        ["merge", "a.dng", "--bit-depth", "12"],
        ["merge", "a.dng", "--precision", "int8"],
        ["merge", "a.dng", "-o", "out.webp"],
        ["merge", "a.dng", "-o", "out"],
        ["merge", "a.dng", "-o", "out.tif", "--format", "png"],
        ["merge", "a.dng", "-o", "out.jpg", "--bit-depth", "16"],
        ["merge", "a.dng", "-o", "out.tif", "--quality", "90"],
    ],
)
def test_main_when_usage_is_wrong_then_exits_2_with_one_line(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # an empty folder
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("burstfix: ") and err.count("\n") == 1


ERRORS = [
    errors.UsageError,
    errors.InputError,
    errors.UnsupportedSensorError,
    errors.BurstError,
    errors.OutputError,
    errors.OutOfMemoryError,
    errors.WeightsError,
]


def raise_from_merge(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_arguments: object) -> None:
        raise error

    monkeypatch.setattr(merge_file, "expand", fail)


@pytest.mark.parametrize("kind", ERRORS)
def test_main_when_the_library_raises_an_error_then_exits_with_its_code(
    kind: type[errors.BurstfixError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_merge(monkeypatch, kind("a.dng: is odd\nin two lines"))
    assert main(["merge", "a.dng"]) == kind.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "burstfix: a.dng: is odd in two lines\n")


def test_main_when_json_is_requested_then_an_error_is_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_merge(monkeypatch, errors.BurstError("frames differ"))
    assert main(["merge", "a.dng", "--json"]) == 4
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == "burstfix.error"
    assert (document["error"], document["exit_code"]) == ("frames differ", 4)
    assert err == "burstfix: frames differ\n"


def test_main_when_usage_is_wrong_and_json_is_requested_then_prints_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["inspect", "--json", "--nonsense"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_main_when_an_unexpected_error_occurs_then_exits_1_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_merge(monkeypatch, RuntimeError("the sky fell"))
    assert main(["merge", "a.dng"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the sky fell" in err and "-vv" in err


def test_main_when_very_verbose_then_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_merge(monkeypatch, RuntimeError("the sky fell"))
    assert main(["merge", "a.dng", "-vv"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 6),
        (RuntimeError("could not create a primitive"), 6),
        (BrokenPipeError(), 141),
    ],
)
def test_main_when_stopped_by_a_signal_or_broken_pipe_then_exits_with_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_from_merge(monkeypatch, error)
    # After a broken pipe, `main` redirects stdout; protect the stdout of the test runner.
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert main(["merge", "a.dng"]) == code


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(
    ("number", "words", "code"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_main_when_stopped_by_a_signal_and_json_is_requested_then_prints_one_document(
    number: int, words: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(merge_file, "expand", lambda _: signal.raise_signal(number))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore SIGINT
    try:
        assert main(["merge", "a.dng", "--json"]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["error"], document["exit_code"]) == (words, code)
    assert err == f"burstfix: {words}\n"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_module_when_a_pipe_cannot_encode_a_name_then_the_result_is_printed(
    flags: list[str], example_burst: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "夜").mkdir()
    shutil.copy(example_burst[0], tmp_path / "夜")
    done = subprocess.run(
        [sys.executable, "-m", "burstfix", "group", str(tmp_path), *flags],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if flags:
        assert json.loads(done.stdout)["groups"][0]["name"].startswith("夜")
    else:
        assert b"\\u591c" in done.stdout


def test_main_when_the_reader_of_stdout_has_ended_then_prints_no_error() -> None:
    script = f'"{sys.executable}" -m burstfix --help'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; (sleep 1; {script}; echo code $? >&2) | true"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "code 141\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["warning: odd"]),
        (["-v"], ["warning: odd", "noise from the file"]),
        (["-q"], []),
        (["-vv"], ["odd", "noise from the file", "details", "strange tag"]),
    ],
)
def test_log_when_verbosity_changes_then_shows_the_records_of_this_level(
    flags: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def speak(_arguments: object) -> None:
        log = logging.getLogger("burstfix.somewhere")
        log.warning("odd")
        log.info("noise from the file")
        log.debug("details")
        logging.getLogger("tifffile").warning("strange tag")
        raise errors.InputError("enough")

    monkeypatch.setattr(merge_file, "expand", speak)
    assert main(["merge", "a.dng", *flags]) == 3
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("burstfix: ")]
    assert out == ""
    assert len(lines) == len(expected) + 1
    assert all(text in line for text, line in zip(expected, lines, strict=False))


def test_main_when_started_then_threads_wait_passively_and_glibc_keeps_freed_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Library:
        calls: list[tuple[int, int]] = []

        def mallopt(self, name: int, value: int) -> None:
            self.calls.append((name, value))

    monkeypatch.setattr(app.ctypes, "CDLL", lambda name: Library())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert main(["--version"]) == 0
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("PASSIVE", "1000")
    assert Library.calls == [(-4, 0), (-1, 2**31 - 1)]  # M_MMAP_MAX, M_TRIM_THRESHOLD
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_main_when_the_c_library_is_not_glibc_then_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app.ctypes, "CDLL", lambda name: object())  # without mallopt
    assert main(["--version"]) == 0
    assert "burstfix" in capsys.readouterr().out


def test_module_when_run_then_behaves_like_the_command() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("burstfix, version ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_when_the_script_is_requested_then_prints_it(shell: str) -> None:
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("bash is not installed")
    done = complete(f"{shell}_source", "burstfix ")
    assert f"_BURSTFIX_COMPLETE={shell}_complete" in done


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("burstfix me", ["merge"]),
        ("burstfix merge -m kp", ["kpn"]),
        ("burstfix merge --opcodes ", ["apply", "skip"]),
        ("burstfix evaluate --noise-level l", ["low"]),
        ("burstfix merge --preset n", ["night"]),
    ],
)
def test_completion_when_a_word_is_incomplete_then_offers_the_matching_words(
    line: str, expected: list[str], tmp_path: Path
) -> None:
    presets = tmp_path / "burstfix" / "presets"
    presets.mkdir(parents=True)
    (presets / "night.toml").touch()
    offered = complete("bash_complete", line, XDG_CONFIG_HOME=str(tmp_path)).split()
    assert offered == [f"plain,{word}" for word in expected]


def complete(instruction: str, line: str, **more: str) -> str:
    words = line.split(" ")
    environment = {"_BURSTFIX_COMPLETE": instruction, "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "burstfix"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, **more},
        timeout=120,
    )
    return done.stdout
