"""Checks of output files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from burstfix.cli.target import Target, plan
from burstfix.errors import OutputError, UsageError
from burstfix.settings import MergeSettings


def planned(output: str | Path | None, *, overwrite: bool = False, **typed: Any) -> Target:
    settings = MergeSettings(**typed)
    return plan(None if output is None else str(output), settings, typed=typed, overwrite=overwrite)


@pytest.mark.parametrize(
    ("name", "format", "depth"),
    [("a.tif", "tiff", 16), ("a.TIFF", "tiff", 16), ("a.png", "png", 16), ("a.jpg", "jpeg", 8)],
)
def test_plan_when_given_a_file_then_its_suffix_determines_the_format(
    name: str, format: str, depth: int, tmp_path: Path
) -> None:
    target = planned(tmp_path / name)
    assert (target.format, target.bit_depth) == (format, depth)
    assert target.path(Path("x/ref.dng")) == tmp_path / name


@pytest.mark.parametrize(
    ("format", "name"), [(None, "ref_merged.tif"), ("png", "ref_merged.png"), ("jpeg", "ref_merged.jpg")]
)
def test_plan_when_given_a_folder_then_names_the_file_after_the_reference(
    format: str | None, name: str, tmp_path: Path
) -> None:
    assert (
        planned(tmp_path, **({"format": format} if format else {})).path(Path("x/ref.dng")) == tmp_path / name
    )


def test_plan_when_no_output_is_given_then_it_is_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = planned(None).path(Path("x/ref.dng"))
    assert path.resolve() == tmp_path / "ref_merged.tif"


def test_plan_when_the_file_exists_then_output_error_unless_overwrite_is_set(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        planned(tmp_path / "a.tif")
    assert planned(tmp_path / "a.tif", overwrite=True).path(Path("r.dng")) == tmp_path / "a.tif"


def test_path_when_the_default_name_exists_then_output_error(tmp_path: Path) -> None:
    (tmp_path / "ref_merged.tif").touch()
    target = planned(tmp_path)
    with pytest.raises(OutputError, match="already exists"):
        target.path(Path("ref.dng"))


def test_plan_when_the_folder_is_missing_then_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        planned(tmp_path / "missing" / "a.tif")
    with pytest.raises(OutputError, match="does not exist"):
        planned(f"{tmp_path}/missing/")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not a folder"):
        planned(tmp_path / "file" / "a.tif")


def test_plan_when_the_folder_cannot_be_written_then_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(OutputError, match="Read-only file system"):
        planned(tmp_path / "a.tif")


def test_plan_when_done_then_it_leaves_no_file(tmp_path: Path) -> None:
    planned(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_plan_when_settings_of_a_file_do_not_fit_the_format_then_they_are_ignored(
    tmp_path: Path,
) -> None:
    settings = MergeSettings(format="dng", bit_depth=16, quality=90)
    target = plan(str(tmp_path / "a.jpg"), settings)
    assert (target.format, target.bit_depth) == ("jpeg", 8)


@pytest.mark.parametrize("name", ["a", "a.webp", "a.nef"])
def test_plan_when_the_suffix_is_unknown_then_usage_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"use \.tif, \.png, .* or \.dng"):
        planned(tmp_path / name)


def test_refuse_inputs_when_the_output_is_a_frame_then_output_error_even_with_overwrite(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.tif").touch()
    target = planned(tmp_path / "a.tif", overwrite=True)
    with pytest.raises(OutputError, match="frame of the burst"):
        target.refuse_inputs([tmp_path / "a.tif"])
    target.refuse_inputs([])


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("a.tif", {"dng_compression": "jxl"}, "--dng-compression applies to DNG only"),
        ("a.dng", {"scale": 0.5}, "--scale does not apply to"),
        ("a.dng", {"max_size": 800}, "--max-size does not apply to"),
    ],
)
def test_plan_when_an_option_is_for_another_kind_of_file_then_usage_error(
    name: str, changes: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        plan(str(tmp_path / name), MergeSettings(**changes), typed=changes)
