from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile

from burstfix.errors import OutputError
from burstfix.io import write_cfa_dng
from burstfix.io.write.exif_ifd import append_exif_ifds, exif_block
from burstfix.types import ExifTags, Levels, NoiseProfile
from tests.io.raw_files import make_metadata, make_mosaic

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")


def exiftool(path: Path, *options: str) -> dict[str, object]:
    """Read tags with exiftool; return them by "group:name"."""
    command = ["exiftool", "-j", "-G1", *options, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)[0]


@needs_exiftool
@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_write_cfa_dng_when_everything_is_set_then_exiftool_gives_no_warning(tmp_path: Path, cfa: str):
    metadata = make_metadata(
        40,
        50,
        cfa=cfa,
        orientation=6,
        lens="Fast 50",
        levels=Levels(
            np.array([[64.25, 65], [66, 67.5]], np.float32),
            4000.0,
            black_rows=np.linspace(-1, 1, 40).astype("f4"),
        ),
        noise=NoiseProfile((1e-4, 2e-4, 2e-4, 3e-4), (1e-6, 2e-6, 2e-6, 4e-6)),
        time=datetime(2024, 5, 6, 7, 8, 9, 120_000, tzinfo=timezone(timedelta(hours=2))),
        exif=ExifTags(image={315: "Zoë"}, exif={37380: Fraction(-1, 3)}),
    )
    table = (np.arange(1024) * 2).astype(np.uint16)
    path = write_cfa_dng(
        tmp_path / "a.dng", make_mosaic(), metadata, active_area=(3, 5, 43, 55), linearization_table=table
    )
    got = exiftool(path, "-validate", "-warning", "-error", "-a")
    assert got["ExifTool:Validate"] == "OK"
    assert not [name for name in got if name.endswith(("Warning", "Error"))]
    tags = exiftool(path)
    expected = {
        "File:FileType": "DNG",
        "IFD0:Make": "Acme",
        "IFD0:UniqueCameraModel": "Acme One",
        "IFD0:Orientation": "Rotate 90 CW",
        "IFD0:Artist": "Zoë",
        "IFD0:BlackLevel": "64.25 65 66 67.5",
        "IFD0:WhiteLevel": 4000,
        "IFD0:ActiveArea": "3 5 43 55",
        "IFD0:NoiseProfile": "0.0001 1e-06 0.0002 2e-06 0.0003 4e-06",
        "ExifIFD:ExposureTime": "1/30",
        "ExifIFD:ISO": 800,
        "ExifIFD:FNumber": 1.8,
        "ExifIFD:FocalLength": "4.5 mm",
        "ExifIFD:ExposureCompensation": "-1/3",
        "ExifIFD:LensModel": "Fast 50",
        "Composite:SubSecDateTimeOriginal": "2024:05:06 07:08:09.12+02:00",
    }
    assert {name: tags.get(name) for name in expected} == expected


def test_write_cfa_dng_when_called_twice_then_the_bytes_are_the_same(tmp_path: Path):
    a, b = (write_cfa_dng(tmp_path / f"{n}.dng", make_mosaic(), make_metadata()).read_bytes() for n in "ab")
    assert a == b


def test_write_cfa_dng_when_the_file_exists_then_it_is_kept_unless_overwrite_is_set(tmp_path: Path):
    path = tmp_path / "a.dng"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        write_cfa_dng(path, make_mosaic(), make_metadata())
    assert path.read_bytes() == b"mine"
    write_cfa_dng(path, make_mosaic(), make_metadata(), overwrite=True)
    assert path.stat().st_size > 48 * 64 * 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", [{"height": 47}, {"cfa": "RGBG"}])
def test_write_cfa_dng_when_sizes_or_pattern_do_not_match_then_it_raises_and_writes_nothing(
    tmp_path: Path, change: dict
):
    with pytest.raises(ValueError):
        write_cfa_dng(
            tmp_path / "a.dng", make_mosaic(), make_metadata(**{"height": 48, "width": 64, **change})
        )
    assert list(tmp_path.iterdir()) == []


