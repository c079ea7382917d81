import hashlib
import io
import json
import struct
import subprocess
from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import tifffile
from PIL import Image, ImageCms

from burstfix import __version__
from burstfix.color import icc_profile
from burstfix.io import write_image
from burstfix.types import ExifTags
from tests.io.picture_files import (
    EXPECTED,
    NAMES,
    SETTINGS,
    exiftool,
    make_picture,
    needs_exiftool,
)


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_read_by_exiftool_then_every_tag_is_present(name, tmp_path):
    path = write_image(make_picture(), tmp_path / name)
    tags = exiftool(path, "-n", "-EXIF:all", "-GPS:all")
    expected = dict(EXPECTED)
    if name == "out.avif":
        del expected["Orientation"]  # AVIF has a property instead of the tag
    assert {tag: tags.get(tag) for tag in expected} == expected


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_the_reference_has_no_caption_then_the_picture_has_none(name, tmp_path):
    path = write_image(make_picture(exif=ExifTags(image={271: "Maker"})), tmp_path / name)
    tags = exiftool(path, "-EXIF:all")
    assert "ImageDescription" not in tags and tags["Make"] == "Maker"


@needs_exiftool
@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_read_by_exiftool_then_xmp_contains_settings_and_caption(name, tmp_path):
    tags = exiftool(write_image(make_picture(), tmp_path / name), "-XMP:all")
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
    path = write_image(make_picture(), tmp_path / name)
    done = subprocess.run(
        ["exiftool", "-validate", "-warning", "-error", "-a", str(path)], capture_output=True, text=True
    )
    complaints = [line for line in done.stdout.splitlines() if line.startswith(("Warning", "Error"))]
    # Ignore two common violations of EXIF: deflate compression in TIFF, and no GPS processing method.
    assert [c for c in complaints if "Compression" not in c and "GPSProcessingMethod" not in c] == []


@needs_exiftool
@pytest.mark.parametrize("space", ["srgb", "display-p3"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "out.jxl"])
def test_write_image_when_read_by_other_programs_then_the_icc_profile_is_complete(name, space, tmp_path):
    image = make_picture(icc_profile=icc_profile(space), settings={"render": {"color_space": space}})
    path = write_image(image, tmp_path / name)
    done = subprocess.run(["exiftool", "-b", "-icc_profile", str(path)], capture_output=True, check=True)
    assert done.stdout == icc_profile(space)
    ImageCms.getOpenProfile(io.BytesIO(done.stdout))
    assert exiftool(path, "-n", "-EXIF:ColorSpace")["ColorSpace"] == (1 if space == "srgb" else 65535)


def test_write_image_when_exif_tags_are_invalid_then_the_picture_is_written_without_them(tmp_path, caplog):
    exif = ExifTags(image={271: "Maker"}, exif={34855: -5, 33434: object(), 33437: Fraction(2)})
    with Image.open(write_image(make_picture(exif=exif), tmp_path / "out.jpg")) as opened:
        tags = opened.getexif()
        assert tags[271] == "Maker"
        assert 34855 not in tags.get_ifd(34665) and tags.get_ifd(34665)[33437] == 2
    assert "34855" in caplog.text


def test_write_image_when_a_tag_is_too_long_for_jpeg_then_the_rest_is_kept(tmp_path, caplog):
    image = make_picture(exif=ExifTags(image={270: "long " * 20_000, 271: "Maker"}))
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
    path = write_image(make_picture(settings=settings, exif=ExifTags(xmp=xmp)), tmp_path / "long.jpg")
    jpeg = path.read_bytes()
    extended = extended_xmp(jpeg)
    assert b"A title" in jpeg and b"A title" not in extended
    assert extended.count(b"<rdf:li>keyword") == 6000 and extended.count(b"name.dng") == 10_000
    ElementTree.fromstring(extended)
    with Image.open(path) as opened:
        opened.load()
        ElementTree.fromstring(opened.info["xmp"].rstrip(b"\0"))


def test_write_image_when_xmp_is_short_then_a_jpeg_has_no_extended_xmp(tmp_path):
    assert (
        b"xmp/extension" not in write_image(make_picture(settings=SETTINGS), tmp_path / "a.jpg").read_bytes()
    )


@needs_exiftool
def test_write_image_when_settings_have_unusual_names_then_xmp_is_well_formed(tmp_path):
    settings = {"weird key/<1>": "a\x00b\udc80c", "7": 1, "nested": {"a": {"b c": [None, True]}}}
    tags = exiftool(write_image(make_picture(settings=settings), tmp_path / "out.tif"), "-XMP:all")
    assert tags["WeirdKey1"] == "a\ufffdb\ufffdc"
    assert tags["N7"] == 1
    assert json.loads(str(tags["NestedABC"])) == [None, True]
    assert "Warning" not in tags
