import io
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.ExifTags import IFD

from burstfix.errors import OutputError, UsageError
from burstfix.io import write_image, write_linear_tiff
from tests.io.picture_files import NAMES, make_picture, read_picture


def test_write_image_when_jpeg_xl_lacks_the_colour_space_then_it_raises_usage_error(tmp_path):
    image = make_picture(settings={"render": {"color_space": "display-p3"}})
    with pytest.raises(UsageError, match="JPEG XL is written in srgb, not display-p3; use TIFF"):
        write_image(image, tmp_path / "out.jxl")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_write_image_when_16_bit_then_pixels_are_read_back_exactly(name, tmp_path):
    image = make_picture(131, 77)
    found = read_picture(write_image(image, tmp_path / name))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, image.data)


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_write_image_when_8_bit_then_values_are_rounded(name, tmp_path):
    data = np.array([0, 128, 129, 257, 385, 386, 32768, 65535, 65406], np.uint16).reshape(1, 3, 3)
    found = read_picture(write_image(make_picture(data=data), tmp_path / name, bit_depth=8))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [0, 0, 1, 1, 1, 2, 128, 255, 254]  # v / 257, rounded


def _drawing() -> np.ndarray:
    ys, xs = np.mgrid[0:64, 0:96]
    return np.stack([xs * 600, ys * 900, (xs // 8 + ys // 8) % 2 * 40000 + 5000], axis=-1).astype(np.uint16)


@pytest.mark.parametrize("name", ["out.jxl", "out.avif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_write_image_when_jpeg_xl_or_avif_then_pixels_are_close_to_the_picture(name, depth, tmp_path):
    if depth == 16 and name == "out.avif":
        pytest.skip("AVIF has 8 bits here")
    path = write_image(make_picture(data=_drawing()), tmp_path / name, quality=97, bit_depth=depth)
    found = read_picture(path)
    assert found.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert np.abs(found / (2.0**depth - 1) - _drawing() / 65535).mean() < 0.008


def test_write_image_when_jpeg_xl_has_quality_100_then_it_is_lossless(tmp_path):
    image = make_picture()
    found = read_picture(write_image(image, tmp_path / "out.jxl", quality=100))
    np.testing.assert_array_equal(found, image.data)


def test_write_image_when_jpeg_then_it_has_a_thumbnail(tmp_path):
    data = _drawing().repeat(10, 0).repeat(10, 1)
    with Image.open(write_image(make_picture(data=data), tmp_path / "out.jpg")) as opened:
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
    path = write_image(make_picture(data=data), tmp_path / "out.JPG", quality=97)
    with Image.open(path) as opened:
        assert opened.format == "JPEG" and opened.layer[0][1:3] == opened.layer[1][1:3]  # type: ignore[attr-defined]
        found = np.asarray(opened).astype(float)
    assert np.abs(found - data / 257.0).mean() < 2


def test_write_image_when_jpeg_quality_is_lower_then_the_file_is_smaller(tmp_path):
    image = make_picture()
    sizes = [write_image(image, tmp_path / f"{q}.jpg", quality=q).stat().st_size for q in (95, 40)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_written_twice_then_the_bytes_are_the_same(name, tmp_path):
    first = write_image(make_picture(), tmp_path / name).read_bytes()
    assert write_image(make_picture(), tmp_path / name, overwrite=True).read_bytes() == first


def test_write_image_when_the_file_exists_then_it_raises_and_keeps_the_file(tmp_path):
    path = tmp_path / "out.tif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        write_image(make_picture(), path)
    assert path.read_bytes() == b"precious"
    write_image(make_picture(), path, overwrite=True)
    assert tifffile.imread(path).shape == (40, 56, 3)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_write_image_when_the_folder_is_missing_then_it_raises_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_image(make_picture(), tmp_path / "nowhere" / "out.png")


@pytest.mark.parametrize("name", ["out.bmp", "out", "out.dng"])
def test_write_image_when_the_suffix_is_unknown_then_the_error_lists_the_known_ones(name, tmp_path):
    with pytest.raises(OutputError, match=r"use \.tif, \.png, \.jpg, \.jxl or \.avif"):
        write_image(make_picture(), tmp_path / name)
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
        write_image(make_picture(), tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_write_image_when_the_disk_is_full_then_it_raises_output_error_and_leaves_no_file(name, tmp_path):
    # A limit on the file size simulates a full disk. A write then fails halfway with a system error.
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
