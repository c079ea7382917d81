"""DNGs with unusual layouts of pixels, planes or directories (DNG 1.7.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from burstfix.cfa import LINEAR
from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import read_frame, read_metadata
from burstfix.io.read.decode import decode
from tests.io.raw_files import (
    BYTE,
    CFA_TAGS,
    LEVEL_TAGS,
    LONG,
    MATRIX,
    RATIONAL,
    SHORT,
    SRATIONAL,
    Tag,
    make_mosaic,
    set_tag,
    write_several,
)

JPEG_XL = 52546


def write_dng(path: Path, pixels: np.ndarray, *tags: Tag, **options: Any) -> Path:
    """Write a DNG with tifffile: a Bayer mosaic, unless `photometric` is given."""
    options = {"photometric": 32803, "metadata": None, **options}
    mosaic_tags = CFA_TAGS if options["photometric"] == 32803 else ()
    chosen = {tag.number: tag for tag in (Tag(50706, BYTE, (1, 7, 1, 0)), *mosaic_tags, *LEVEL_TAGS, *tags)}
    extra = []
    for tag in chosen.values():
        values = [float(x) for x in tag.values]
        if tag.kind in (RATIONAL, SRATIONAL):
            numbers = tuple(n for x in values for n in (round(x * 10_000), 10_000))
        else:
            numbers = tuple(int(x) for x in values)
        extra.append((tag.number, tag.kind, len(values), numbers, True))
    tifffile.imwrite(path, pixels, extratags=extra, **options)
    return path


@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_read_frame_when_a_mosaic_is_in_jpeg_xl_then_it_is_decoded(tmp_path: Path, tile: Any):
    options = {} if tile is None else {"tile": tile}
    path = write_dng(tmp_path / "a.dng", make_mosaic(), compression=JPEG_XL, **options)
    frame = read_frame(path)
    assert frame.metadata.cfa == "RGGB" and frame.metadata.levels.white == 1023
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())
    assert read_metadata(path).width == 64


def test_read_frame_when_a_linear_dng_is_in_jpeg_xl_then_it_is_decoded(tmp_path: Path):
    pixels = np.random.default_rng(1).integers(64, 1024, (48, 64, 3)).astype(np.uint16)
    frame = read_frame(write_dng(tmp_path / "a.dng", pixels, photometric=34892, compression=JPEG_XL))
    assert frame.metadata.cfa == LINEAR
    np.testing.assert_array_equal(frame.mosaic, pixels)


@pytest.mark.parametrize("compression", [None, JPEG_XL])
@pytest.mark.parametrize("channels", [1, 3])
def test_decode_when_memory_is_reserved_then_all_values_are_included(
    tmp_path: Path, channels: int, compression: int | None
):
    pixels = np.full((48, 64, channels), 100, np.uint16)
    photometric = 34892 if channels == 3 else 32803
    path = write_dng(tmp_path / "a.dng", pixels.squeeze(), photometric=photometric, compression=compression)
    reserved: list[int] = []
    decode(path, wants_pixels=True, reserve=reserved.append)
    assert reserved[-1] == 48 * 64 * channels


def test_read_frame_when_jpeg_xl_has_8_bits_and_a_table_then_values_are_linear(tmp_path: Path):
    codes = np.random.default_rng(1).integers(0, 256, (48, 64)).astype(np.uint8)
    table = np.arange(200) * 5
    tags = Tag(50712, SHORT, table.tolist()), Tag(50829, LONG, (2, 4, 46, 60))
    frame = read_frame(write_dng(tmp_path / "a.dng", codes, *tags, compression=JPEG_XL))
    np.testing.assert_array_equal(frame.mosaic, table[np.minimum(codes, 199)][2:46, 4:60])


def test_read_frame_when_jpeg_xl_data_are_damaged_then_it_raises_input_error(tmp_path: Path):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), compression=JPEG_XL)
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(InputError, match="a.dng: its pixels cannot be decoded"):
        read_frame(path)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
def test_read_frame_when_planes_are_separate_then_pixels_are_in_order(tmp_path: Path, compression: Any):
    pixels = np.random.default_rng(1).integers(64, 1024, (48, 64, 3)).astype(np.uint16)
    path = write_dng(
        tmp_path / "a.dng",
        np.ascontiguousarray(np.moveaxis(pixels, -1, 0)),
        photometric=34892,
        planarconfig="separate",
        compression=compression,
    )
    np.testing.assert_array_equal(read_frame(path).mosaic, pixels)


@pytest.mark.parametrize("size", [(48, 64), (47, 61)])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("compression", [None, JPEG_XL])
def test_read_frame_when_rows_and_columns_are_interleaved_then_they_are_put_in_order(
    tmp_path: Path, size: tuple[int, int], rows: int, columns: int, compression: int | None
):
    mosaic = make_mosaic(*size)
    by_row = np.concatenate([mosaic[k::rows] for k in range(rows)])
    stored = np.concatenate([by_row[:, k::columns] for k in range(columns)], axis=1)
    tags = Tag(50975, LONG, (rows,)), Tag(52547, LONG, (columns,))
    path = write_dng(tmp_path / "a.dng", np.ascontiguousarray(stored), *tags, compression=compression)
    np.testing.assert_array_equal(read_frame(path).mosaic, mosaic)


def test_read_frame_when_pixels_are_stored_in_blocks_then_it_raises_unsupported_sensor(tmp_path: Path):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(50974, SHORT, (2, 2)))
    with pytest.raises(UnsupportedSensorError, match="a.dng: .*SubTileBlockSize.*DNG Converter"):
        read_frame(path)


def test_read_frame_when_a_mosaic_has_two_values_per_pixel_then_it_uses_the_first(tmp_path: Path):
    pixels = np.stack([make_mosaic(), make_mosaic(seed=1)], axis=-1)
    path = tmp_path / "a.dng"
    black = Tag(50714, SHORT, (64, 32))
    write_dng(path, pixels, black, *CFA_TAGS, photometric="minisblack", planarconfig="contig")
    set_tag(path, 262, 32803)  # tifffile does not write such mosaics
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())
    assert frame.metadata.levels.black.tolist() == [[64]]


COLOR_TAGS = {
    50721: (SRATIONAL, MATRIX.ravel()),
    50728: (RATIONAL, np.array([0.5, 1.0, 0.7])),
    50727: (RATIONAL, np.array([1.1, 1.0, 0.9])),
    50964: (SRATIONAL, (MATRIX + 1).ravel()),
    50723: (SRATIONAL, (np.eye(3) + 0.01 * np.arange(9).reshape(3, 3)).ravel()),
}


def test_color_when_planes_are_in_another_order_then_matrices_are_in_the_order_red_green_blue(tmp_path: Path):
    order = [2, 0, 1]  # the planes are blue, red, green
    rows, columns = np.ix_(order, range(3)), np.ix_(range(3), order)
    turned = {
        50721: MATRIX[rows],
        50728: COLOR_TAGS[50728][1][order],
        50727: COLOR_TAGS[50727][1][order],
        50964: (MATRIX + 1)[columns],
        50723: COLOR_TAGS[50723][1].reshape(3, 3)[np.ix_(order, order)],
    }
    plain = [Tag(k, kind, values.tolist()) for k, (kind, values) in COLOR_TAGS.items()]
    other = [Tag(k, COLOR_TAGS[k][0], values.ravel().tolist()) for k, values in turned.items()]
    expected = read_metadata(write_dng(tmp_path / "a.dng", make_mosaic(), *plain)).color
    planes = Tag(50710, BYTE, order)
    got = read_metadata(write_dng(tmp_path / "b.dng", make_mosaic(), *other, planes)).color
    for name in ("color_matrix_1", "as_shot_neutral", "analog_balance", "forward_matrix_1"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), err_msg=name)
    np.testing.assert_allclose(got.camera_calibration_1, expected.camera_calibration_1)


def test_noise_when_planes_are_in_another_order_then_it_is_in_the_order_red_green_blue(tmp_path: Path):
    pairs = np.array([0.3, 0.03, 0.1, 0.01, 0.2, 0.02])  # blue, red, green
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(50710, BYTE, [2, 0, 1]), Tag(51041, 5, pairs))
    noise = read_metadata(path).noise
    assert noise is not None and noise.shot_gain == pytest.approx((0.1, 0.2, 0.2, 0.3))
    assert noise.read_variance == pytest.approx((0.01, 0.02, 0.02, 0.03))


def test_read_frame_when_planes_are_not_red_green_blue_then_it_raises_unsupported_sensor(tmp_path: Path):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(50710, BYTE, (3, 4, 5)))
    with pytest.raises(UnsupportedSensorError, match="CFAPlaneColor 3, 4, 5"):
        read_frame(path)


@pytest.mark.parametrize(
    ("scale", "found"),
    [
        ((2, 1), (1, 2)),
        ((1, 1), None),
        ((1, 1.5), (1.5, 1)),
        ((0.5, 1), (2, 1)),
        ((5, 1), None),
        ((0, 1), None),
    ],
)
def test_default_scale_when_pixels_are_not_square_then_height_or_width_is_stretched(
    tmp_path: Path, scale: tuple[float, float], found: tuple[float, float] | None
):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(50718, RATIONAL, scale))
    assert read_metadata(path).default_scale == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize(
    ("crop", "found"),
    [
        ((0.25, 0.125, 0.75, 1.0), (0.25, 0.125, 0.75, 1.0)),
        ((0, 0, 1, 1), None),
        ((0.5, 0, 0.5, 1), None),
        ((0, 0, 1, 1.5), None),
        ((0, 0, 1), None),
    ],
)
def test_default_user_crop_when_it_is_read_then_only_valid_values_are_kept(
    tmp_path: Path, crop: tuple[float, ...], found: tuple[float, ...] | None
):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(51125, RATIONAL, crop))
    assert read_metadata(path).default_user_crop == found


def test_read_frame_when_a_file_contains_several_raws_then_each_can_be_read(tmp_path: Path):
    path = write_several(tmp_path / "a.dng", [make_mosaic(seed=k) for k in range(4)])
    for k in range(4):
        frame = read_frame(path, raw_index=k)
        np.testing.assert_array_equal(frame.mosaic, make_mosaic(seed=k))
        assert (frame.metadata.raw_index, frame.metadata.raw_count) == (k, 4)
        assert frame.metadata.name == f"a.dng[{k}]"
    with pytest.raises(InputError, match="a.dng: contains 4 raws; there is no raw 4"):
        read_frame(path, raw_index=4)


@pytest.mark.parametrize("value", [100, 60_000])
def test_read_frame_when_pixels_are_far_above_white_then_white_is_raised_with_a_warning(
    tmp_path: Path, value: int, caplog: pytest.LogCaptureFixture
):
    mosaic = np.full((48, 64), value, np.uint16)
    frame = read_frame(write_dng(tmp_path / "a.dng", mosaic, Tag(50717, SHORT, (255,))))
    assert frame.metadata.levels.white == (255 if value == 100 else 65535)
    assert ("far above the white level of 255" in caplog.text) == (value == 60_000)


@pytest.mark.parametrize("iso", [65535, 65534, 0])
@pytest.mark.parametrize("tag", [34865, 34866, 34867])
def test_iso_when_its_tag_is_at_the_maximum_then_the_larger_tags_are_read(tmp_path: Path, tag: int, iso: int):
    path = write_dng(tmp_path / "a.dng", make_mosaic(), Tag(34855, SHORT, (iso,)), Tag(tag, LONG, (204_800,)))
    assert read_metadata(path).iso == (iso if iso == 65534 else 204_800)
