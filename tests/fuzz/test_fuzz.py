"""The fuzzer runs, repeats its cases, and detects faults."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import inputs, run


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
def test_fuzz_when_run_for_some_seconds_then_all_targets_have_allowed_outcomes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--seconds", "10", "--seed", "1", "--keep", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("seed 1, 10 s\n") and all(f"| {target} | " in output for target in run.TARGETS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", run.TARGETS)
def test_inputs_when_generated_twice_then_they_are_the_same(target: str, tmp_path: Path) -> None:
    make, _ = run.TARGETS[target]
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        path = make(random.Random("1"), folder)
        contents.append([p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "origin.dng"])
        assert path.exists()
    assert contents[0] == contents[1]


def test_fuzz_when_reading_raises_an_unexpected_error_then_the_input_is_kept_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(path: Path) -> object:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(run, "read_frame", broken)
    keep = tmp_path / "keep"
    assert run.main(["--seconds", "0.3", "--seed", "5", "--only", "dng", "--keep", str(keep)]) == 1
    assert "dng:5:0: ZeroDivisionError: oh" in capsys.readouterr().err
    assert (keep / "dng-5-0" / "shot.dng").is_file()
    assert run.main(["--case", "dng:5:0", "--keep", str(keep)]) == 1


def test_mutated_when_applied_many_times_then_the_input_is_hardly_ever_unchanged() -> None:
    original = bytes(range(256)) * 8
    changed = [inputs.mutated(original, random.Random(k), inputs.ANY_FILE) != original for k in range(200)]
    assert sum(changed) > 190
