"""Sensors without a Bayer mosaic: monochrome and demosaicked frames are merged, others are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from burstfix.cfa import LINEAR, MONOCHROME
from burstfix.cli import main
from burstfix.errors import UnsupportedSensorError, UsageError
from burstfix.io import read_frame
from burstfix.io import tag_numbers as tn
from burstfix.io.read import dng
from burstfix.io.read.camera import CameraFacts
from burstfix.io.read.metadata import LibRawFacts, build_metadata
from burstfix.io.read.tags import FileTags
from burstfix.io.write.cfa_dng import color_tags, tag
from burstfix.io.write.merged_dng import write_merged_dng
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.pipeline import merge_burst, read_burst
from burstfix.types import ExifTags, Levels, NoiseProfile, RenderedImage
from tests.io.raw_files import MATRIX, make_metadata, set_tag
from tests.opcodes import lists as make
from tests.scenes import add_noise, draw_scene

GAIN, READ = 1e-3, 1e-5
HEIGHT, WIDTH = 131, 166  # one of them is odd
PREVIEW = RenderedImage(np.zeros((16, 16, 3), np.uint16), b"")


def write_frames(folder: Path, cfa: str, count: int = 4) -> tuple[list[Path], torch.Tensor]:
    """Write frames that move by two pixels each; return them and the clean frame 1, (3 or 1, H, W)."""
    scene = draw_scene(HEIGHT + 20, WIDTH + 20, seed=5)
    scene = scene[:1] if cfa == MONOCHROME else scene
    noise = NoiseProfile((GAIN,) * 4, (READ,) * 4, "file")
    metadata = make_metadata(HEIGHT, WIDTH, cfa=cfa, levels=Levels(np.zeros((1, 1)), 65535.0))
    paths, clean = [], scene
    for k in range(count):
        view = scene[:, 10 - 2 * k : 10 - 2 * k + HEIGHT, 6 + 2 * k : 6 + 2 * k + WIDTH]
        clean = view if k == 1 else clean
        data = add_noise(view, GAIN, READ, seed=k).numpy().clip(0, 1)
        path = folder / f"{cfa}_{k}.dng"
        paths.append(write_merged_dng(path, data, metadata, PREVIEW, noise=noise))
    return paths, clean


@pytest.mark.parametrize("cfa", [LINEAR, MONOCHROME])
def test_merge_when_frames_have_no_mosaic_then_noise_falls_and_nothing_is_demosaicked(
    tmp_path: Path, cfa: str
):
    paths, clean = write_frames(tmp_path, cfa)
    frame = read_frame(paths[1])
    assert frame.metadata.cfa == cfa
    assert frame.mosaic.shape == ((HEIGHT, WIDTH, 3) if cfa == LINEAR else (HEIGHT, WIDTH))
    before = np.moveaxis(frame.mosaic.reshape(HEIGHT, WIDTH, -1), -1, 0) / 65535 - clean.numpy()
    linear = merge_burst(read_burst(paths, reference=1))
    assert linear.settings["model"] == "average"
    assert linear.data.shape == (3, HEIGHT, WIDTH)
    after = linear.data[: clean.shape[0]] - clean.numpy()
    inside = np.s_[:, 12:-12, 12:-12]
    share = float((after[inside] ** 2).mean() / (before[inside] ** 2).mean())
    print(f"{cfa}: {share:.2f} of the noise remains")  # noqa: T201
    assert share < 0.45
    if cfa == MONOCHROME:
        assert (linear.data[0] == linear.data[2]).all()


def test_merge_command_when_frames_are_monochrome_then_the_picture_is_grey(tmp_path: Path):
    paths, _ = write_frames(tmp_path, MONOCHROME, 2)
    assert main(["merge", *map(str, paths), "-o", str(tmp_path / "out.png"), "-q"]) == 0
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    assert np.ptp(picture, axis=2).max() <= 1
    assert picture.std() > 10
    assert main(["merge", *map(str, paths), "-o", str(tmp_path / "out.dng"), "-q"]) == 0
    assert read_frame(tmp_path / "out.dng").metadata.cfa == MONOCHROME


def write_jpeg_dng(path: Path, codes: np.ndarray, bits: int, lossless: bool, second: bytes = b"") -> Path:
    """Write a demosaicked DNG in JPEG tiles: lossless (like ProRAW) or lossy (like lossy DNGs of Adobe)."""
    tags = [
        tag(tn.DNG_VERSION, 1, (1, 6, 0, 0)),
        tag(tn.DNG_BACKWARD_VERSION, 1, (1, 4, 0, 0)),
        (tn.UNIQUE_CAMERA_MODEL, 2, 0, "Acme Phone", True),
        tag(tn.WHITE, 3, (2**bits - 1,) * 3),
        *color_tags(make_metadata(HEIGHT, WIDTH)),
    ]
    tags += [(tn.OPCODE_LIST_2, 7, len(second), second, True)] if second else []
    tifffile.imwrite(
        path, codes, photometric=tn.PHOTOMETRIC_LINEAR_RAW, planarconfig="contig", metadata=None,
        extratags=tags, byteorder="<", compression="jpeg", tile=(128, 128),
        compressionargs={"lossless": True, "level": 0} if lossless else {"level": 97},
    )  # fmt: skip
    if not lossless:
        set_tag(path, tn.COMPRESSION, tn.COMPRESSION_LOSSY_JPEG)
    return path


def test_read_frame_when_a_linear_dng_is_lossless_jpeg_then_it_is_exact(tmp_path: Path):
    scene = draw_scene(HEIGHT, WIDTH, seed=5).numpy().transpose(1, 2, 0).clip(0, 1)
    codes = np.rint(scene * 4095).astype(np.uint16)
    frame = read_frame(write_jpeg_dng(tmp_path / "phone.dng", codes, 12, lossless=True))
    assert (frame.metadata.cfa, frame.metadata.levels.white) == (LINEAR, 4095)
    np.testing.assert_array_equal(frame.mosaic, codes)


def test_merge_when_a_dng_is_lossy_then_its_curves_are_applied_exactly_once(tmp_path: Path):
    scene = draw_scene(HEIGHT, WIDTH, seed=5).numpy().transpose(1, 2, 0).clip(0, 1)
    codes = np.rint(np.sqrt(scene) * 255).astype(np.uint8)
    whole = [make.area(0, 0, HEIGHT, WIDTH, plane) for plane in range(3)]
    gain = make.gain_map(make.area(0, 0, HEIGHT, WIDTH, 0, 3), np.full((1, 1, 1), 0.5))
    second = make.opcode_list(*[make.polynomial(area, [0, 0, 1.0]) for area in whole], gain)
    path = write_jpeg_dng(tmp_path / "lossy.dng", codes, 8, lossless=False, second=second)
    burst = read_burst([path], noise=(GAIN, READ))
    assert burst.frames[0].plan.applied == ("GainMap (list 2)",)
    merged = merge_burst(burst, model="average", strength=0).data.transpose(1, 2, 0)
    assert np.abs(merged - 0.5 * scene).mean() < 0.005


@pytest.mark.parametrize("curves", [0, 1, 2])
def test_read_frame_when_a_lossy_dng_has_no_curves_then_the_error_gives_advice(tmp_path: Path, curves: int):
    # For colours without a curve, LibRaw would use a curve of its own.
    whole = [make.area(0, 0, HEIGHT, WIDTH, plane) for plane in range(curves)]
    second = make.opcode_list(*[make.polynomial(area, [0, 0, 1.0]) for area in whole]) if whole else b""
    codes = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    path = write_jpeg_dng(tmp_path / "lossy.dng", codes, 8, lossless=False, second=second)
    with pytest.raises(UnsupportedSensorError, match="lossless"):
        read_frame(path)


def test_merge_when_a_network_gets_demosaicked_frames_then_the_error_names_a_model(tmp_path: Path):
    paths, _ = write_frames(tmp_path, LINEAR, 1)
    with pytest.raises(UsageError, match="use --model average"):
        merge_burst(
            read_burst(paths), model=Kpn(KpnConfig(channels=8, kernel=3, head_channels=8, head_blocks=1))
        )


@pytest.mark.parametrize(
    ("names", "repeat", "words"),
    [
        ("GGRGGB" * 6, (6, 6), "X-Trans"),
        ("RRGGRRGGGGBBGGBB", (4, 4), "Quad-Bayer.*binned"),
        ("RGBWGRWBBWGRWBRG", (4, 4), "a 4x4 colour pattern"),
        ("CMYG", (2, 2), "the colour pattern CMYG"),
    ],
)
def test_checked_pattern_when_the_mosaic_is_not_bayer_then_the_error_gives_advice(
    names: str, repeat, words: str
):
    with pytest.raises(UnsupportedSensorError, match=words) as caught:
        dng.checked_pattern(FileTags(Path("x.raf"), 1), names, repeat)
    assert "linear" in str(caught.value)


def camera_facts(**changes) -> LibRawFacts:
    camera = CameraFacts(
        pattern=None, channels=3, is_foveon=False, colors="RGB", black=(10.0, 12.0, 14.0, 0.0), white=4000.0,
        xyz_to_camera=MATRIX, white_balance=np.array([2.0, 1.0, 1.5]), estimated_balance=np.zeros(3),
        iso=100.0, exposure_time=0.01, aperture=2.8, focal_length=50.0, time=None, lens="",
    )  # fmt: skip
    return LibRawFacts(dng.Area(0, 0, 20, 30), 20, 30, camera=replace(camera, **changes))


def test_metadata_when_a_raw_has_three_channels_then_it_is_linear():
    tags = FileTags(Path("x.cr2"), 1, ExifTags(image={271: "Acme"}))
    metadata = build_metadata(tags, camera_facts()).value
    assert metadata.cfa == LINEAR
    assert metadata.levels.black.tolist() == [[12]]
    mono = build_metadata(tags, camera_facts(channels=1, colors="G")).value
    assert (mono.cfa, mono.color.as_shot_neutral.tolist()) == (MONOCHROME, [1, 1, 1])


def test_metadata_when_the_sensor_is_foveon_then_the_error_names_it():
    with pytest.raises(UnsupportedSensorError, match="Foveon"):
        build_metadata(FileTags(Path("x.x3f"), 1), camera_facts(is_foveon=True))
