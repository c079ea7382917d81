"""Merged DNGs: their tags and pixels, and their rendering by other programs."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile
from PIL import Image

from benchmarks.raw_converters import CONVERTERS, convert, copy_module, is_installed
from burstfix.analysis.remaining_noise import noise_left
from burstfix.cli import main
from burstfix.color import render
from burstfix.color.preview import preview_of
from burstfix.io import read_metadata
from burstfix.io.write.formats import DngCompression
from burstfix.io.write.merged_dng import BLACK_CODE
from burstfix.opcodes import OpcodeLists
from burstfix.pipeline import merge_burst, read_burst, write_dng
from burstfix.raw.green_balance import balance_greens
from burstfix.types import ExifTags
from tests.merged_raws import GAIN, NEUTRAL, READ, WARP, burst_of, tags_of
from tests.opcodes import lists as make
from tests.raw.test_green_balance import dark_mosaic


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory):
    """Merge a burst; write it as a linear and as a mosaic DNG."""
    folder = tmp_path_factory.mktemp("raws")
    paths = burst_of(folder, orientation=6)
    burst = read_burst(paths, reference=1)
    linear, mosaic = merge_burst(burst, model="average"), merge_burst(burst, model="average", mosaic=True)
    write_dng(linear, folder / "linear.dng")
    write_dng(mosaic, folder / "mosaic.dng")
    return {"folder": folder, "reference": paths[1], "linear": linear, "mosaic": mosaic}


@pytest.mark.parametrize("name", ["linear.dng", "mosaic.dng"])
def test_write_dng_when_exiftool_validates_it_then_there_is_no_warning(merged, name: str):
    tags_of(merged["folder"] / name)
    run = subprocess.run(
        ["exiftool", "-validate", "-warning", "-error", "-a", str(merged["folder"] / name)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split(":", 1)[1].strip() == "OK"


def test_write_dng_when_done_then_tags_are_those_of_the_reference(merged):
    tags = tags_of(merged["folder"] / "linear.dng")
    assert tags["UniqueCameraModel"] == "Acme One"
    assert tags["Orientation"] == 6
    assert (tags["ISO"], tags["ExposureTime"], tags["GPSLatitude"]) == (800, pytest.approx(1 / 30), 47.375)
    assert [float(x) for x in tags["AsShotNeutral"].split()] == pytest.approx(NEUTRAL)
    assert tags["DefaultCropSize"] == "320 256"
    assert tags["Software"].startswith("burstfix")
    assert "ImageDescription" not in tags
    assert json.loads(tags["Frames"]) == ["shot_0.dng", "shot_1.dng", "shot_2.dng"]
    assert tags["Model"] == "One"
    left = noise_left(merged["linear"])
    assert left is not None
    # A third of the variance remains after three frames, and about a quarter of that after the filter of
    # `average`.
    at_grey = 0.2 * left.shot_gain[1] + left.read_variance[1]
    assert 0.02 < at_grey / (0.2 * GAIN + READ) < 0.25


@pytest.mark.parametrize(("unique", "expected"), [("Nikon D1", "Nikon D1"), ("", "Acme Caméra ™")])
def test_write_dng_when_names_are_unusual_and_a_tag_is_invalid_then_other_tags_are_copied(
    merged, tmp_path: Path, unique: str, expected: str
):
    linear = merged["linear"]
    odd = ExifTags(exif={37383: -1, 37384: 9})
    metadata = replace(linear.metadata, model="Caméra ™", unique_model=unique, exif=odd)
    found = read_metadata(write_dng(replace(linear, metadata=metadata), tmp_path / "odd.dng"))
    assert (found.make, found.model, found.unique_model) == ("Acme", "Caméra ™", expected)
    assert 37383 not in found.exif.exif and found.exif.exif[37384] == 9


@pytest.mark.parametrize(
    ("crop", "found"), [((4, 6, 240, 300), (4, 6, 240, 300)), ((4, 6, 260, 300), None), ((0, 0, 0, 9), None)]
)
def test_write_dng_when_the_reference_is_cropped_for_display_then_the_result_is_cropped_as_well(
    merged, tmp_path: Path, crop: tuple[int, int, int, int], found: tuple[int, int, int, int] | None
):
    linear = merged["linear"]
    assert linear.metadata.default_crop == (0, 0, 256, 320)
    cropped = replace(linear, metadata=replace(linear.metadata, default_crop=crop))
    assert read_metadata(write_dng(cropped, tmp_path / "crop.dng")).default_crop == found
    preview = preview_of(cropped).data  # upright and half the size
    assert sorted(preview.shape[:2]) == sorted(side // 2 for side in (found or (0, 0, 256, 320))[2:])


@pytest.mark.parametrize("kind", ["linear", "mosaic"])
def test_write_dng_when_the_reference_has_a_user_crop_and_a_scale_then_they_are_copied(
    merged, tmp_path: Path, kind: str
):
    image = merged[kind]
    metadata = replace(image.metadata, default_user_crop=(0.125, 0.0, 0.875, 1.0), default_scale=(1.0, 1.5))
    tags = tags_of(write_dng(replace(image, metadata=metadata), tmp_path / "a.dng"))
    assert tags["DefaultUserCrop"] == "0.125 0 0.875 1"
    assert tags["DefaultScale"] == "1.5 1"  # the horizontal factor is first (DNG specification, DefaultScale)
    plain = tags_of(merged["folder"] / f"{kind}.dng")
    assert "DefaultUserCrop" not in plain and "DefaultScale" not in plain


def test_write_dng_when_a_mosaic_has_an_odd_size_then_the_preview_shows_whole_blocks(merged, tmp_path: Path):
    image = merged["mosaic"]
    data = image.data[:, :131, :165]
    metadata = replace(image.metadata, height=131, width=165, default_crop=None)
    odd = replace(image, data=data, metadata=metadata)
    assert sorted(preview_of(odd).data.shape[:2]) == [65, 82]
    assert read_metadata(write_dng(odd, tmp_path / "odd.dng")).width == 165


def test_write_dng_when_rawpy_opens_it_then_pixels_and_preview_are_readable(merged):
    with rawpy.imread(str(merged["folder"] / "linear.dng")) as raw:
        pixels = raw.raw_image[..., :3].transpose(2, 0, 1) / 65535
        preview = raw.extract_thumb()
    np.testing.assert_allclose(pixels, merged["linear"].data.clip(0, 1), atol=1e-5)
    assert preview.format == rawpy.ThumbFormat.JPEG
    shown = np.asarray(Image.open(io.BytesIO(preview.data)).convert("RGB"), float)
    expected = preview_of(merged["linear"]).data / 257
    assert sorted(shown.shape) == sorted(expected.shape)  # in the orientation of the sensor
    np.testing.assert_allclose(shown.mean((0, 1)), expected.mean((0, 1)), atol=2)
    with rawpy.imread(str(merged["folder"] / "mosaic.dng")) as raw:
        pixels = (raw.raw_image.astype(float) - BLACK_CODE) / (65535 - BLACK_CODE)
        assert raw.raw_pattern.tolist() == [[0, 1], [3, 2]]
    written = balance_greens(merged["mosaic"], noise_left(merged["mosaic"])).data[0]
    np.testing.assert_allclose(pixels, written.clip(-0.06, 1), atol=2e-5)


def test_preview_of_when_a_picture_is_underexposed_then_it_is_as_dark_as_the_raw(merged):
    # RawTherapee adapts its tone curve to the preview.
    dark = replace(merged["linear"], data=merged["linear"].data / 8)
    assert preview_of(dark).data.mean() == pytest.approx(render(dark, look="plain").data.mean(), rel=0.02)


# Many tiles; two tiles, of which the last is incomplete.
@pytest.mark.parametrize("size", [(556, 651), (131, 166)])
@pytest.mark.parametrize("kind", ["linear", "mosaic"])
@pytest.mark.parametrize("compression", ["none", "ljpeg"])
def test_write_dng_when_compressed_or_not_then_libraw_reads_the_same_pixels(
    merged, tmp_path: Path, kind: str, compression: DngCompression, size: tuple[int, int]
):
    image = merged[kind]
    large = np.pad(image.data, ((0, 0), (0, 300), (0, 331)), mode="reflect")[:, : size[0], : size[1]]
    metadata = replace(image.metadata, height=large.shape[1], width=large.shape[2], default_crop=None)
    changed = replace(image, data=large, metadata=metadata)
    path = write_dng(changed, tmp_path / "a.dng", compression=compression)
    black = 0 if kind == "linear" else BLACK_CODE
    with rawpy.imread(str(path)) as raw:
        codes = (raw.raw_image[..., :3] if kind == "linear" else raw.raw_image[..., None]).copy()
    expected = balance_greens(changed, noise_left(changed)).data.transpose(1, 2, 0) * (65535 - black) + black
    assert codes.shape == expected.shape
    np.testing.assert_allclose(codes, expected.clip(0, 65535), atol=0.51)
    if large.size > 300_000:  # in smaller files, most bytes are preview and tags
        assert (path.stat().st_size > 2 * large.size) == (compression == "none")


@pytest.mark.parametrize("kind", ["linear", "mosaic"])
def test_write_dng_when_compressed_as_jpeg_xl_then_the_pixels_are_exact_and_the_version_is_1_7(
    merged, tmp_path: Path, kind: str
):
    image = merged[kind]
    plain, packed = (write_dng(image, tmp_path / f"{c}.dng", compression=c) for c in ("none", "jxl"))
    codes = []
    for path in (plain, packed):
        with tifffile.TiffFile(path) as tif:
            page: Any = tif.pages[0].pages[0]  # type: ignore[union-attr]
            codes.append(page.asarray())
    np.testing.assert_array_equal(*codes)
    assert packed.stat().st_size < plain.stat().st_size
    tags = tags_of(packed)
    assert (tags["DNGVersion"], tags["DNGBackwardVersion"]) == ("1 7 0 0", "1 7 0 0")


def test_write_dng_when_the_compression_is_unknown_then_usage_error(merged, tmp_path: Path):
    with pytest.raises(ValueError, match="none, ljpeg, jxl"):
        write_dng(merged["linear"], tmp_path / "a.dng", compression="zip")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cfa", ["GRBG", "BGGR"])
def test_merge_to_a_mosaic_when_given_any_pattern_then_it_matches_the_linear_picture(
    tmp_path: Path, cfa: str
):
    burst = read_burst(burst_of(tmp_path, height=96, width=128, cfa=cfa), reference=1)
    mosaic = merge_burst(burst, model="average", mosaic=True)
    linear = merge_burst(burst, model="average")
    assert mosaic.data.shape == (1, 96, 128)
    for k, colour in enumerate(cfa):
        y, x = divmod(k, 2)
        np.testing.assert_allclose(
            mosaic.data[0, y::2, x::2], linear.data["RGB".index(colour), y::2, x::2], atol=1e-5
        )


@pytest.mark.parametrize(
    ("mode", "kind", "carried"),
    [("apply", "linear", ""), ("skip", "linear", "3"), ("apply", "mosaic", "3"), ("skip", "mosaic", "23")],
)
def test_merge_command_when_opcodes_were_not_applied_then_the_dng_contains_them(
    tmp_path: Path, mode: str, kind: str, carried: str
):
    gains = make.gain_map(make.area(0, 0, 96, 128), np.full((1, 1, 1), 1.5))
    lists = OpcodeLists(second=make.opcode_list(gains), third=WARP, sensor_height=96, sensor_width=128)
    paths = burst_of(tmp_path, 2, 96, 128, opcodes=lists)
    out = tmp_path / "out.dng"
    arguments = ["merge", *map(str, paths), "-m", "average", "--opcodes", mode, "--dng", kind, "-o", str(out)]
    assert main([*arguments, "-q"]) == 0
    from burstfix.io.read.tags import read_tags

    raw = read_tags(out).raw
    assert raw is not None
    assert {2: raw.data(51009), 3: raw.data(51022)} == {
        2: lists.second if "2" in carried else b"",
        3: WARP if "3" in carried else b"",
    }


def test_merge_command_when_dng_kind_is_given_for_a_tiff_then_exit_2(small_burst, tmp_path: Path, capsys):
    arguments = ["merge", *map(str, small_burst), "--dng", "mosaic", "-o", str(tmp_path / "a.tif")]
    assert main(arguments) == 2
    assert "--dng" in capsys.readouterr().err


def converted(converter: str, raw: Path, folder: Path, *, filmic_of: Path | None = None) -> np.ndarray:
    """Render a raw file with a converter; return (H, W, 3) in 0..1.

    Args:
        converter: A key of `raw_converters.CONVERTERS`.
        raw: The file.
        folder: Folder for temporary files.
        filmic_of: Another raw, from which darktable's module *filmic rgb* is copied. darktable 4.2 enables it
            by default, but not for linear DNGs.
    """
    if not is_installed(converter):
        pytest.skip(f"{CONVERTERS[converter]} is not installed")
    home, sidecar = folder / "home", None
    if filmic_of is not None:
        sidecar = folder / f"{raw.stem}.xmp"
        histories = [folder / f"history_{path.stem}.jpg" for path in (filmic_of, raw)]
        for path, history in zip((filmic_of, raw), histories, strict=True):
            convert(converter, path, history, home)
        copy_module("filmicrgb", *histories, sidecar)
    return convert(converter, raw, folder / f"{converter}_{raw.stem}.png", home, sidecar)


def difference_of(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean CIEDE2000 of two pictures at 1/8 size. One may be a few pixels smaller on each side."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    height, width = (min(x, y) // 8 * 8 for x, y in zip(a.shape[:2], b.shape[:2], strict=True))
    reduced = []
    for picture in (a, b):
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        part = picture[top : top + height, left : left + width]
        reduced.append(part.reshape(height // 8, 8, width // 8, 8, 3).mean((1, 3)))
    return float(deltaE_ciede2000(rgb2lab(reduced[0]), rgb2lab(reduced[1])).mean())


def clipped_share(picture: np.ndarray) -> float:
    """Return the share of pixels with a channel at white."""
    return float((picture > 254.5 / 255).any(2).mean())


@pytest.mark.slow
@pytest.mark.timeout(900)  # darktable renders four pictures
@pytest.mark.parametrize("name", ["drawn", "gopro_hero7", "gopro_fusion"])
def test_write_dng_when_linear_and_filmic_is_enabled_then_darktable_shows_the_colours_of_the_reference(
    merged, shared_data: Path, tmp_path: Path, name: str
):
    if name == "drawn":
        reference, linear = merged["reference"], merged["folder"] / "linear.dng"
    else:
        reference = shared_data / "raws" / "good" / f"{name}.dng"
        linear = write_dng(merge_burst(read_burst([reference]), model="average"), tmp_path / "linear.dng")
    before = converted("darktable", reference, tmp_path)
    after = converted("darktable", linear, tmp_path, filmic_of=reference)
    mean = difference_of(before, after)
    print(f"darktable, {name}: mean CIEDE2000 {mean:.2f}, mean {before.mean():.3f} and {after.mean():.3f}")  # noqa: T201
    assert mean < 2
    assert after.mean() == pytest.approx(before.mean(), abs=0.01)
    assert clipped_share(after) == pytest.approx(clipped_share(before), abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("darktable", "mosaic.dng"),
        ("darktable sigmoid", "linear.dng"),
        ("rawtherapee", "linear.dng"),
        ("rawtherapee", "mosaic.dng"),
    ],
)
def test_write_dng_when_rendered_by_another_program_then_colours_match_the_reference(
    merged, program: str, name: str
):
    folder = merged["folder"]
    before = converted(program, merged["reference"], folder)
    after = converted(program, folder / name, folder)
    mean = difference_of(before, after)
    print(f"{program}, {name}: mean CIEDE2000 {mean:.2f}")  # noqa: T201
    assert before.std() > 0.05
    assert mean < 2


def pattern_of(picture: np.ndarray) -> float:
    """Return the strength of patterns with a period of two pixels and a stable phase over 16 pixels."""
    gray = picture.mean(2)
    height, width = (size // 16 * 16 for size in gray.shape)
    y, x = np.mgrid[:height, :width]
    total = 0.0
    for wave in ((-1.0) ** y, (-1.0) ** x, (-1.0) ** (x + y)):
        blocks = (gray[:height, :width] * wave).reshape(height // 16, 16, width // 16, 16).mean((1, 3))
        total += float(np.median(blocks**2))
    return total**0.5


@pytest.mark.slow
@pytest.mark.parametrize("program", ["darktable", "rawtherapee"])
def test_write_dng_when_the_greens_differ_then_raw_converters_show_no_maze_pattern(
    tmp_path: Path, program: str
):
    def mosaic_dng(name: str, imbalance: float) -> Path:
        return write_dng(dark_mosaic("RGGB", imbalance, sigma=1e-4), tmp_path / name)

    even = pattern_of(converted(program, mosaic_dng("even.dng", 0.0), tmp_path))
    uneven = pattern_of(converted(program, mosaic_dng("uneven.dng", 0.04), tmp_path))
    print(f"{program}: two-pixel pattern {uneven / even:.2f} times that of equal greens")  # noqa: T201
    assert uneven < 1.2 * even


@pytest.mark.slow
@pytest.mark.parametrize("program", ["darktable sigmoid", "rawtherapee default"])
def test_write_dng_of_a_gopro_when_rendered_by_another_program_then_colours_match_the_reference(
    shared_data: Path, tmp_path: Path, program: str
):
    path = shared_data / "raws" / "good" / "gopro_hero7.dng"
    write_dng(merge_burst(read_burst([path]), model="average"), tmp_path / "merged.dng")
    mean = difference_of(
        converted(program, path, tmp_path), converted(program, tmp_path / "merged.dng", tmp_path)
    )
    print(f"{program}, gopro_hero7: mean CIEDE2000 {mean:.2f}")  # noqa: T201
    assert mean < 2
