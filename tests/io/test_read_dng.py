from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile

from burstfix.cfa import CFA_PATTERNS
from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import read_frame, read_metadata, write_cfa_dng
from burstfix.io.read.metadata import capture_time
from burstfix.io.read.tags import read_tags
from burstfix.io.write.exif_ifd import append_exif_ifds
from burstfix.types import ColorProfile, ExifTags, Levels, NoiseProfile
from tests.io.raw_files import MATRIX, make_metadata, make_mosaic, rename_tag, set_tag, write_raw


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_read_frame_when_a_pattern_is_written_then_pixels_and_pattern_are_read_back(tmp_path: Path, cfa: str):
    path = write_raw(tmp_path / "a.dng", cfa=cfa)
    frame = read_frame(path)
    assert frame.metadata.cfa == cfa
    assert frame.mosaic.dtype == np.uint16
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_metadata_when_a_raw_is_oriented_then_it_has_that_orientation(tmp_path: Path, orientation: int):
    assert read_metadata(write_raw(tmp_path / "a.dng", orientation=orientation)).orientation == orientation


def test_read_metadata_when_all_fields_are_set_then_they_are_those_written(tmp_path: Path):
    time = datetime(2024, 5, 6, 7, 8, 9, 123_000, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
    color = ColorProfile(
        color_matrix_1=MATRIX,
        as_shot_neutral=np.array([0.5, 1.0, 0.7]),
        illuminant_1=17,
        color_matrix_2=MATRIX * 1.1,
        illuminant_2=21,
        forward_matrix_1=MATRIX + 1,
        forward_matrix_2=MATRIX + 2,
        camera_calibration_1=np.eye(3),
        camera_calibration_2=np.eye(3) * 1.01,
        analog_balance=np.array([1.0, 1.1, 0.9]),
        baseline_exposure=-0.5,
    )
    carried = ExifTags(
        image={315: "Zoë", 33432: "(c) Zoë"},
        exif={37380: Fraction(-1, 3), 42033: "serial 7"},
        gps={0: b"\2\3\0\0", 1: "N", 2: (Fraction(47), Fraction(22), Fraction(1234, 100))},
    )
    given = make_metadata(time=time, color=color, exif=carried, lens="Fast 50")
    got = read_frame(write_cfa_dng(tmp_path / "a.dng", make_mosaic(), given)).metadata
    for name in ("height", "width", "cfa", "make", "model", "lens", "iso", "time"):
        assert getattr(got, name) == getattr(given, name), name
    assert got.time is not None and got.time.utcoffset() == time.utcoffset()
    for name in ("exposure_time", "aperture", "focal_length"):
        assert getattr(got, name) == pytest.approx(getattr(given, name), rel=1e-5), name
    for name in ColorProfile.__dataclass_fields__:
        a, b = getattr(got.color, name), getattr(color, name)
        assert a is b is None or np.allclose(a, b, atol=1e-6), name
    for group in ("image", "exif", "gps"):
        assert getattr(carried, group).items() <= getattr(got.exif, group).items()


def test_read_metadata_when_compared_with_read_frame_then_both_are_the_same(tmp_path: Path):
    path = write_raw(tmp_path / "a.dng", orientation=3)
    alone, whole = read_metadata(path), read_frame(path).metadata
    assert (alone.cfa, alone.time, alone.iso, alone.noise) == (whole.cfa, whole.time, whole.iso, whole.noise)
    assert (alone.height, alone.width, alone.orientation) == (whole.height, whole.width, 3)


@pytest.mark.parametrize("repeat", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 2)])
def test_levels_when_black_repeats_and_is_rational_then_it_is_exact(tmp_path: Path, repeat: tuple[int, int]):
    black = (60 + np.arange(repeat[0] * repeat[1]) / 4).reshape(repeat).astype(np.float32)
    path = write_raw(tmp_path / "a.dng", levels=Levels(black, 1000.0))
    levels = read_frame(path).metadata.levels
    np.testing.assert_array_equal(levels.black, black)
    assert levels.white == 1000.0


def test_levels_when_there_are_deltas_then_rows_and_columns_are_separate(tmp_path: Path):
    rows, cols = np.linspace(-2, 2, 48, dtype=np.float32), np.linspace(0, 5, 64, dtype=np.float32)
    levels = Levels(np.full((1, 1), 64, np.float32), 1023.0, black_rows=rows, black_cols=cols)
    got = read_metadata(write_raw(tmp_path / "a.dng", levels=levels)).levels
    assert got.black_rows is not None and got.black_cols is not None
    np.testing.assert_allclose(got.black_rows, rows, atol=1e-6)
    np.testing.assert_allclose(got.black_cols, cols, atol=1e-6)


def test_levels_when_white_is_not_given_then_it_follows_from_the_bit_depth(tmp_path: Path):
    path = write_raw(tmp_path / "a.dng")
    rename_tag(path, 50717, 60000)
    assert read_metadata(path).levels.white == 65535


