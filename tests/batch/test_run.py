"""A batch continues earlier runs, keeps other files, and continues after failed bursts."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from burstfix.batch import job as jobs
from burstfix.batch.journal import Journal, read_entries
from burstfix.batch.lock import only_run
from burstfix.batch.memory import RESERVE, Budget
from burstfix.batch.plan import find_bursts
from burstfix.batch.report import BatchReport
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.cfa import LINEAR, MONOCHROME
from burstfix.checkpoints import load_model
from burstfix.cli import main
from burstfix.errors import BurstError, OutputError, UsageError
from burstfix.io import read_frame
from burstfix.models.base import BurstModel
from burstfix.models.catalog import best_for
from tests.batch.cards import ONE, burst, shoot
from tests.io.raw_files import set_tag
from tests.test_other_sensors import write_frames

SETTINGS = BatchSettings(model="average", device="cpu", format="jpeg")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    for k in range(3):
        burst(folder, 10 * k + 1, 2, 100.0 * k)
    return folder


def run(card: Path, settings: BatchSettings = SETTINGS, **options: object) -> BatchReport:
    return run_batch([card], card.parent / "out", settings, **options)  # type: ignore[arg-type]


def pictures(card: Path) -> dict[str, bytes]:
    out = card.parent / "out"
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*.jp*g")) if p.name != "summary.jpg"}


def states(card: Path) -> dict[str, str]:
    return {entry.name: entry.state for entry in read_entries(card.parent / "out")}


def break_burst(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    read = jobs.read_burst

    def broken(paths: tuple[Path, ...], **options: object) -> object:
        if paths[0].name == name:
            raise error
        return read(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "read_burst", broken)


def test_batch_when_one_burst_fails_then_the_others_are_merged_and_the_failure_is_stored(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_burst(monkeypatch, "IMG_0011.dng", BurstError("these are not one burst"))
    report = run(card)
    assert report.failed == {"IMG_0011.dng": "these are not one burst"} and report.exit_code == 8
    assert sorted(pictures(card)) == ["IMG_0001-IMG_0002.jpg", "IMG_0021-IMG_0022.jpg"]
    monkeypatch.undo()
    again = run(card)
    assert again.exit_code == 8 and again.failed == report.failed and len(again.skipped) == 2
    third = run(card, retry_failed=True)
    assert third.done == ["IMG_0011.dng"] and third.exit_code == 0
    assert set(states(card).values()) == {"done"}


def test_batch_when_an_unexpected_error_occurs_then_one_burst_fails(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_burst(monkeypatch, "IMG_0001.dng", ZeroDivisionError("oh"))
    report = run(card)
    assert report.failed == {"IMG_0001.dng": "unexpected error: ZeroDivisionError: oh"}
    assert "Traceback" in (card.parent / "out" / "burstfix.log").read_text()


def test_batch_when_a_frame_changes_then_only_its_burst_is_merged_again(card: Path) -> None:
    run(card)
    before = pictures(card)
    shoot(card / "new.dng", 100.2, scene=77)
    os.replace(card / "new.dng", card / "IMG_0012.dng")
    report = run(card)
    assert len(report.skipped) == 2 and not report.failed
    after = pictures(card)
    # The second frame now shows another scene, so there is no burst, and the picture stays.
    assert report.done == [] and after == before
    shoot(card / "new.dng", 100.2, scene=11, shift=2)
    os.replace(card / "new.dng", card / "IMG_0012.dng")
    assert run(card).done == ["IMG_0011.dng"]
    assert {name for name, data in pictures(card).items() if data != before[name]} == {
        "IMG_0011-IMG_0012.jpg"
    }


def test_batch_when_a_sidecar_is_added_or_changed_then_its_burst_is_merged_again(card: Path) -> None:
    run(card)
    sidecar = card / "IMG_0011.xmp"
    for rating in (3, 5):
        sidecar.write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{rating}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        assert run(card).done == ["IMG_0011.dng"]
    assert run(card).done == []


def test_batch_when_an_ensemble_is_requested_then_pictures_are_made_with_it(tmp_path: Path) -> None:
    burst(tmp_path / "card", 1, 2, 0.0)
    settings = BatchSettings(model="kpn", device="cpu", ensemble=2)
    assert len(run(tmp_path / "card", settings).done) == 1
    (picture,) = (tmp_path / "out").glob("*.tif")
    with tifffile.TiffFile(picture) as tif:
        assert b"<burstfix:Ensemble>2</" in tif.pages[0].tags[700].value  # type: ignore[union-attr]


def test_batch_when_raws_have_a_default_crop_then_the_size_is_that_of_the_picture(card: Path) -> None:
    for path in card.iterdir():
        set_tag(path, 50720, 90, 40)
    run(card)
    with Image.open(card.parent / "out" / "IMG_0001-IMG_0002.jpg") as image:
        assert image.size == (90, 40)
    rows = csv.DictReader((card.parent / "out" / "summary.csv").read_text(encoding="utf-8").splitlines())
    assert {row["megapixels"] for row in rows} == {"0.004"}


def test_batch_when_a_setting_changes_then_all_bursts_are_merged_again_unless_it_is_the_device(
    card: Path,
) -> None:
    run(card)
    assert len(run(card, replace(SETTINGS, tile=64, jobs=2)).skipped) == 3
    assert len(run(card, replace(SETTINGS, exposure=1.0)).done) == 3


def test_batch_when_a_burst_gains_frames_then_its_earlier_picture_is_removed(card: Path) -> None:
    run(card)
    burst(card, 3, 1, 0.4, scene=1)
    report = run(card)
    assert report.done == ["IMG_0001.dng"]
    assert "IMG_0001-IMG_0003.jpg" in pictures(card) and "IMG_0001-IMG_0002.jpg" not in pictures(card)


def test_batch_when_the_card_has_new_raws_with_the_same_names_then_old_pictures_stay(card: Path) -> None:
    run(card)
    before = pictures(card)
    shutil.rmtree(card)
    burst(card, 1, 2, 90000.0, scene=50)
    assert run(card).done == ["IMG_0001.dng"]
    after = pictures(card)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"IMG_0001-IMG_0002_dng.jpg"}


def test_batch_when_the_card_is_mounted_elsewhere_then_nothing_is_merged_again(card: Path) -> None:
    run(card)
    moved = card.rename(card.parent / "elsewhere")
    assert len(run(moved).skipped) == 3


def test_batch_when_another_file_has_the_name_of_a_picture_then_it_is_kept(card: Path) -> None:
    out = card.parent / "out"
    out.mkdir()
    (out / "IMG_0001-IMG_0002.jpg").write_bytes(b"precious")
    report = run(card)
    assert list(report.failed) == ["IMG_0001.dng"] and "already exists" in report.failed["IMG_0001.dng"]
    assert pictures(card)["IMG_0001-IMG_0002.jpg"] == b"precious" and len(report.done) == 2
    assert run(card, retry_failed=True).failed and pictures(card)["IMG_0001-IMG_0002.jpg"] == b"precious"
    assert run(card, replace(SETTINGS, overwrite=True), retry_failed=True).done == ["IMG_0001.dng"]


def test_batch_when_a_picture_was_edited_then_other_settings_do_not_overwrite_it(card: Path) -> None:
    run(card)
    edited = card.parent / "out" / "IMG_0001-IMG_0002.jpg"
    edited.write_bytes(b"better")
    assert len(run(card).skipped) == 3
    report = run(card, replace(SETTINGS, exposure=1.0))
    assert "was changed after" in report.failed["IMG_0001.dng"] and edited.read_bytes() == b"better"


def test_batch_when_another_run_holds_the_lock_then_it_stops_with_an_error(card: Path) -> None:
    out = card.parent / "out"
    out.mkdir()
    with (
        only_run(out),
        pytest.raises(OutputError, match=f"another batch is running in this folder .process {os.getpid()}"),
    ):
        run(card)
    assert len(run(card).done) == 3


def test_batch_when_interrupted_then_the_next_run_continues(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(job: object, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("burstfix.batch.local.timed_merge", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(card)
    assert states(card) == {"IMG_0001.dng": "running"} and not pictures(card)
    monkeypatch.undo()
    assert len(run(card).done) == 3
    assert not (card.parent / "out" / ".burstfix-staging").exists()


def test_batch_when_a_picture_was_moved_into_place_but_not_recorded_then_it_may_be_replaced(
    card: Path,
) -> None:
    run(card)
    with sqlite3.connect(card.parent / "out" / "burstfix.sqlite") as db:
        db.execute("UPDATE bursts SET state='running', stamp=NULL")
    before = pictures(card)
    assert len(run(card).done) == 3 and pictures(card) == before


def test_batch_when_memory_is_too_small_for_a_burst_then_it_fails_with_advice(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(ONE, height=640, width=960)
    for k in range(2):
        shoot(card / f"LARGE_{k}.dng", 1000 + 0.2 * k, camera=large)
    monkeypatch.setattr("burstfix.batch.memory.used_now", lambda: 0)
    report = run(card, replace(SETTINGS, max_memory=RESERVE + 30_000_000))
    assert len(report.done) == 3 and "--max-memory" in report.failed["LARGE_0.dng"]


def test_budget_when_bursts_are_read_ahead_then_they_stay_below_the_limit(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstfix.batch.memory.used_now", lambda: 0)
    most, fits = 0, Budget.fits
    size = 64 * 96 * 68

    def take(self: Budget, wanted: int) -> None:
        nonlocal most
        assert fits(self, wanted)
        self._taken += wanted
        most = max(most, self._taken)

    monkeypatch.setattr(Budget, "take", take)
    # The limit permits two of the three bursts, in addition to the share of the tiles.
    assert len(run(card, replace(SETTINGS, jobs=3, max_memory=RESERVE + int(2.5 * size / 0.6))).done) == 3
    assert most == 2 * size


def test_batch_when_singles_are_requested_then_they_are_denoised_alone(card: Path) -> None:
    shoot(card / "LONE.dng", 5000.0)
    assert len(run(card).done) == 3
    assert run(card, replace(SETTINGS, singles=True)).done == ["LONE.dng"]
    assert "LONE.jpg" in pictures(card)


def test_batch_when_the_output_folder_is_inside_the_folder_then_it_is_not_searched(card: Path) -> None:
    for _ in range(2):
        report = run_batch([card], card / "out", SETTINGS)
        assert len(report.done) + len(report.skipped) == 3


def test_journal_when_damaged_then_the_error_names_it(card: Path) -> None:
    out = card.parent / "out"
    out.mkdir()
    (out / "burstfix.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(OutputError, match=r"burstfix\.sqlite: the journal cannot be used"):
        run(card)


def test_journal_when_written_by_a_newer_version_then_the_error_states_this(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "burstfix.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(OutputError, match="newer version of burstfix"):
        Journal(tmp_path)


def test_batch_when_the_model_is_unknown_then_no_burst_is_started(card: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        run(card, replace(SETTINGS, model="nonsense"))
    assert states(card) == {}


def test_batch_when_a_burst_has_no_mosaic_then_auto_chooses_a_usable_model_and_loads_each_model_once(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cfa in (MONOCHROME, LINEAR):
        (card / cfa).mkdir()
        for path in write_frames(card / cfa, cfa, 2)[0]:
            # The search leaves out merged DNGs, so change their tags to those of a camera.
            path.write_bytes(path.read_bytes().replace(b"burstfix", b"a camera"))
    names: list[str] = []

    def load(name: str, device: str) -> BurstModel:
        names.append(name)
        return load_model(name, device)

    monkeypatch.setattr(jobs, "load_model", load)
    jobs.cached_model.cache_clear()
    report = run(card, replace(SETTINGS, model="auto"))
    assert not report.failed and sorted(names) == ["auto", "average"]
    merged_by = {e.name: e.result["model"] for e in read_entries(card.parent / "out")}
    assert merged_by["IMG_0001.dng"] == best_for("cpu") != "average"
    assert merged_by["linear/linear_0.dng"] == merged_by["monochrome/monochrome_0.dng"] == "average"


def test_batch_when_dngs_are_requested_then_they_equal_those_of_merge(card: Path, tmp_path: Path) -> None:
    report = run(card, replace(SETTINGS, layout="{first}", format="dng"))
    assert len(report.done) == 3 and read_entries(card.parent / "out")[0].result["thumb"]
    one = str(tmp_path / "one.dng")
    frames = [str(card / f"IMG_000{k}.dng") for k in (1, 2)]
    assert main(["merge", *frames, "-m", "average", "--device", "cpu", "-o", one, "-q"]) == 0
    ours, theirs = read_frame(card.parent / "out" / "IMG_0001.dng"), read_frame(Path(one))
    assert ours.metadata.cfa == LINEAR and np.array_equal(ours.mosaic, theirs.mosaic)


def test_batch_when_a_raw_is_corrupt_then_it_is_reported_and_only_skip_bad_accepts_it(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (card / "IMG_0003.dng").write_bytes((card / "IMG_0001.dng").read_bytes()[:3000])
    command = ["batch", str(card), "-o", str(card.parent / "out"), "-m", "average", "--device", "cpu", "-q"]
    assert main(command) == 8
    output = capsys.readouterr().out
    assert "IMG_0003.dng: cannot be read: " in output and "3 merged" in output and "0 failed" in output
    assert main([*command, "--skip-bad"]) == 0
    # After the raw has been repaired, it is merged with its burst.
    (card / "IMG_0003.dng").unlink()
    burst(card, 3, 1, 0.4, scene=1)
    assert main(command) == 0
    assert len(read_entries(card.parent / "out")[0].frames) == 3


def test_batch_when_a_noise_table_is_given_then_it_is_used_and_an_invalid_one_stops_the_batch(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in card.glob("*.dng"):
        path.unlink()
    burst(card, 1, 2, 0.0, noise=None)
    table = card.parent / "table.toml"
    profile = "iso = 3200\nshot_gain = [2e-3, 2e-3, 2e-3, 2e-3]\nread_variance = [2e-5, 2e-5, 2e-5, 2e-5]\n"
    out = card.parent / "out"
    command = ["batch", str(card), "-o", str(out), "-m", "average", "-q", "--noise-profiles", str(table)]
    assert main(command) == 3 and not read_entries(out)
    assert "table.toml" in capsys.readouterr().err
    table.write_text(f'[[camera]]\nname = "Acme One"\n{profile}')
    assert main(command) == 0
    assert read_entries(out)[0].result["noise"] == "table"


def test_batch_when_memory_is_too_small_for_every_burst_then_all_fail_and_the_batch_ends(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstfix.batch.memory.used_now", lambda: 0)
    report = run(card, replace(SETTINGS, max_memory=RESERVE + 1000))
    assert not report.done and len(report.failed) == 3


def test_batch_when_names_have_the_maximum_length_then_pictures_get_shortened_unique_names(
    tmp_path: Path,
) -> None:
    card = tmp_path / "card"
    prefix = "\u65e5" * 81
    for k in range(2):
        burst(card, 10 * k + 1, 2, 100.0 * k, prefix=prefix)
    report = run(card)
    assert len(report.done) == 2 and len(pictures(card)) == 2
    assert all(len(os.fsencode(name)) <= 255 for name in pictures(card))
    assert len(run(card).skipped) == 2


@pytest.mark.parametrize("name", ["#recycle", "@eaDir", "$RECYCLE.BIN", "@Recycle"])
def test_batch_when_a_folder_is_a_recycle_bin_then_it_is_searched_only_if_named(
    name: str, tmp_path: Path
) -> None:
    burst(tmp_path / "100ACME", 1, 2, 0.0)
    burst(tmp_path / name, 11, 2, 100.0)
    plan = find_bursts([tmp_path])
    assert [g.name for g in plan.groups] == ["100ACME/IMG_0001.dng"]
    assert [(s.path.name, "recycle bin" in s.reason) for s in plan.ignored] == [(name, True)]
    assert len(find_bursts([tmp_path / name]).bursts) == 1
