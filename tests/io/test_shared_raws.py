"""Real raws from the shared data beside the checkout."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rawpy

from burstfix.color import render
from burstfix.errors import InputError
from burstfix.io import read_frame, read_frames, write_cfa_dng
from burstfix.pipeline import merge_burst, read_burst


def test_read_frame_when_the_raw_is_from_a_gopro_then_metadata_are_those_of_the_file(shared_data: Path):
    path = shared_data / "raws" / "good" / "gopro_hero7.dng"
    frame = read_frame(path)
    m = frame.metadata
    assert frame.mosaic.shape == (m.height, m.width) == (3000, 4000)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(frame.mosaic, raw.raw_image_visible)
    assert (m.cfa, m.orientation, m.make, m.model) == ("RGGB", 2, "GoPro", "HERO7 Black")
    assert (m.iso, m.aperture, m.focal_length) == (252, 2.8, 3)
    assert m.exposure_time == pytest.approx(1 / 576)
    assert m.time == datetime(2018, 9, 26, 8, 25, 27)
    np.testing.assert_array_equal(m.levels.black, np.zeros((2, 2)))
    assert m.levels.white == 16383
    assert m.noise is not None and m.noise.source == "file"
    assert m.noise.shot_gain == pytest.approx((3.9362526e-4,) * 4)
    assert m.noise.read_variance == pytest.approx((1.2297640e-7,) * 4)
    assert (m.color.illuminant_1, m.color.illuminant_2) == (3, 23)
    assert m.color.color_matrix_1[0] == pytest.approx([1.8331, -0.8166, -0.2478])
    assert m.color.color_matrix_2 is not None
    assert m.color.color_matrix_2[0] == pytest.approx([1.0344, -0.4210, -0.0620])
    assert m.color.as_shot_neutral == pytest.approx([0.565121, 1, 0.527835])
    assert m.exif.gps[1] == "N" and m.exif.exif[41989] == 15


def test_read_frame_when_the_raw_is_from_another_gopro_then_size_and_noise_differ(shared_data: Path):
    m = read_frame(shared_data / "raws" / "good" / "gopro_fusion.dng").metadata
    assert (m.height, m.width, m.iso, m.orientation) == (3000, 3104, 100, 2)
    assert m.noise is not None and m.noise.shot_gain[0] == pytest.approx(7.81e-5)


def test_read_frames_when_given_the_wine_burst_then_nine_frames_are_in_order(shared_data: Path):
    paths = sorted((shared_data / "bursts" / "wine").glob("*.dng"))
    got = read_frames(reversed(paths))
    assert [f.metadata.path for f in got.frames] == paths
    m = got.frames[0].metadata
    assert (m.height, m.width, m.cfa, m.levels.white, m.time) == (1000, 1000, "GRBG", 1023, None)
    assert m.levels.black.tolist() == [[64]]
    assert got.frames[0].mosaic.min() == 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated.arw", "truncated"),
        ("truncated.cr2", "truncated"),
        ("truncated.dng", "truncated"),
        ("truncated.nef", "truncated"),
        ("unsupported_vc5.gpr", "VC-5"),
        ("headerless.raw", "no header that names a camera"),
    ],
)
def test_read_frame_when_a_real_raw_is_damaged_then_the_error_is_one_line(
    shared_data: Path, name: str, message: str
):
    path = shared_data / "raws" / "bad" / name
    with pytest.raises(InputError, match=message) as caught:
        read_frame(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_read_frame_when_a_gopro_raw_is_cut_off_then_it_raises_input_error(
    shared_data: Path, tmp_path: Path, share: float
):
    data = (shared_data / "raws" / "good" / "gopro_fusion.dng").read_bytes()
    (tmp_path / "cut.dng").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="truncated"):
        read_frame(tmp_path / "cut.dng")


def test_write_cfa_dng_when_the_frame_is_real_then_it_is_read_back_unchanged(
    shared_data: Path, tmp_path: Path
):
    frame = read_frame(shared_data / "bursts" / "wine" / "wine_004.dng")
    again = read_frame(write_cfa_dng(tmp_path / "again.dng", frame.mosaic, frame.metadata))
    np.testing.assert_array_equal(again.mosaic, frame.mosaic)
    assert again.metadata.noise == frame.metadata.noise
    assert again.metadata.color.color_matrix_1 == pytest.approx(frame.metadata.color.color_matrix_1, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("canon_d30.CRW", "Canon EOS D30"),
        ("Canon__PowerShot_S40__CRW_0101.CRW", "Canon PowerShot S40"),
        ("Kodak__DC120__DC120IMG__P003908.KDC", "Kodak DC120 ZOOM Digital Camera"),
        ("Kodak__DC50__DC50IMG__DC0008L.KDC", "Kodak Digital Science DC50 Zoom Camera"),
    ],
)
def test_render_when_the_raw_is_unusual_then_colours_and_shape_match_those_of_libraw(
    shared_data: Path, name: str, camera: str
):
    path = shared_data / "raws" / "odd" / name
    frame = read_frame(path)
    assert frame.metadata.model == camera
    picture = render(merge_burst(read_burst([path]), model="average")).data / 65535
    with rawpy.imread(str(path)) as raw:
        expected = raw.postprocess(use_camera_wb=True) / 255

    def chroma(rgb: np.ndarray) -> np.ndarray:
        """Return the mean share of each colour, and the mean saturation."""
        mean = rgb.mean((0, 1))
        saturation = (np.ptp(rgb, axis=-1) / np.maximum(rgb.max(-1), 1 / 255)).mean()
        return np.array([*(mean / mean.sum()), saturation / 3])

    assert picture.shape[0] / picture.shape[1] == pytest.approx(
        expected.shape[0] / expected.shape[1], rel=0.01
    )
    np.testing.assert_allclose(chroma(picture), chroma(expected), atol=0.04)
