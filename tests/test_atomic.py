from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from burstfix.atomic import atomic_path
from burstfix.errors import OutputError


def test_atomic_path_when_all_goes_well_leaves_one_whole_file(tmp_path: Path):
    target = tmp_path / "a.tif"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".tif" and temporary.parent == tmp_path
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_path_when_the_body_raises_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_when_the_target_exists_refuses_before_any_work(tmp_path: Path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"), atomic_path(target):
        pytest.fail("the body must not run")
    assert target.read_bytes() == b"old"


def test_atomic_path_when_the_target_appears_meanwhile_does_not_overwrite_it(tmp_path: Path):
    target = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="exists already"), atomic_path(target) as temporary:
        temporary.write_bytes(b"mine")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_when_the_disk_is_full_is_an_output_error(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written .No space left"), atomic_path(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_when_the_folder_is_missing_or_the_target_a_folder_says_so(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "none" / "a"):
        pytest.fail("the body must not run")
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("the body must not run")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_atomic_path_when_done_gives_the_rights_any_new_file_has(tmp_path: Path):
    (tmp_path / "usual").touch()
    with atomic_path(tmp_path / "a"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "a")}
    assert len(modes) == 1


def test_atomic_path_when_the_disk_knows_no_rights_leaves_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
