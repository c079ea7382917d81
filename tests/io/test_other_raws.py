"""Raws other than DNGs: metadata from LibRaw, and tags in other containers."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from burstfix.cfa import CFA_PATTERNS
from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io import read_frame, read_metadata
from burstfix.io.read.calibration import XYZ_TO_SRGB
from burstfix.io.read.camera import CameraFacts
from burstfix.io.read.dng import Area
from burstfix.io.read.metadata import LibRawFacts, build_metadata, visible_area
from burstfix.io.read.tags import FileTags, read_tags
from burstfix.io.write.exif_ifd import exif_block
from burstfix.types import ExifTags, Levels
from tests.io.raw_files import make_mosaic, rename_tag, write_raw

EXIF = ExifTags(
    image={271: "Acme", 272: "One", 306: "2024:05:06 07:08:09"},
    exif={33434: Fraction(1, 30), 34855: 800, 37510: b"ASCII\0\0\0a note", 42036: "Fast 50"},
    gps={0: b"\2\3\0\0", 1: "N", 2: (Fraction(47), Fraction(22), Fraction(12))},
)


def write_other_raw(path: Path, **changes: object) -> Path:
    """Write a TIFF that LibRaw reads as a raw, without the tags of a DNG."""
    write_raw(path, **changes)
    rename_tag(path, 50706, 60001)
    return path


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_read_frame_when_the_raw_is_not_a_dng_then_pattern_and_levels_are_from_libraw(
    tmp_path: Path, cfa: str
):
    levels = Levels(np.array([[61, 62], [63, 64]], np.float32), 1020.0)
    frame = read_frame(write_other_raw(tmp_path / "a.tif", cfa=cfa, levels=levels))
    m = frame.metadata
    np.testing.assert_array_equal(frame.mosaic, make_mosaic())
    assert m.cfa == cfa
    np.testing.assert_array_equal(m.levels.black, levels.black)
    assert (m.levels.white, m.noise, m.make, m.iso) == (1020, None, "Acme", 800)
    assert m.color.as_shot_neutral == pytest.approx([0.5, 1, 0.7], abs=1e-5)


def test_read_metadata_when_the_raw_is_not_a_dng_then_it_equals_that_of_read_frame(tmp_path: Path):
    path = write_other_raw(tmp_path / "a.tif", orientation=8)
    alone, whole = read_metadata(path), read_frame(path).metadata
    assert (alone.cfa, alone.levels.white, alone.orientation) == (whole.cfa, whole.levels.white, 8)


@pytest.mark.parametrize(
    ("crop", "found"),
    [
        (Area(6, 4, 20, 30), (2, 0, 20, 30)),
        (Area(4, 4, 36, 54), (0, 0, 36, 54)),
        (Area(0, 0, 0, 0), None),  # unknown
        (Area(6, 4, 35, 54), None),
        (Area(3, 4, 20, 30), None),
        (None, None),
    ],
)
def test_build_metadata_when_the_camera_crops_its_pictures_then_the_default_crop_is_equal(
    crop: Area | None, found: tuple[int, int, int, int] | None
):
    given = replace(facts(), visible=Area(4, 4, 36, 54), crop=crop)
    assert build_metadata(FileTags(Path("a.arw"), 1), given).value.default_crop == found


def facts(**changes: object) -> LibRawFacts:
    camera = {
        "pattern": np.array([[0, 1], [3, 2]], np.uint8),
        "channels": 1,
        "is_foveon": False,
        "colors": "RGBG",
        "black": (64.0, 65.0, 66.0, 67.0),
        "white": 1023.0,
        "xyz_to_camera": np.eye(3),
        "white_balance": np.array([2.0, 1.0, 1.5]),
        "estimated_balance": np.zeros(3),
        "iso": 100.0,
        "exposure_time": 0.1,
        "aperture": 2.0,
        "focal_length": 35.0,
        "time": None,
        "lens": "Slow 35",
        **changes,
    }
    return LibRawFacts(Area(0, 0, 40, 60), 40, 60, 6, CameraFacts(**camera))  # type: ignore[arg-type]


def test_build_metadata_when_tags_are_absent_then_values_are_from_libraw():
    m = build_metadata(FileTags(Path("a.x"), 1), facts()).value
    assert m.levels.black.tolist() == [[64, 65], [67, 66]]
    assert m.color.as_shot_neutral == pytest.approx([0.5, 1, 2 / 3])
    assert (m.orientation, m.iso, m.exposure_time, m.lens) == (6, 100, 0.1, "Slow 35")


def test_build_metadata_when_libraw_has_no_matrix_then_there_is_a_warning():
    (warning,) = build_metadata(FileTags(Path("a.x"), 1), facts(xyz_to_camera=np.zeros((3, 3)))).warnings
    assert "no colour matrix" in warning


def test_build_metadata_when_libraw_has_a_hidden_matrix_then_colours_equal_those_of_libraw():
    saturating = np.array([[1.6, -0.4, -0.2], [-0.2, 1.5, -0.3], [-0.1, -0.5, 1.6]])
    known = facts(xyz_to_camera=np.zeros((3, 3)), balanced_to_srgb=saturating)
    noted = build_metadata(FileTags(Path("a.x"), 1), known)
    assert noted.warnings == ()
    color = noted.value.color
    balanced = np.array([0.2, 0.5, 0.3])
    xyz = np.linalg.solve(color.color_matrix_1, balanced * color.as_shot_neutral)
    np.testing.assert_allclose(XYZ_TO_SRGB @ xyz, saturating @ balanced, atol=1e-9)


@pytest.mark.parametrize("gains", [[-1.0, 0.98, 1.01], [0.0, 1.0, 0.0], [np.nan, 1.0, 1.0]])
def test_build_metadata_when_the_camera_recorded_no_white_balance_then_it_is_estimated(
    gains: list[float],
):
    known = facts(white_balance=np.array(gains), estimated_balance=np.array([2.0, 1.0, 1.25]))
    noted = build_metadata(FileTags(Path("a.crw"), 1), known)
    assert noted.value.color.as_shot_neutral == pytest.approx([0.5, 1, 0.8])
    (warning,) = noted.warnings
    assert warning.startswith("a.crw: the camera recorded no white balance; it is estimated")


@pytest.mark.parametrize(
    ("aspect", "scale"), [(1.0, None), (1.5, (1.0, 1.5)), (0.5, (2.0, 1.0)), (0.0, None), (99.0, None)]
)
def test_build_metadata_when_pixels_are_not_square_then_pictures_are_stretched(
    aspect: float, scale: tuple[float, float] | None
):
    given = replace(facts(), pixel_aspect=aspect)
    assert build_metadata(FileTags(Path("a.kdc"), 1), given).value.default_scale == scale


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_foveon": True}, "Foveon"),
        ({"pattern": np.zeros((6, 6), np.uint8)}, "X-Trans"),
        ({"pattern": np.array([[0, 1], [2, 3]], np.uint8), "colors": "GMCY"}, "the colour pattern GMCY"),
    ],
)
def test_build_metadata_when_the_sensor_is_not_bayer_then_the_error_names_it(
    changes: dict[str, object], message: str
):
    with pytest.raises(UnsupportedSensorError, match=message):
        build_metadata(FileTags(Path("a.x"), 1), facts(**changes))


@pytest.mark.parametrize(
    "area", [Area(0, 0, 41, 60), Area(0, 10, 40, 60), Area(0, 0, 0, 60), Area(-1, 0, 4, 4)]
)
def test_visible_area_when_it_lies_outside_the_pixels_then_it_raises_input_error(area: Area):
    with pytest.raises(InputError, match="a.x: .*damaged"):
        visible_area(FileTags(Path("a.x"), 1), LibRawFacts(area, 40, 60, 0, facts().camera))


def check_tags(found: ExifTags) -> None:
    for group in ("image", "exif", "gps"):
        assert getattr(EXIF, group).items() <= getattr(found, group).items()


def test_read_tags_when_the_file_is_a_raf_then_they_are_from_the_embedded_jpeg(tmp_path: Path):
    segment = b"Exif\0\0" + exif_block(EXIF)
    jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + b"\xff\xda\0\2\xff\xd9"
    head = b"FUJIFILMCCD-RAW 0201FF".ljust(84, b"\0") + struct.pack(">LL", 160, len(jpeg))
    path = tmp_path / "a.raf"
    path.write_bytes(head.ljust(160, b"\0") + jpeg)
    check_tags(read_tags(path).exif)


def test_read_tags_when_the_file_is_a_cr3_then_they_are_from_its_boxes(tmp_path: Path):
    # Each box contains a TIFF. Its first directory is the EXIF or GPS directory.
    exif = exif_block(ExifTags(image=EXIF.exif))
    gps = bytearray(exif_block(ExifTags(gps=EXIF.gps)))
    struct.pack_into("<L", gps, 4, 8)  # the GPS directory is the first one in the box
    boxes = ((b"CMT1", exif_block(ExifTags(image=EXIF.image))), (b"CMT2", exif), (b"CMT4", bytes(gps)))
    data = b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"
    for name, body in boxes:
        data += struct.pack(">L", len(body) + 8) + name + body
    path = tmp_path / "a.cr3"
    path.write_bytes(data)
    check_tags(read_tags(path).exif)
