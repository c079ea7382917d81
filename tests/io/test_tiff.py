"""TIFF directories: types, counts, byte orders, BigTIFF, and files that try to exhaust the reader."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from burstfix.io.read.tiff import MAX_DIRECTORIES, Directory, TiffError, TiffReader
from tests.io.raw_files import Tag, tiff_file

SIZES = {
    **{1: "B", 2: "s", 3: "H", 4: "L", 5: "LL", 6: "b", 7: "B", 8: "h", 9: "l", 10: "ll", 11: "f", 12: "d"},
    **{13: "L", 16: "Q", 17: "q", 18: "Q"},
}


def read(data: bytes, *tags: int) -> tuple[Directory, ...]:
    return TiffReader(io.BytesIO(data)).chain(frozenset(tags))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 3, 1024, 1025, 65536])
@pytest.mark.parametrize("kind", [kind for kind in SIZES if kind != 2])
def test_numbers_when_given_any_type_and_count_then_they_are_those_written(
    kind: int, count: int, order: str, big: bool
):
    values = (np.arange(count) * 7 + 1) % 120
    data = tiff_file([[Tag(50712, kind, values.tolist())]], order=order, big=big)
    (directory,) = read(data, 50712)
    expected = values / 2 if kind in (5, 10) else values  # rationals are written with the denominator 2
    np.testing.assert_array_equal(directory.array(50712), expected)
    assert directory.numbers(50712) == tuple(expected.tolist())


@pytest.mark.parametrize("kind", [6, 8, 9, 10, 11, 12, 17])
def test_numbers_when_negative_then_the_sign_is_kept(kind: int):
    (directory,) = read(tiff_file([[Tag(50712, kind, [-3])]]), 50712)
    assert directory.numbers(50712) == ((-1.5,) if kind == 10 else (-3,))


def test_array_when_a_denominator_is_zero_then_it_is_nan():
    value = struct.pack("<LLLL", 1, 0, 3, 4)
    (directory,) = read(tiff_file([[Tag(50712, 5, value)]]), 50712)
    assert np.isnan(directory.numbers(50712)[0]) and directory.numbers(50712)[1] == 0.75
    assert directory.exif(50712) is None


def test_directory_when_a_tag_has_another_type_then_the_result_is_empty():
    tags = [Tag(1, 2, b"text\0"), Tag(2, 3, [5, 6]), Tag(3, 99, b"\1\2\3\4"), Tag(4, 7, b"\1\2")]
    (directory,) = read(tiff_file([tags]), 1, 2, 3, 4, 5)
    assert (directory.text(1), directory.numbers(1), directory.data(1)) == ("text", (), b"")
    assert (directory.text(2), directory.numbers(2), directory.data(2)) == ("", (5, 6), b"")
    assert 3 not in directory
    assert (directory.data(4), directory.numbers(4)) == (b"\1\2", (1, 2))
    assert (directory.text(5), directory.numbers(5), directory.data(5), directory.number(5, 9)) == (
        "",
        (),
        b"",
        9,
    )


def test_exif_when_given_any_type_then_values_are_exact():
    tags = [
        Tag(1, 5, struct.pack("<LL", 1, 3)),
        Tag(2, 3, [5, 6]),
        Tag(3, 2, b" Zo\xeb \0x"),
        Tag(4, 12, [1.5]),
    ]
    (directory,) = read(tiff_file([tags]), 1, 2, 3, 4)
    assert [directory.exif(k) for k in (1, 2, 3, 4)] == [Fraction(1, 3), (5, 6), "Zoë", None]


def test_chain_when_there_are_sub_directories_then_they_follow_their_parent():
    data = tiff_file([[Tag(256, 3, [1])], [Tag(256, 3, [2])]], below=[[Tag(256, 3, [3])], [Tag(256, 3, [4])]])
    assert [d.number(256, 0) for d in read(data, 256)] == [1, 3, 4, 2]


def test_chain_when_directories_form_a_cycle_then_reading_ends():
    data = bytearray(tiff_file([[Tag(256, 3, [1])]]))
    data[-4:] = data[4:8]  # the next directory is the first
    assert len(read(bytes(data), 256)) == 1


def test_chain_when_there_are_thousands_of_directories_then_few_are_read():
    data = tiff_file([[Tag(256, 3, [1])]] * 1000)
    assert len(read(data, 256)) == MAX_DIRECTORIES


def test_chain_when_tags_share_one_value_then_the_size_limit_ends_reading():
    value = bytes(100_000)
    tags = [Tag(256 + k, 7, value) for k in range(50)]
    data = tiff_file([tags], share=True)
    assert len(data) < 110_000
    with pytest.raises(TiffError, match="more data than the file"):
        read(data, *range(256, 400))
    assert read(data, 256)[0].data(256) == value


@pytest.mark.parametrize("cut", [5, 9, 20, 30])
def test_chain_when_the_file_is_cut_off_then_it_raises_tiff_error(cut: int):
    data = tiff_file([[Tag(256, 3, [1]), Tag(257, 3, [1]), Tag(50706, 1, [1, 4, 0, 0])]])
    with pytest.raises(TiffError):
        read(data[:-cut], 256, 257)


def test_chain_when_a_value_lies_outside_the_file_then_it_is_left_out():
    data = bytearray(tiff_file([[Tag(256, 3, [1]), Tag(257, 4, [1, 2, 3])]]))
    place = data.index(struct.pack("<HHL", 257, 4, 3))
    struct.pack_into("<L", data, place + 8, len(data) - 4)
    (directory,) = read(bytes(data), 256, 257)
    assert directory.number(256, 0) == 1 and 257 not in directory


@pytest.mark.parametrize("head", [b"", b"II", b"PK\3\4aaaaaaaa", b"\x89PNG\r\n\x1a\n"])
def test_reader_when_the_file_is_not_a_tiff_then_it_raises_tiff_error(head: bytes):
    with pytest.raises(TiffError):
        read(head, 256)


def test_reader_when_the_raw_is_from_olympus_or_panasonic_then_it_is_read_as_a_tiff(tmp_path: Path):
    plain = tiff_file([[Tag(256, 3, [7])]])
    for head in (b"IIRO", b"IIRS", b"IIU\0"):
        assert read(head + plain[4:], 256)[0].number(256, 0) == 7
