"""Raws that claim more pixels than they contain are rejected fast, with little memory."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.errors import InputError
from burstfix.io import read_frame, write_cfa_dng
from burstfix.io.read.decoder_client import DecoderClient
from burstfix.io.read.tags import check_claim, read_tags
from burstfix.types import Levels
from tests.io.raw_files import Tag, make_metadata, make_mosaic, rename_tag, set_tag, tiff_file, write_raw


@pytest.mark.parametrize("width", [1024, 1025])
def test_levels_when_tables_are_longer_than_1024_then_they_are_read(tmp_path: Path, width: int):
    columns = np.tile(np.float32([0, 3, -2, 5]), width)[:width]
    rows = np.linspace(-2, 2, 1030, dtype=np.float32)
    levels = Levels(np.full((1, 1), 64, np.float32), 1023.0, black_rows=rows, black_cols=columns)
    got = read_frame(write_raw(tmp_path / "a.dng", height=1030, width=width, levels=levels)).metadata.levels
    assert got.black_cols is not None and got.black_rows is not None
    np.testing.assert_array_equal(got.black_cols, columns)
    np.testing.assert_allclose(got.black_rows, rows, atol=1e-6)


@pytest.mark.parametrize("count", [1024, 4096, 65536])
def test_levels_when_a_linearisation_table_is_long_then_white_is_its_last_value(tmp_path: Path, count: int):
    table = np.linspace(0, 40_000, count).astype(np.uint16)
    metadata = make_metadata(levels=Levels(np.full((1, 1), 200, np.float32), 30_000.0))
    path = write_cfa_dng(tmp_path / "a.dng", make_mosaic(), metadata, linearization_table=table)
    rename_tag(path, 50717, 60000)  # no WhiteLevel
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.mosaic, table[make_mosaic()])
    assert frame.metadata.levels.white == 40_000


def test_read_tags_when_hundreds_of_tags_share_one_value_then_the_file_is_rejected_fast(tmp_path: Path):
    fractions = np.arange(500_000, dtype=np.uint32).tobytes()
    known = [Tag(number, 5, fractions) for number in range(50712, 50736)]
    version = Tag(50706, 1, [1, 4, 0, 0])
    path = tmp_path / "flood.dng"
    path.write_bytes(tiff_file([[version, *known]] * 20, share=True))
    start = time.process_time()
    with pytest.raises(InputError, match="flood.dng: .* damaged .*more data than the file"):
        read_tags(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("compression", [1, 7])
def test_read_frame_when_a_small_file_claims_many_pixels_then_it_takes_no_memory(
    tmp_path: Path, compression: int
):
    path = write_raw(tmp_path / "a.dng")
    for tag, value in ((256, 20_000), (257, 20_000), (259, compression)):
        set_tag(path, tag, value)
    client = DecoderClient()
    client.read_metadata(write_raw(tmp_path / "small.dng"))
    assert client.pid is not None
    child = psutil.Process(client.pid)
    before = child.memory_info().rss
    with pytest.raises(InputError, match="claims 400 megapixels, which its .* bytes cannot hold"):
        client.read_frame(path)
    assert child.memory_info().rss - before < 50e6
    client.close()


def test_read_frame_when_byte_counts_are_too_large_but_pixels_are_complete_then_it_is_read(
    tmp_path: Path,
):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, 279, 10_000_000)
    np.testing.assert_array_equal(read_frame(path).mosaic, make_mosaic())


def test_read_tags_when_strips_are_compressed_then_their_byte_counts_must_fit(tmp_path: Path):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, 259, 7)
    set_tag(path, 279, 10_000_000)
    with pytest.raises(InputError, match="truncated: its picture data end at byte"):
        read_tags(path)


def test_read_tags_when_the_file_is_a_crw_then_they_name_the_camera(tmp_path: Path):
    path = tmp_path / "a.crw"
    path.write_bytes(crw_file(b"Acme\0Acme One\0"))
    assert read_tags(path).exif.image == {271: "Acme", 272: "Acme One"}


@pytest.mark.parametrize("keep", [14, 20, 40, 60])
def test_read_tags_when_a_crw_is_cut_off_then_there_are_no_tags(tmp_path: Path, keep: int):
    path = tmp_path / "a.crw"
    path.write_bytes(crw_file(b"Acme\0Acme One\0")[:keep])
    assert read_tags(path).exif.image == {}


def crw_file(names: bytes) -> bytes:
    """Build a CRW without pixels: a heap in a heap, the inner one with the camera's names."""

    def heap(data: bytes, kind: int) -> bytes:
        entry = np.array([len(data), 0], "<u4").tobytes()
        return data + b"\1\0" + kind.to_bytes(2, "little") + entry + len(data).to_bytes(4, "little")

    return b"II\x1a\0\0\0HEAPCCDR" + bytes(12) + heap(heap(names, 0x080A), 0x2807)


def test_read_frame_when_pixels_are_missing_then_the_error_says_that_the_file_is_cut_off(tmp_path: Path):
    mosaic = make_mosaic(160, 64)
    mosaic[140:] = 0  # LibRaw replaces missing data by zeros
    path = write_cfa_dng(tmp_path / "a.tif", mosaic, make_metadata(160, 64))
    assert read_frame(path).mosaic.shape == (160, 64)  # a DNG contains the position of its data
    rename_tag(path, 50706, 60001)
    with pytest.raises(InputError, match="a.tif: the file is truncated: the last 20 of 160 rows"):
        read_frame(path)


@pytest.mark.parametrize(
    ("pixels", "size", "refused"),
    [
        (10_000_000, 12_000, True),  # a truncated camera raw
        (10_000_000, 400_000, False),
        (900_000, 10, False),  # it needs little memory
        (2_000_000_000, 1 << 40, True),
    ],
)
def test_check_claim_when_a_file_cannot_hold_its_pixels_then_it_is_rejected(
    pixels: int, size: int, refused: bool
):
    with pytest.raises(InputError, match="a.rw2: ") if refused else nullcontext():
        check_claim(Path("a.rw2"), pixels, size, 32)


@pytest.mark.parametrize("bits", [0, 1, 7, 33, 65535])
def test_read_frame_when_a_dng_claims_an_impossible_number_of_bits_then_input_error(
    tmp_path: Path, bits: int
):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, 258, bits)
    with pytest.raises(InputError, match=f"a.dng: claims {bits} bits per value; DNGs have 8 to 32"):
        read_frame(path)


@pytest.mark.parametrize("offset", [0, 7])
def test_read_frame_when_the_pixels_of_a_dng_begin_in_the_header_then_input_error(
    tmp_path: Path, offset: int
):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, 273, offset)
    with pytest.raises(InputError, match=f"a.dng: its picture data begin at byte {offset}"):
        read_frame(path)