def test_read_frame_when_there_is_a_linearisation_table_then_it_is_applied_once(tmp_path: Path):
    table = np.minimum((np.arange(1024) ** 1.3).astype(np.uint16), 8000)
    codes = make_mosaic()
    metadata = make_metadata(levels=Levels(np.full((2, 2), 200, np.float32), 8000.0))
    path = write_cfa_dng(tmp_path / "a.dng", codes, metadata, linearization_table=table)
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.mosaic, table[codes])
    assert frame.metadata.levels.white == 8000
    # LibRaw also interprets levels as outputs of the table.
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, table[codes])
        assert (raw.black_level_per_channel[0], raw.white_level) == (200, 8000)


@pytest.mark.parametrize("top", [0, 2, 3])
@pytest.mark.parametrize("left", [0, 4, 5])
@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_read_frame_when_the_active_area_is_offset_then_its_phase_is_kept(
    tmp_path: Path, top: int, left: int, cfa: str
):
    sensor = make_mosaic(56, 70)
    black = np.array([[61, 62], [63, 64]], np.float32)
    metadata = make_metadata(40, 50, cfa=cfa, levels=Levels(black, 1023.0))
    path = write_cfa_dng(tmp_path / "a.dng", sensor, metadata, active_area=(top, left, top + 40, left + 50))
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.mosaic, sensor[top : top + 40, left : left + 50])
    assert frame.metadata.cfa == cfa
    np.testing.assert_array_equal(frame.metadata.levels.black, black)
    # LibRaw has the same colours at the same positions, relative to its own visible area.
    with rawpy.imread(str(path)) as raw:
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            index = int(raw.raw_colors_visible[y, x])
            at_y, at_x = y + raw.sizes.top_margin - top, x + raw.sizes.left_margin - left
            assert raw.color_desc.decode()[index] == cfa[2 * (at_y % 2) + at_x % 2]


def test_noise_when_one_pair_is_given_then_it_applies_to_all_planes(tmp_path: Path):
    noise = read_metadata(write_raw(tmp_path / "a.dng")).noise
    assert noise == NoiseProfile((1e-3,) * 4, (1e-6,) * 4, "file")


def test_noise_when_given_for_each_colour_then_it_is_in_packed_order(tmp_path: Path):
    given = NoiseProfile((1e-3, 2e-3, 2e-3, 3e-3), (1e-6, 2e-6, 2e-6, 3e-6))
    got = read_metadata(write_raw(tmp_path / "a.dng", noise=given, cfa="BGGR")).noise
    assert got == replace(given, source="file")


def test_noise_when_absent_then_it_is_none(tmp_path: Path):
    assert read_metadata(write_raw(tmp_path / "a.dng", noise=None)).noise is None


@pytest.mark.parametrize("iso", [50.0, 65535.0, 102_400.0])
def test_iso_when_beyond_16_bits_then_it_is_read_in_full(tmp_path: Path, iso: float):
    assert read_metadata(write_raw(tmp_path / "a.dng", iso=iso)).iso == iso


def test_read_metadata_when_tags_are_absent_then_fields_are_empty(tmp_path: Path):
    given = make_metadata(time=None, make="", model="", iso=None, exposure_time=None)
    got = read_metadata(write_cfa_dng(tmp_path / "a.dng", make_mosaic(), given))
    assert (got.time, got.make, got.iso, got.exposure_time) == (None, "", None, None)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_read_tags_when_a_comment_is_in_unicode_then_it_is_little_endian(tmp_path: Path, byteorder: Any):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, make_mosaic(), byteorder=byteorder, metadata=None)
    text = "Zoë 夜".encode("utf-16-le" if byteorder == "<" else "utf-16-be")
    append_exif_ifds(path, ExifTags(exif={37510: b"UNICODE\0" + text}))
    assert read_tags(path).exif.exif[37510] == b"UNICODE\0" + "Zoë 夜".encode("utf-16-le")


@pytest.mark.parametrize("comment", [b"ASCII\0\0\0   ", bytes(20), b"", b"ASCII\0\0\0" + b"x" * 70_000])
def test_read_tags_when_a_comment_is_blank_or_damaged_then_it_is_left_out(tmp_path: Path, comment: bytes):
    path = write_raw(tmp_path / "a.dng", exif=ExifTags(exif={37510: comment}))
    assert 37510 not in read_tags(path).exif.exif


def test_read_tags_when_a_name_is_not_utf8_then_it_is_kept(tmp_path: Path):
    path = write_raw(tmp_path / "a.dng", exif=ExifTags(image={315: "Zoe Photographer"}))
    path.write_bytes(path.read_bytes().replace(b"Zoe Ph", b"Zo\xeb Ph"))
    assert read_tags(path).exif.image[315] == "Zoë Photographer"


