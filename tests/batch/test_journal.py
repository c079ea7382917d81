"""Reading the journal changes no files, and names that are not UTF-8 are stored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from burstfix.batch.journal import FILE_NAME, Journal, read_entries
from tests.batch.cards import burst


def begin(journal: Journal, key: str = "a.dng@now") -> None:
    settings = {"inputs": "1", "settings": "2", "layout": "{first}"}
    journal.start(key, name=key, output=f"{key}.tif", frames=[key], **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_entries_when_read_after_a_run_then_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    begin(journal)
    journal.close()
    before = contents(tmp_path)
    assert [entry.name for entry in read_entries(tmp_path)] == ["a.dng@now"]
    assert contents(tmp_path) == before and list(before) == [FILE_NAME]


def test_entries_when_read_during_a_run_or_after_a_kill_then_they_are_complete(tmp_path: Path) -> None:
    journal, killed = Journal(tmp_path / "."), tmp_path / "killed"
    begin(journal)
    shutil.copytree(tmp_path, killed)
    for folder in (tmp_path, killed):
        names = sorted(path.name for path in folder.glob("burstfix*"))
        assert [entry.state for entry in read_entries(folder)] == ["running"]
        assert sorted(path.name for path in folder.glob("burstfix*")) == names
    journal.close()


def test_journal_when_a_name_is_not_utf8_then_it_is_kept_and_found(tmp_path: Path) -> None:
    journal, name = Journal(tmp_path), "IMG_\udce9.dng"
    begin(journal, name)
    journal.put_value(Path(name), "1:1", "sha256", "abc")
    assert journal.get_value(Path(name), "1:1", "sha256") == "abc"
    journal.fail(name, error=f"{name}: is damaged", exit_code=3)
    journal.rename(name, f"moved/{name}")
    journal.close()
    [entry] = read_entries(tmp_path)
    assert (entry.key, entry.name, entry.frames) == (f"moved/{name}", name, (name,))
    assert (entry.state, entry.output, entry.error) == ("failed", f"{name}.tif", f"{name}: is damaged")


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 exist there alone")
def test_batch_when_names_are_not_utf8_then_bursts_are_merged(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/card/\xe9"))
    burst(folder, 1, 2, 0.0, prefix=os.fsdecode(b"\xe4_"))
    (folder / os.fsdecode(b"\xe4_0003.dng")).write_bytes(b"damaged")
    out = tmp_path / "out"
    # Run in another process, because pytest handles only UTF-8 in logs.
    command = [sys.executable, "-m", "burstfix", "batch", folder.parent, "-o", out, "-m", "average"]
    for state in ("done", "skipped"):
        run = subprocess.run([*command, "--skip-bad", "--json"], capture_output=True, check=True)
        assert json.loads(run.stdout.splitlines()[-1])[state] == ["\udce9/\udce4_0001.dng"]
    assert os.listdir(os.fsencode(out / folder.name)) == [b"\xe4_0001-\xe4_0002.tif"]
    assert r"\udce9/\udce4_0001.dng" in (out / "summary.csv").read_text(encoding="utf-8")
    assert r"\udce9/\udce4_0001.dng" in (out / "burstfix.log").read_text(encoding="utf-8")
