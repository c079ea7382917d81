from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError


def test_atomic_path_when_the_body_succeeds_then_one_complete_file_exists(tmp_path: Path):
    target = tmp_path / "a.tif"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".tif" and temporary.parent == tmp_path
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_path_when_the_body_raises_then_only_the_old_file_exists(
    tmp_path: Path, error: type[BaseException]
):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_when_the_target_exists_then_it_fails_before_the_body_runs(tmp_path: Path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="already exists"), atomic_path(target):
        pytest.fail("the body must not run")
    assert target.read_bytes() == b"old"


def test_atomic_path_when_the_target_appears_during_the_body_then_it_is_not_overwritten(tmp_path: Path):
    target = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="already exists"), atomic_path(target) as temporary:
        temporary.write_bytes(b"mine")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_when_the_disk_is_full_then_output_error(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written .No space left"), atomic_path(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_when_the_folder_is_missing_or_the_target_is_a_folder_then_output_error(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "none" / "a"):
        pytest.fail("the body must not run")
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("the body must not run")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_atomic_path_when_done_then_the_file_has_the_usual_permissions(tmp_path: Path):
    (tmp_path / "usual").touch()
    with atomic_path(tmp_path / "a"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "a")}
    assert len(modes) == 1


def test_atomic_path_when_the_file_system_has_no_permissions_then_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
