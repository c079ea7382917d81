"""Training photographs: corrupt ones are skipped and counted, and the seed determines the crops."""

import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.errors import InputError
from burstfix.training.photos import load_photos

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, (h, w) in {"a.png": (80, 120), "b.jpg": (90, 70), "small.png": (20, 200)}.items():
        Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_photos_when_some_are_corrupt_or_small_then_they_are_skipped_and_counted(folder, caplog):
    store = load_photos([folder], 64, CPU)
    assert sorted(store.names) == ["a.png", "b.jpg"]
    assert sorted(store.skipped) == ["broken.jpg", "small.png"]
    assert "2 of 4 pictures skipped" in caplog.text


def test_photos_when_in_a_tar_archive_then_they_are_read_like_a_folder(folder, tmp_path):
    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as handle:
        for name in ("a.png", "b.jpg"):
            handle.add(folder / name, f"some/{name}")
    from_tar = load_photos([archive], 64, CPU)
    from_folder = load_photos([folder / "a.png", folder / "b.jpg"], 64, CPU)
    for one, other in zip(from_tar.pictures, from_folder.pictures, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("source", ["missing", "empty", "broken.tar"])
def test_photos_when_no_photo_is_usable_then_input_error_names_the_source(tmp_path, source):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(InputError, match=source):
        load_photos([tmp_path / source], 64, CPU)


def test_crops_when_drawn_twice_with_one_seed_then_they_are_equal_and_inside_the_pictures(folder):
    store = load_photos([folder], 64, CPU)
    one = store.crops(12, 48, torch.Generator().manual_seed(3))
    other = store.crops(12, 48, torch.Generator().manual_seed(3))
    assert torch.equal(one, other)
    assert one.shape == (12, 3, 48, 48)
    means = {round(float(crop.mean()), 4) for crop in one}
    assert len(means) > 6, "crops come from different places"
    assert one.min() >= 0 and one.max() <= 1