def test_write_cfa_dng_when_the_mosaic_is_not_uint16_then_it_raises_value_error(tmp_path: Path):
    with pytest.raises(ValueError, match="uint16"):
        write_cfa_dng(tmp_path / "a.dng", make_mosaic().astype(np.float32), make_metadata())  # type: ignore[arg-type]


TAGS = ExifTags(
    image={271: "Acme", 274: 1, 256: 9999},
    exif={
        33434: Fraction(1, 125),
        34855: 70_000,
        36864: b"0232",
        37380: Fraction(-2, 3),
        37386: 50,
        37510: b"ASCII\0\0\0hello",
        42034: (Fraction(24), Fraction(70), Fraction(28, 10), Fraction(28, 10)),
    },
    gps={0: b"\2\3\0\0", 1: "S", 2: (Fraction(47), Fraction(22), Fraction(123_456_789_012, 10**10)), 5: 1},
)


@needs_exiftool
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_append_exif_ifds_when_read_by_exiftool_then_every_tag_is_present(tmp_path: Path, byteorder: str):
    path = tmp_path / "a.tif"
    pixels = np.arange(60, dtype=np.uint16).reshape(5, 12)
    tifffile.imwrite(path, pixels, byteorder=byteorder, metadata=None, description="an odd word")  # type: ignore[arg-type]
    append_exif_ifds(path, TAGS)
    tags = exiftool(path, "-n")
    expected = {
        "IFD0:Make": "Acme",
        "IFD0:ImageWidth": 12,
        "IFD0:ImageDescription": "an odd word",
        "ExifIFD:ExposureTime": 0.008,
        "ExifIFD:ISO": 70_000,
        "ExifIFD:ExifVersion": "0232",
        "ExifIFD:ExposureCompensation": pytest.approx(-2 / 3),
        "ExifIFD:FocalLength": 50,
        "ExifIFD:UserComment": "hello",
        "ExifIFD:LensInfo": "24 70 2.8 2.8",
        "GPS:GPSLatitude": pytest.approx(47 + 22 / 60 + 12.3456789012 / 3600),
        "GPS:GPSAltitudeRef": 1,
    }
    assert {name: tags.get(name) for name in expected} == expected
    np.testing.assert_array_equal(tifffile.imread(path), pixels)


@needs_exiftool
def test_append_exif_ifds_when_called_twice_then_the_last_values_are_kept(tmp_path: Path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5, 12), np.uint8))
    for name in ("first", "second"):
        append_exif_ifds(path, ExifTags(image={271: name}, exif={42036: name}))
    tags = exiftool(path)
    assert (tags["IFD0:Make"], tags["ExifIFD:LensModel"]) == ("second", "second")


@needs_exiftool
def test_exif_block_when_read_by_exiftool_then_the_tags_are_present(tmp_path: Path):
    path = tmp_path / "block.exif"
    path.write_bytes(exif_block(TAGS))
    tags = exiftool(path)
    assert (tags["IFD0:Make"], tags["ExifIFD:ExposureTime"], tags["GPS:GPSLatitudeRef"]) == (
        "Acme",
        "1/125",
        "South",
    )


def test_append_exif_ifds_when_the_file_is_not_a_tiff_then_it_raises_value_error(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8 and so on")
    with pytest.raises(ValueError, match="not a classic TIFF"):
        append_exif_ifds(path, TAGS)
    assert path.read_bytes() == b"\xff\xd8 and so on"


@pytest.mark.parametrize("value", [1.5, (1, "a"), (), -3])
def test_exif_block_when_a_value_has_an_invalid_type_then_it_raises_value_error(value: object):
    with pytest.raises(ValueError, match="tag 270"):
        exif_block(ExifTags(image={270: value}))
