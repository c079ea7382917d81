import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.ExifTags import IFD

from burstfix import __version__
from burstfix.color import icc_profile
from burstfix.errors import OutputError, UsageError
from burstfix.io import write_image, write_linear_tiff
from burstfix.io.write.formats import FORMATS
from burstfix.types import ExifTags, RenderedImage

SETTINGS = {
    "model": "average",
    "frames": ["a.dng", "größer <1> & so.dng"],
    "noise": {"source": "burst", "shot_gain": [0.01, 0.02, 0.02, 0.03]},
    "render": {"look": "plain", "color_space": "srgb"},
}

EXIF = ExifTags(
    image={
        270: "my caption <3",
        271: "Maker",
        272: "Model One",
        274: 6,
        305: "firmware 1.2",
        306: "2024:05:06 07:08:10",
        315: "Zoë Photographer",
        33432: "(c) Zoë",
    },
    exif={
        33434: Fraction(1, 15),
        33437: Fraction(9, 5),
        34850: 2,
        34855: 6400,
        36867: "2024:05:06 07:08:09",
        36868: "2024:05:06 07:08:09",
        36881: "+02:00",
        36882: "+02:00",
        37386: Fraction(17, 4),
        37521: "123",
        37522: "123",
        42034: (Fraction(4), Fraction(4), Fraction(9, 5), Fraction(9, 5)),
        42035: "Lens Maker",
        42036: "Lens 4.25mm f/1.8",
    },
    gps={
        0: b"\2\3\0\0",
        1: "S",
        2: (Fraction(33), Fraction(52), Fraction(1083, 100)),
        3: "E",
        4: (Fraction(151), Fraction(12), Fraction(3456, 100)),
        5: b"\0",
        6: Fraction(585, 10),
        7: (Fraction(5), Fraction(8), Fraction(9)),
        29: "2024:05:06",
    },
)

# The reference frame's tags, as exiftool -n prints them in every format.
EXPECTED = {
    "ImageDescription": "my caption <3",
    "Make": "Maker",
    "Model": "Model One",
    "LensMake": "Lens Maker",
    "LensModel": "Lens 4.25mm f/1.8",
    "LensInfo": "4 4 1.8 1.8",
    "ExposureProgram": 2,
    "ExposureTime": pytest.approx(1 / 15),
    "FNumber": 1.8,
    "FocalLength": 4.25,
    "ISO": 6400,
    "ModifyDate": "2024:05:06 07:08:10",
    "DateTimeOriginal": "2024:05:06 07:08:09",
    "SubSecTimeOriginal": 123,
    "OffsetTimeOriginal": "+02:00",
    "CreateDate": "2024:05:06 07:08:09",
    "SubSecTimeDigitized": 123,
    "OffsetTimeDigitized": "+02:00",
    "Artist": "Zoë Photographer",
    "Copyright": "(c) Zoë",
    "GPSLatitudeRef": "S",
    "GPSLatitude": pytest.approx(33 + 52 / 60 + 10.83 / 3600),
    "GPSLongitudeRef": "E",
    "GPSLongitude": pytest.approx(151 + 12 / 60 + 34.56 / 3600),
    "GPSAltitude": 58.5,
    "GPSTimeStamp": "05:08:09",
    "GPSDateStamp": "2024:05:06",
    "Orientation": 1,
    "Software": f"burstfix {__version__}",
    "ColorSpace": 1,
}

NAMES = [f"out{row.suffix}" for row in FORMATS if not row.is_raw]

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)"
)


def _picture(height: int = 40, width: int = 56, **changes: object) -> RenderedImage:
    rng = np.random.default_rng(7)
    data = rng.integers(0, 65536, (height, width, 3), dtype=np.uint16)
    fields: dict[str, object] = {
        "data": data,
        "icc_profile": icc_profile("srgb"),
        "exif": EXIF,
        "settings": SETTINGS,
    }
    return RenderedImage(**{**fields, **changes})  # type: ignore[arg-type]


