"""One exposure for a series, so that its pictures do not flicker."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstfix.batch import job
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from burstfix.errors import UsageError
from burstfix.settings import MergeSettings
from tests.batch.cards import burst

SETTINGS = BatchSettings(model="average", device="cpu", format="jpeg", exposure="shared")


def exposures_of(
    card: Path, monkeypatch: pytest.MonkeyPatch, settings: BatchSettings = SETTINGS
) -> list[float]:
    """Return the exposure of each picture of a batch, in the order of the bursts."""
    found: dict[str, float] = {}
    finish = job.finish_picture

    def spy(linear, path, *arguments, **options):
        finished = finish(linear, path, *arguments, **options)
        name = finished.image.settings["reference"]
        found[name] = finished.image.settings["render"]["exposure_ev"]
        return finished

    monkeypatch.setattr(job, "finish_picture", spy)
    run_batch([card], card.parent / "out", settings)
    return [found[name] for name in sorted(found)]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Create three dark bursts, each darker than the previous one."""
    card = tmp_path / "card"
    for k, exposure in enumerate((1 / 150, 1 / 250, 1 / 400)):
        burst(card, 10 * k + 1, 2, 100.0 * k, exposure=exposure, scene=1)
    return card


def test_batch_when_exposure_is_shared_then_all_pictures_of_a_folder_have_the_same_exposure(
    series, monkeypatch
):
    found = exposures_of(series, monkeypatch)
    assert len(found) == 3
    assert len(set(found)) == 1 and found[0] > 0.5


def test_batch_when_exposure_is_not_shared_then_pictures_differ(series, monkeypatch):
    settings = BatchSettings(model="average", device="cpu", format="jpeg")
    assert len(set(exposures_of(series, monkeypatch, settings))) == 3


def test_batch_when_exposure_is_shared_then_each_folder_has_its_own_exposure(series, monkeypatch):
    burst(series / "bright", 90, 2, 0.0, exposure=1 / 20, scene=1)
    found = exposures_of(series, monkeypatch)
    assert len(found) == 4
    assert len(set(found[:3])) == 1 and found[3] == 0.0


def test_settings_when_exposure_is_shared_then_only_a_batch_accepts_it():
    with pytest.raises(UsageError, match="exposure"):
        MergeSettings(exposure="shared")
