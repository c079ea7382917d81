"""CR3 files with one raw, with several tracks, and with the frames of a roll."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstfix.errors import InputError
from burstfix.io.read import decode
from burstfix.io.read.dng import Area
from burstfix.io.read.metadata import LibRawFacts, build_metadata
from burstfix.io.read.tags import read_tags
from tests.io.cr3_files import FRAME_BYTES, OFFSET_OF_PIXELS, write_cr3
from tests.io.raw_files import write_raw


def test_count_raws_when_a_cr3_has_one_raw_then_it_is_one_without_a_warning(tmp_path: Path):
    found = decode._count_raws(write_cr3(tmp_path / "a.cr3", 1))
    assert (found.value, found.warnings) == (1, ())


@pytest.mark.parametrize("frames", [2, 5, 71])
def test_count_raws_when_a_cr3_is_a_roll_then_it_is_the_number_of_frames(tmp_path: Path, frames: int):
    found = decode._count_raws(write_cr3(tmp_path / "a.cr3", frames))
    assert (found.value, found.warnings) == (frames, ())


def test_count_raws_when_a_cr3_has_two_tracks_then_only_the_first_counts_and_a_warning_states_it(
    tmp_path: Path,
):
    found = decode._count_raws(write_cr3(tmp_path / "a.cr3", 1, 1))
    assert found.value == 1
    assert len(found.warnings) == 1 and "only the first is used" in found.warnings[0]


def test_count_raws_when_the_file_is_no_cr3_then_it_is_one(tmp_path: Path):
    assert decode._count_raws(write_raw(tmp_path / "a.dng")).value == 1


def test_decode_when_a_frame_of_a_roll_is_requested_then_libraw_reads_that_frame(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = write_cr3(tmp_path / "a.cr3", 3)
    with pytest.raises(InputError, match="damaged"):
        decode.decode(path, wants_pixels=True, raw_index=2)
    assert f"data corrupted at {OFFSET_OF_PIXELS + 2 * FRAME_BYTES}" in capfd.readouterr().err


def test_build_metadata_when_libraw_counts_several_raws_then_it_holds_their_number(tmp_path: Path):
    tags = read_tags(write_raw(tmp_path / "a.dng"))
    facts = LibRawFacts(Area(0, 0, 48, 64), 48, 64, raw_count=5)
    assert build_metadata(tags, facts).value.raw_count == 5


def test_decode_when_a_roll_claims_more_frames_than_the_file_can_hold_then_input_error(tmp_path: Path):
    path = write_cr3(tmp_path / "a.cr3", 200)
    with pytest.raises(InputError, match="a.cr3: .* claims 200 raws of 0.3 megapixels"):
        decode.decode(path, wants_pixels=False)
