"""Expansion of arguments to files."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstfix.errors import InputError
from burstfix.io.read.paths import expand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.dng", "a.DNG", "c.nef", "a.jpg", "._a.dng", "notes.txt", "shot[1].dng"):
        (tmp_path / name).touch()
    (tmp_path / "inner.dng").mkdir()
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_expand_when_given_a_folder_then_it_returns_the_raws_directly_in_it(folder: Path) -> None:
    assert names(expand([str(folder)])) == ["a.DNG", "b.dng", "c.nef", "shot[1].dng"]


def test_expand_when_the_shell_left_a_pattern_then_it_is_expanded(folder: Path) -> None:
    assert names(expand([f"{folder}/*.nef", f"{folder}/?.dng"])) == ["c.nef", "b.dng"]


def test_expand_when_a_file_has_a_name_like_a_pattern_then_it_returns_that_file(folder: Path) -> None:
    assert names(expand([f"{folder}/shot[1].dng"])) == ["shot[1].dng"]


def test_expand_when_files_are_given_then_their_order_and_any_suffix_are_kept(folder: Path) -> None:
    assert names(expand([f"{folder}/notes.txt", f"{folder}/a.DNG"])) == ["notes.txt", "a.DNG"]


@pytest.mark.parametrize("argument", ["missing.dng", "*.orf", "missing/*.dng"])
def test_expand_when_nothing_matches_then_the_error_names_the_argument(argument: str, folder: Path) -> None:
    with pytest.raises(InputError, match="no (such )?file"):
        expand([str(folder / argument)])


def test_expand_when_a_folder_has_no_raws_then_it_raises_input_error(folder: Path) -> None:
    with pytest.raises(InputError, match="no camera raws"):
        expand([str(folder / "inner.dng")])


@pytest.mark.parametrize("pattern", ["Harbour [2023-05]/*.dng", "H*/*.dng", "*/Day [1]/*.dng"])
def test_expand_when_a_folder_name_has_brackets_then_only_the_rest_is_a_pattern(
    pattern: str, tmp_path: Path
) -> None:
    for name in ("a.dng", "b.dng"):
        for folder in ("Harbour [2023-05]", "Harbour [2023-05]/Day [1]"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    assert names(expand([str(tmp_path / pattern)])) == ["a.dng", "b.dng"]


def test_expand_when_a_pattern_is_relative_then_the_files_are_relative(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert expand(["*.nef"]) == [Path("c.nef")]


def test_expand_when_a_name_is_too_long_for_any_file_system_then_it_raises_input_error() -> None:
    with pytest.raises(InputError, match="no such file"):
        expand(["n" * 300 + ".dng"])