def _exiftool(path: Path, *options: str) -> dict[str, object]:
    done = subprocess.run(
        ["exiftool", "-j", *options, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)[0]


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        return tifffile.imread(path)
    import imagecodecs

    return imagecodecs.imread(path)


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_read_by_exiftool_then_every_tag_is_present(name, tmp_path):
    path = write_image(_picture(), tmp_path / name)
    tags = _exiftool(path, "-n", "-EXIF:all", "-GPS:all")
    expected = dict(EXPECTED)
    if name == "out.avif":
        del expected["Orientation"]  # AVIF stores a property instead of the tag
    assert {tag: tags.get(tag) for tag in expected} == expected


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_the_reference_has_no_caption_then_the_picture_has_none(name, tmp_path):
    path = write_image(_picture(exif=ExifTags(image={271: "Maker"})), tmp_path / name)
    tags = _exiftool(path, "-EXIF:all")
    assert "ImageDescription" not in tags and tags["Make"] == "Maker"


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_read_by_exiftool_then_xmp_contains_settings_and_caption(name, tmp_path):
    tags = _exiftool(write_image(_picture(), tmp_path / name), "-XMP:all")
    assert tags["Version"] == __version__ or str(tags["Version"]) == __version__
    assert tags["Model"] == "average"
    assert tags["NoiseSource"] == "burst"
    assert tags["RenderLook"] == "plain"
    assert json.loads(str(tags["Frames"])) == SETTINGS["frames"]
    assert tags["CreatorTool"] == f"burstfix {__version__}"
    assert tags["Description"] == "my caption <3"


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_validated_by_exiftool_then_there_is_no_serious_warning(name, tmp_path):
    path = write_image(_picture(), tmp_path / name)
    done = subprocess.run(
        ["exiftool", "-validate", "-warning", "-error", "-a", str(path)], capture_output=True, text=True
    )
    complaints = [line for line in done.stdout.splitlines() if line.startswith(("Warning", "Error"))]
    # Ignore two common violations: EXIF for TIFF excludes deflate and requires a GPS processing method.
    assert [c for c in complaints if "Compression" not in c and "GPSProcessingMethod" not in c] == []


@needs_exiftool
@pytest.mark.parametrize("space", ["srgb", "display-p3"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "out.jxl"])
def test_write_image_when_read_by_other_programs_then_the_icc_profile_is_complete(name, space, tmp_path):
    image = _picture(icc_profile=icc_profile(space), settings={"render": {"color_space": space}})
    path = write_image(image, tmp_path / name)
    done = subprocess.run(["exiftool", "-b", "-icc_profile", str(path)], capture_output=True, check=True)
    assert done.stdout == icc_profile(space)
    ImageCms.getOpenProfile(io.BytesIO(done.stdout))
    assert _exiftool(path, "-n", "-EXIF:ColorSpace")["ColorSpace"] == (1 if space == "srgb" else 65535)


def test_write_image_when_jpeg_xl_lacks_the_colour_space_then_it_raises_usage_error(tmp_path):
    image = _picture(settings={"render": {"color_space": "display-p3"}})
    with pytest.raises(UsageError, match="JPEG XL is written in srgb, not display-p3; use TIFF"):
        write_image(image, tmp_path / "out.jxl")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_write_image_when_16_bit_then_pixels_are_read_back_exactly(name, tmp_path):
    image = _picture(131, 77)
    found = _read(write_image(image, tmp_path / name))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, image.data)


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_write_image_when_8_bit_then_values_are_rounded(name, tmp_path):
    data = np.array([0, 128, 129, 257, 385, 386, 32768, 65535, 65406], np.uint16).reshape(1, 3, 3)
    found = _read(write_image(_picture(data=data), tmp_path / name, bit_depth=8))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [0, 0, 1, 1, 1, 2, 128, 255, 254]  # v / 257 to the nearest


