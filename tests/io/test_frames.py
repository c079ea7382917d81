from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from burstfix.errors import BurstError, InputError
from burstfix.io import read_frames
from burstfix.io.read.exposure import exposure
from burstfix.io.read.selection import natural_key
from tests.io.raw_files import make_metadata, write_raw

START = datetime(2024, 5, 6, 7, 8, 9)


def burst(folder: Path, count: int = 4, **changes: object) -> list[Path]:
    """Write frames a tenth of a second apart, with names in reverse order."""
    return [
        write_raw(
            folder / f"IMG_{count - k}.dng", seed=k, **{"time": START + timedelta(seconds=k / 10), **changes}
        )
        for k in range(count)
    ]


def names(frames: object) -> list[str]:
    return [f.metadata.path.name for f in frames.frames]  # type: ignore[attr-defined]


def test_read_frames_when_frames_have_times_then_they_are_in_time_order(tmp_path: Path):
    paths = burst(tmp_path)
    assert names(read_frames(sorted(paths))) == ["IMG_4.dng", "IMG_3.dng", "IMG_2.dng", "IMG_1.dng"]


def test_read_frames_when_only_some_times_have_zones_then_frames_are_sorted_by_local_time(tmp_path: Path):
    zone = timezone(timedelta(hours=9))
    a = write_raw(tmp_path / "a.dng", time=(START + timedelta(seconds=2)).replace(tzinfo=zone))
    b = write_raw(tmp_path / "b.dng", time=START)
    assert names(read_frames([a, b])) == ["b.dng", "a.dng"]


def test_read_frames_when_a_time_is_missing_then_frames_are_sorted_by_natural_name(tmp_path: Path):
    paths = [write_raw(tmp_path / f"IMG_{k}.dng", k, time=None if k == 2 else START) for k in (10, 9, 2)]
    assert names(read_frames(paths)) == ["IMG_2.dng", "IMG_9.dng", "IMG_10.dng"]


def test_natural_key_when_names_contain_digits_and_letters_then_numbers_are_ordered():
    ordered = ["1.dng", "02.dng", "a.dng", "a1.dng", "A2.dng", "a10.dng", "b.dng"]
    assert [p.name for p in sorted(map(Path, reversed(ordered)), key=natural_key)] == ordered


def test_read_frames_when_a_glob_matched_other_files_then_they_are_skipped_with_a_warning(tmp_path: Path):
    good = write_raw(tmp_path / "a.dng")
    (tmp_path / "._a.dng").write_bytes(b"mac")
    (tmp_path / "a.jpg").write_bytes(b"jpeg")
    (tmp_path / "a.dng.xmp").write_bytes(b"xmp")
    (tmp_path / "folder").mkdir()
    link = tmp_path / "same.dng"
    link.symlink_to(good)
    got = read_frames([good, *sorted(tmp_path.iterdir()), f"{tmp_path}/folder/../a.dng"])
    assert names(got) == ["a.dng"]
    assert got.dropped == ()
    for word in ("._a.dng", "a.jpg", "xmp", "folder", "given twice"):
        assert any(word in w for w in got.warnings), word


def test_read_frames_when_one_frame_is_given_then_it_is_read(tmp_path: Path):
    assert len(read_frames([write_raw(tmp_path / "a.dng")]).frames) == 1


@pytest.mark.parametrize("paths", [[], ["x.jpg"]])
def test_read_frames_when_no_raw_is_given_then_it_raises_input_error(tmp_path: Path, paths: list[str]):
    for name in paths:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="no raw files given"):
        read_frames([tmp_path / name for name in paths])


def test_read_frames_when_a_file_is_missing_then_the_error_names_it_even_with_skip_bad(tmp_path: Path):
    with pytest.raises(InputError, match="none.dng: there is no such file"):
        read_frames([*burst(tmp_path, 2), tmp_path / "none.dng"], skip_bad=True)