def test_read_frame_when_the_file_is_big_endian_then_it_reads_the_same(tmp_path: Path):
    mosaic = make_mosaic()
    tags = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, (1, 2, 0, 1), True),
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50714, 3, 1, 64, True),
        (50717, 3, 1, 1023, True),
    ]
    path = tmp_path / "a.dng"
    tifffile.imwrite(path, mosaic, photometric=32803, byteorder=">", metadata=None, extratags=tags)
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.mosaic, mosaic)
    assert (frame.metadata.cfa, frame.metadata.levels.white) == ("GBRG", 1023)


@pytest.mark.parametrize(
    ("tag", "values", "message"),
    [
        (33422, (0, 1, 1, 0), "RGGR"),
        (33422, (3, 4, 5, 1), "CMYG"),
        (33421, (6, 6), "X-Trans"),
        (50711, (2,), "staggered"),
    ],
)
def test_read_frame_when_the_sensor_is_not_bayer_then_the_error_names_it(
    tmp_path: Path, tag: int, values: tuple[int, ...], message: str
):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, tag, *values)
    with pytest.raises(UnsupportedSensorError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)


def test_read_frame_when_a_dng_is_demosaicked_then_it_has_three_values_per_pixel(tmp_path: Path):
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, (1, 4, 0, 0), True)
    pixels = np.random.default_rng(1).integers(0, 65536, (48, 64, 3)).astype(np.uint16)
    tifffile.imwrite(path, pixels, photometric=34892, extratags=[version])
    frame = read_frame(path)
    assert frame.metadata.cfa == "linear"
    np.testing.assert_array_equal(frame.mosaic, pixels)


def test_read_frame_when_pixels_have_four_values_then_it_raises_unsupported_sensor(tmp_path: Path):
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, (1, 4, 0, 0), True)
    pixels = np.zeros((48, 64, 4), np.uint16)
    tifffile.imwrite(path, pixels, photometric=34892, extrasamples=["unspecified"], extratags=[version])
    with pytest.raises(UnsupportedSensorError, match="4 values per pixel"):
        read_frame(path)


def test_read_frame_when_pixels_are_floating_point_then_it_raises_unsupported_sensor(tmp_path: Path):
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, (1, 4, 0, 0), True)
    tifffile.imwrite(path, np.zeros((48, 64), np.float32), photometric=32803, extratags=[version])
    with pytest.raises(UnsupportedSensorError, match="floating-point"):
        read_frame(path)


@pytest.mark.parametrize(
    ("tag", "values", "message"),
    [
        (256, (60_000,), "truncated or damaged"),
        (50717, (10,), "white level 10 is not above the black level 64"),
        (50829, (0, 0, 480, 64), "active area"),
        (50829, (10, 10, 10, 64), "active area"),
        (50713, (3, 3), "4 black levels for a pattern of 3x3"),
        (273, (10_000_000,), "truncated"),
    ],
)
def test_read_frame_when_tags_contradict_the_file_then_the_error_names_them(
    tmp_path: Path, tag: int, values: tuple[int, ...], message: str
):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, tag, *values)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_frame_when_the_header_claims_over_a_gigapixel_then_it_is_rejected(tmp_path: Path):
    path = write_raw(tmp_path / "a.dng")
    set_tag(path, 256, 40_000)
    set_tag(path, 257, 40_000)
    with pytest.raises(InputError, match="claims 1600 megapixels"):
        read_frame(path)


def test_read_frame_when_all_pixels_are_zero_then_the_file_is_rejected(tmp_path: Path):
    metadata = make_metadata(48, 64)
    path = write_cfa_dng(tmp_path / "a.dng", np.zeros((48, 64), np.uint16), metadata)
    with pytest.raises(InputError, match="all its pixels are zero; the file is damaged"):
        read_frame(path)
    assert read_metadata(path).width == 64


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_read_frame_when_the_file_is_cut_off_then_it_raises_input_error(tmp_path: Path, keep: float):
    path = write_raw(tmp_path / "a.dng")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputError, match=str(path)):
        read_frame(path)


def test_read_frame_when_the_path_is_not_a_file_then_it_raises_input_error(tmp_path: Path):
    (tmp_path / "empty.dng").touch()
    for path, message in (
        (tmp_path / "none.dng", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / "empty.dng", "empty"),
    ):
        with pytest.raises(InputError, match=message):
            read_frame(path)


def test_read_frame_when_the_path_is_relative_and_not_ascii_then_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_raw(tmp_path / "ünï cödé.dng")
    monkeypatch.chdir(tmp_path)
    assert read_frame("ünï cödé.dng").metadata.path == Path("ünï cödé.dng")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024:05:06 07:08:09", datetime(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06T07:08:09", datetime(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06 07:08:09.25", datetime(2024, 5, 6, 7, 8, 9, 250_000)),
        ("2024-05-06T07:08:09+02:00", datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))),
        ("2024-05-06T07:08", datetime(2024, 5, 6, 7, 8)),
        ("2024-05-06", None),
        ("0000:00:00 00:00:00", None),
    ],
)
def test_capture_time_when_a_date_has_the_form_of_exif_or_iso_8601_then_it_is_read(
    text: str, time: datetime | None
):
    assert capture_time(ExifTags(exif={36867: text})) == time