def _drawing() -> np.ndarray:
    ys, xs = np.mgrid[0:64, 0:96]
    return np.stack([xs * 600, ys * 900, (xs // 8 + ys // 8) % 2 * 40000 + 5000], axis=-1).astype(np.uint16)


@pytest.mark.parametrize("name", ["out.jxl", "out.avif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_write_image_when_jpeg_xl_or_avif_then_pixels_are_close_to_the_picture(name, depth, tmp_path):
    if depth == 16 and name == "out.avif":
        pytest.skip("AVIF has 8 bits here")
    path = write_image(_picture(data=_drawing()), tmp_path / name, quality=97, bit_depth=depth)
    found = _read(path)
    assert found.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert np.abs(found / (2.0**depth - 1) - _drawing() / 65535).mean() < 0.008


def test_write_image_when_jpeg_xl_has_quality_100_then_it_is_lossless(tmp_path):
    image = _picture()
    found = _read(write_image(image, tmp_path / "out.jxl", quality=100))
    np.testing.assert_array_equal(found, image.data)


def test_write_image_when_jpeg_then_it_has_a_thumbnail(tmp_path):
    data = _drawing().repeat(10, 0).repeat(10, 1)
    with Image.open(write_image(_picture(data=data), tmp_path / "out.jpg")) as opened:
        exif = opened.getexif()
        whole = np.asarray(opened, float)
    second = exif.get_ifd(IFD.IFD1)
    raw = (tmp_path / "out.jpg").read_bytes()
    start = raw.index(b"Exif\0\0") + 6 + second[513]
    with Image.open(io.BytesIO(raw[start : start + second[514]])) as thumbnail:
        assert thumbnail.size == (160, 107)
        assert np.abs(np.asarray(thumbnail, float).mean((0, 1)) - whole.mean((0, 1))).max() < 4


def test_write_image_when_jpeg_then_pixels_are_close_at_full_colour_resolution(tmp_path):
    data = _drawing()
    path = write_image(_picture(data=data), tmp_path / "out.JPG", quality=97)
    with Image.open(path) as opened:
        assert opened.format == "JPEG" and opened.layer[0][1:3] == opened.layer[1][1:3]  # type: ignore[attr-defined]
        found = np.asarray(opened).astype(float)
    assert np.abs(found - data / 257.0).mean() < 2


def test_write_image_when_jpeg_quality_is_lower_then_the_file_is_smaller(tmp_path):
    image = _picture()
    sizes = [write_image(image, tmp_path / f"{q}.jpg", quality=q).stat().st_size for q in (95, 40)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_written_twice_then_the_bytes_are_the_same(name, tmp_path):
    first = write_image(_picture(), tmp_path / name).read_bytes()
    assert write_image(_picture(), tmp_path / name, overwrite=True).read_bytes() == first


def test_write_image_when_the_file_exists_then_it_raises_and_keeps_the_file(tmp_path):
    path = tmp_path / "out.tif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        write_image(_picture(), path)
    assert path.read_bytes() == b"precious"
    write_image(_picture(), path, overwrite=True)
    assert tifffile.imread(path).shape == (40, 56, 3)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_write_image_when_the_folder_is_missing_then_it_raises_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_image(_picture(), tmp_path / "nowhere" / "out.png")


@pytest.mark.parametrize("name", ["out.bmp", "out", "out.dng"])
def test_write_image_when_the_suffix_is_unknown_then_the_error_lists_the_known_ones(name, tmp_path):
    with pytest.raises(OutputError, match=r"use \.tif, \.png, \.jpg, \.jxl or \.avif"):
        write_image(_picture(), tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.jpg", {"bit_depth": 16}),
        ("out.png", {"bit_depth": 12}),
        ("out.jpg", {"quality": 0}),
        ("out.jpg", {"quality": 101}),
    ],
)
def test_write_image_when_a_setting_is_invalid_then_it_raises_usage_error(name, options, tmp_path):
    with pytest.raises(UsageError, match=name):
        write_image(_picture(), tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_the_disk_is_full_then_it_raises_output_error_and_leaves_no_file(name, tmp_path):
    # A limit on the file size simulates a full disk: a write fails halfway with a system error.
    program = f"""
        import resource
        import numpy as np
        from burstfix.color import icc_profile
        from burstfix.errors import OutputError
        from burstfix.io import write_image
        from burstfix.types import RenderedImage
        data = np.random.default_rng(0).integers(0, 65536, (300, 300, 3), dtype=np.uint16)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            write_image(RenderedImage(data, icc_profile("srgb")), {str(tmp_path / name)!r})
        except OutputError as error:
            print("refused:", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("refused:") and "cannot be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


def test_write_image_when_exif_tags_are_invalid_then_the_picture_is_written_without_them(tmp_path, caplog):
    exif = ExifTags(image={271: "Maker"}, exif={34855: -5, 33434: object(), 33437: Fraction(2)})
    with Image.open(write_image(_picture(exif=exif), tmp_path / "out.jpg")) as opened:
        tags = opened.getexif()
        assert tags[271] == "Maker"
        assert 34855 not in tags.get_ifd(34665) and tags.get_ifd(34665)[33437] == 2
    assert "34855" in caplog.text


def test_write_image_when_a_tag_is_too_long_for_jpeg_then_the_rest_is_kept(tmp_path, caplog):
    image = _picture(exif=ExifTags(image={270: "long " * 20_000, 271: "Maker"}))
    with Image.open(write_image(image, tmp_path / "out.jpg")) as opened:
        assert opened.getexif()[271] == "Maker" and 270 not in opened.getexif()
    assert "too long" in caplog.text
    with tifffile.TiffFile(write_image(image, tmp_path / "out.tif")) as tif:
        assert tif.pages[0].tags[270].value.startswith("long long")  # type: ignore[union-attr]


def extended_xmp(jpeg: bytes) -> bytes:
    """Reassemble extended XMP from the segments of a JPEG, and check its lengths, offsets and digest."""
    segments = jpeg.split(b"http://ns.adobe.com/xmp/extension/\0")
    found = b""
    for before, segment in pairwise(segments):
        (length,) = struct.unpack(">H", before[-2:])
        guid, (total, offset) = segment[:32], struct.unpack(">II", segment[32:40])
        assert offset == len(found) and before[-4:-2] == b"\xff\xe1"
        found += segment[40 : length - 2 - 35]
    assert len(found) == total and hashlib.md5(found).hexdigest().upper().encode() == guid
    assert b">" + guid + b"</xmpNote:HasExtendedXMP>" in segments[0]
    return found


def test_write_image_when_xmp_is_too_long_for_a_segment_then_the_longest_property_is_extended_xmp(
    tmp_path,
):
    space = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    keywords = "".join(f"<rdf:li>keyword {k:05}</rdf:li>" for k in range(6000))
    xmp = {
        "dc:title": f"<dc:title {space}>A title</dc:title>",
        "dc:subject": f"<dc:subject {space}><rdf:Bag>{keywords}</rdf:Bag></dc:subject>",
    }
    settings = {**SETTINGS, "frames": ["name.dng"] * 10_000}
    path = write_image(_picture(settings=settings, exif=ExifTags(xmp=xmp)), tmp_path / "long.jpg")
    jpeg = path.read_bytes()
    extended = extended_xmp(jpeg)
    assert b"A title" in jpeg and b"A title" not in extended
    assert extended.count(b"<rdf:li>keyword") == 6000 and extended.count(b"name.dng") == 10_000
    ElementTree.fromstring(extended)
    with Image.open(path) as opened:
        opened.load()
        ElementTree.fromstring(opened.info["xmp"].rstrip(b"\0"))


def test_write_image_when_xmp_is_short_then_a_jpeg_has_no_extended_xmp(tmp_path):
    assert b"xmp/extension" not in write_image(_picture(settings=SETTINGS), tmp_path / "a.jpg").read_bytes()


@needs_exiftool
def test_write_image_when_settings_have_unusual_names_then_xmp_is_well_formed(tmp_path):
    settings = {"weird key/<1>": "a\x00b\udc80c", "7": 1, "nested": {"a": {"b c": [None, True]}}}
    tags = _exiftool(write_image(_picture(settings=settings), tmp_path / "out.tif"), "-XMP:all")
    assert tags["WeirdKey1"] == "a\ufffdb\ufffdc"
    assert tags["N7"] == 1
    assert json.loads(str(tags["NestedABC"])) == [None, True]
    assert "Warning" not in tags


@pytest.mark.parametrize("white", [1.0, 4.0])
def test_write_linear_tiff_when_read_back_then_values_follow_from_the_stated_scale(white, tmp_path):
    data = np.random.default_rng(1).uniform(-0.1, white * 1.1, (3, 21, 34)).astype(np.float32)
    path = write_linear_tiff(tmp_path / "truth.tif", data, white=white, facts={"seed": 3})
    with tifffile.TiffFile(path) as tif:
        codes = tif.asarray()
        facts = json.loads(tif.pages[0].description)  # type: ignore[union-attr]
    assert codes.dtype == np.uint16 and codes.shape == (21, 34, 3)
    assert (facts["white"], facts["white_code"], facts["linear"], facts["seed"]) == (white, 65535, True, 3)
    found = codes.transpose(2, 0, 1) * (facts["white"] / facts["white_code"])
    np.testing.assert_allclose(found, np.clip(data, 0, white), atol=white / 65535 * 0.51)
    with pytest.raises(OutputError, match="exists"):
        write_linear_tiff(path, data)