ODD = {
    "camera": ({"model": "Two"}, "Acme Two", "Acme One"),
    "size": ({"width": 66}, "66x48", "64x48"),
    "CFA pattern": ({"cfa": "BGGR"}, "BGGR", "RGGB"),
    "exposure": ({"exposure_time": 1 / 15}, "1/15 s, f/1.8", "1/30 s, f/1.8"),
    "ISO": ({"iso": 1600.0}, "1600", "800"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("first", [True, False])
def test_read_frames_when_one_frame_differs_then_it_and_the_property_are_named(
    tmp_path: Path, name: str, first: bool
):
    changes, has, others = ODD[name]
    time = START - timedelta(seconds=1) if first else START + timedelta(seconds=99)
    paths = [*burst(tmp_path, 3), write_raw(tmp_path / "odd.dng", **{"time": time, **changes})]
    with pytest.raises(BurstError) as caught:
        read_frames(paths)
    message = str(caught.value)
    assert "odd.dng" in message
    assert f"its {name} is {has}, but the others have {others}" in message
    got = read_frames(paths, skip_bad=True)
    assert len(got.frames) == 3
    assert [d.path.name for d in got.dropped] == ["odd.dng"]
    assert name in got.dropped[0].reason
    assert any("odd.dng" in w for w in got.warnings)


def test_read_frames_when_exposures_differ_by_rounding_then_all_are_kept(tmp_path: Path):
    paths = [write_raw(tmp_path / f"{k}.dng", exposure_time=1 / (30 + k / 2)) for k in range(4)]
    assert len(read_frames(paths).frames) == 4


def test_read_frames_when_iso_compensates_exposure_time_then_it_raises_burst_error(tmp_path: Path):
    a = write_raw(tmp_path / "a.dng", exposure_time=1 / 30, iso=800.0)
    b = write_raw(tmp_path / "b.dng", exposure_time=1 / 60, iso=1600.0)
    with pytest.raises(BurstError, match="its ISO is 1600"):
        read_frames([a, b])


def test_exposure_when_a_stop_is_added_then_it_grows_by_one():
    plain = make_metadata()
    assert exposure(replace(plain, exposure_time=1 / 15)) - exposure(plain) == pytest.approx(1)  # type: ignore[operator]
    assert exposure(replace(plain, exposure_time=None)) is None


def test_read_frames_when_a_file_is_damaged_then_it_raises_or_drops_the_file(tmp_path: Path):
    paths = burst(tmp_path, 3)
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(InputError, match=paths[1].name):
        read_frames(paths)
    got = read_frames(paths, skip_bad=True)
    assert len(got.frames) == 2
    assert [d.path for d in got.dropped] == [paths[1]]
    assert not got.dropped[0].reason.startswith(str(paths[1]))


def test_read_frames_when_every_file_is_damaged_and_skipped_then_it_raises_input_error(tmp_path: Path):
    path = tmp_path / "a.dng"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no frame"):
        read_frames([path], skip_bad=True)


def test_read_frames_when_progress_is_given_then_it_is_called_for_each_file(tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    read_frames(burst(tmp_path, 3), progress=lambda *step: seen.append(step))
    assert seen == [("decode", k, 3) for k in range(4)]


def test_read_frames_when_pixels_differ_then_each_frame_has_the_pixels_of_its_file(tmp_path: Path):
    got = read_frames(burst(tmp_path, 3)).frames
    assert not np.array_equal(got[0].mosaic, got[1].mosaic)


def test_read_frames_when_a_file_is_a_copy_of_another_then_it_is_skipped_with_a_warning(tmp_path: Path):
    first, second = write_raw(tmp_path / "a.dng", seed=1), write_raw(tmp_path / "b.dng", seed=2)
    copy = tmp_path / "a (1).dng"
    copy.write_bytes(first.read_bytes())
    read = read_frames([copy, first, second])
    assert [frame.metadata.path for frame in read.frames] == [first, second]
    assert read.warnings == (f"{copy}: skipped, it is a copy of {first}",)


def test_read_frames_when_files_differ_in_one_byte_then_both_are_read(tmp_path: Path):
    first = write_raw(tmp_path / "a.dng")
    data = bytearray(first.read_bytes())
    data[data.index(b"Acme")] = ord("B")
    (tmp_path / "b.dng").write_bytes(data)
    with pytest.raises(BurstError, match="camera"):
        read_frames([first, tmp_path / "b.dng"])
