"""A batch that is killed or fills the disk leaves only complete pictures, and the next run continues it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burstfix.batch.journal import read_entries
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cli import main
from tests.batch.cards import Camera, burst

SETTINGS = BatchSettings(model="average", device="cpu")
SCRIPT = Path(__file__).with_name("killed_runs.py")

ROOT = Path(__file__).resolve().parents[2]


def pictures(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.tif")}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_batch_when_killed_20_times_then_it_ends_like_an_undisturbed_run(tmp_path: Path) -> None:
    card, undisturbed, disturbed = (tmp_path / name for name in ("card", "undisturbed", "disturbed"))
    for k in range(60):
        burst(card / f"{k % 3}", 10 * k + 1, 2, 100.0 * k)
    assert len(run_batch([card], undisturbed, SETTINGS).done) == 60
    expected = pictures(undisturbed)
    command = [sys.executable, str(SCRIPT), str(card), str(disturbed), "20", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    progress = [int(line) for line in ran.stdout.split()]
    assert len(progress) == 20 and progress == sorted(progress) and progress[-1] > progress[0]
    # All pictures are complete and equal those of the undisturbed run.
    halfway = {name: data for name, data in pictures(disturbed).items() if not name.startswith(".")}
    assert all(expected[name] == data for name, data in halfway.items())
    report = run_batch([card], disturbed, SETTINGS)
    assert not report.failed and len(report.done) + len(report.skipped) == 60
    assert len(report.skipped) == progress[-1]
    assert pictures(disturbed) == expected
    assert {e.state for e in read_entries(disturbed)} == {"done"} and len(read_entries(disturbed)) == 60
    assert not list(disturbed.glob(".burstfix-staging"))


# Mounts a file system of two megabytes in a user namespace, which requires no privileges.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$OUT" || exit 77
"$PYTHON" -m burstfix batch "$CARD" -o "$OUT" -m average --device cpu
code=$?
ls -A "$OUT/.burstfix-staging" 2>/dev/null && exit 99
cp -r "$OUT/." "$KEPT"
exit $code
"""


def test_batch_when_the_disk_is_full_then_it_fails_with_complete_pictures_only(tmp_path: Path) -> None:
    card, out, kept = (tmp_path / name for name in ("card", "out", "kept"))
    for folder in (out, kept):
        folder.mkdir()
    for k in range(60):
        burst(card, 10 * k + 1, 2, 100.0 * k)
    names = {"CARD": str(card), "OUT": str(out), "KEPT": str(kept), "PYTHON": sys.executable}
    try:
        ran = subprocess.run(
            ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK],
            env=os.environ | names,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if ran.returncode == 77 or "unshare" in ran.stderr:
        pytest.skip("no small disk can be mounted here")
    assert ran.returncode == 5, ran.stderr
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("burstfix: ") and "full" in last and "free some space" in last
    assert "Traceback" not in ran.stderr
    # With more space, the next run continues and keeps the existing pictures.
    before = pictures(kept)
    assert 0 < len(before) < 60
    report = run_batch([card], kept, SETTINGS)
    assert len(report.done) + len(report.skipped) == 60 and not report.failed
    assert len(report.skipped) >= len(before) - 1
    after = pictures(kept)
    assert {name: after[name] for name in before} == before


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_batch_when_file_sizes_are_limited_then_large_pictures_fail_and_leave_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    card, out = tmp_path / "card", tmp_path / "out"
    burst(card, 1, 2, 0.0)
    burst(card / "large", 1, 2, 500.0, camera=Camera(height=640, width=960))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The limit allows the journal and a small 16-bit picture, but not a large one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        code = main(["batch", str(card), "-o", str(out), "-m", "average", "--device", "cpu"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 8
    assert "cannot be written (File too large)" in capsys.readouterr().out
    assert list(pictures(out)) == ["IMG_0001-IMG_0002.tif"]
