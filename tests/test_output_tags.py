"""Tags of merged files as read by exiftool: calibration, opcodes, settings, noise."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from burstfix.cli import main
from burstfix.opcodes import OpcodeLists
from burstfix.types import ColorProfile, ExifTags
from tests.io.raw_files import MATRIX
from tests.merged_raws import GAIN, NEUTRAL, READ, WARP, burst_of, tags_of
from tests.opcodes import lists as make

HEIGHT, WIDTH = 96, 128
FORWARD = np.array([[0.5, 0.3, 0.16], [0.2, 0.7, 0.1], [0.0, 0.1, 0.72]])
CALIBRATED = ColorProfile(
    MATRIX,
    NEUTRAL,
    illuminant_1=17,
    color_matrix_2=MATRIX * 0.9,
    illuminant_2=21,
    forward_matrix_1=FORWARD,
    forward_matrix_2=FORWARD * 1.01,
    camera_calibration_1=np.diag([1.01, 1.0, 0.99]),
    camera_calibration_2=np.diag([1.02, 1.0, 0.98]),
    analog_balance=np.array([1.25, 1.0, 0.75]),
    baseline_exposure=0.75,
)
GAINS = make.opcode_list(make.gain_map(make.area(0, 0, HEIGHT, WIDTH), np.full((1, 1, 1), 1.5)))
WINDOWS = ExifTags(image={40091: "Füße\0".encode("utf-16-le"), 18246: 2})
LISTS = OpcodeLists(second=GAINS, third=WARP, sensor_height=HEIGHT, sensor_width=WIDTH)


def merged_tags(folder: Path, name: str, *options: str, **changes: object) -> dict:
    """Merge three frames with the command, and read the tags of the output."""
    paths = burst_of(folder, 3, HEIGHT, WIDTH, **changes)
    out = folder / name
    assert main(["merge", *map(str, paths), "-m", "average", *options, "-o", str(out), "-q"]) == 0
    return tags_of(out)


def numbers(text: object) -> list[float]:
    return [float(x) for x in str(text).split()]


@pytest.mark.parametrize("kind", ["linear", "mosaic"])
def test_merge_to_a_dng_when_calibrated_then_exiftool_reads_the_references_calibration(
    tmp_path: Path, kind: str
):
    tags = merged_tags(tmp_path, "out.dng", "--dng", kind, color=CALIBRATED)
    assert (tags["CalibrationIlluminant1"], tags["CalibrationIlluminant2"]) == (17, 21)
    assert tags["BaselineExposure"] == 0.75
    for name, expected in {
        "ColorMatrix1": CALIBRATED.color_matrix_1,
        "ColorMatrix2": CALIBRATED.color_matrix_2,
        "ForwardMatrix1": CALIBRATED.forward_matrix_1,
        "ForwardMatrix2": CALIBRATED.forward_matrix_2,
        "CameraCalibration1": CALIBRATED.camera_calibration_1,
        "CameraCalibration2": CALIBRATED.camera_calibration_2,
        "AnalogBalance": CALIBRATED.analog_balance,
        "AsShotNeutral": NEUTRAL,
    }.items():
        assert numbers(tags[name]) == pytest.approx(np.ravel(expected), abs=2e-6), name


def test_merge_to_a_dng_when_the_reference_has_no_baseline_exposure_then_zero_is_written(tmp_path: Path):
    assert merged_tags(tmp_path, "out.dng")["BaselineExposure"] == 0


@pytest.mark.parametrize("kind", ["linear", "mosaic"])
def test_merge_to_a_dng_when_done_then_its_noise_profile_is_lower_than_that_of_the_frames(
    tmp_path: Path, kind: str
):
    tags = merged_tags(tmp_path, "out.dng", "--dng", kind)
    before = numbers(tags_of(tmp_path / "shot_1.dng")["NoiseProfile"])
    assert before == pytest.approx([GAIN, READ])
    left = np.array(numbers(tags["NoiseProfile"])).reshape(-1, 2)
    at_grey = 0.2 * left[:, 0] + left[:, 1]
    # Two merges of this scene differ by 0.2 of the variance.
    assert (at_grey > 0.1 * (0.2 * GAIN + READ)).all()
    assert (at_grey < 0.8 * (0.2 * GAIN + READ)).all()


@pytest.mark.parametrize(
    ("mode", "kind", "second", "third"),
    [
        ("apply", "linear", b"", b""),
        ("skip", "linear", b"", WARP),
        ("apply", "mosaic", b"", WARP),
        ("skip", "mosaic", GAINS, WARP),
    ],
)
def test_merge_to_a_dng_when_opcodes_were_applied_then_only_the_other_opcodes_are_written(
    tmp_path: Path, mode: str, kind: str, second: bytes, third: bytes
):
    merged_tags(tmp_path, "out.dng", "--opcodes", mode, "--dng", kind, opcodes=LISTS)
    for number, expected in ((1, b""), (2, second), (3, third)):
        command = ["exiftool", "-b", f"-OpcodeList{number}", str(tmp_path / "out.dng")]
        assert subprocess.run(command, capture_output=True, check=True).stdout == expected


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.jpg", "out.jxl", "out.avif", "out.dng"])
@pytest.mark.parametrize("mode", ["apply", "skip"])
def test_merge_to_any_format_when_done_then_exiftool_reads_frames_and_opcodes(
    tmp_path: Path, name: str, mode: str
):
    tags = merged_tags(tmp_path, name, "--opcodes", mode, "--strength", "0.5", opcodes=LISTS)
    names = ["GainMap (list 2)", "WarpRectilinear (list 3)"]
    applied, skipped = (names, []) if mode == "apply" else ([], names)
    frames = ["shot_0.dng", "shot_1.dng", "shot_2.dng"]
    assert "ImageDescription" not in tags  # reserved for captions
    assert json.loads(str(tags["Frames"])) == frames
    assert tags["Strength"] == 0.5
    assert tags["OpcodesMode"] == mode
    assert json.loads(str(tags["OpcodesApplied"])) == applied
    assert json.loads(str(tags["OpcodesSkipped"])) == skipped
    assert str(tags["CreatorTool"]) == str(tags["Software"])
    assert tags["UserComment"] == "a note"


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.jpg", "out.jxl", "out.avif", "out.dng"])
def test_merge_when_the_reference_has_a_sidecar_then_every_format_contains_its_xmp(tmp_path: Path, name: str):
    namespaces = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    keywords = "".join(f"<rdf:li>word {k:05}</rdf:li>" for k in range(20))
    (tmp_path / "shot_1.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {namespaces} xmp:Rating="4"><dc:subject><rdf:Bag>{keywords}</rdf:Bag>'
        "</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>",
        encoding="utf-8",
    )
    tags = merged_tags(tmp_path, name, "--reference", "2", exif=WINDOWS)
    assert tags["Rating"] == 4
    assert tags["Subject"] == [f"word {k:05}" for k in range(20)]
    assert tags["XPTitle"] == "Füße"
    assert "Rating" in tags and tags_of(tmp_path / name, "-IFD0:Rating").get("Rating") is None
    # Without -validate, exiftool accepts tags of a wrong type.
    assert "XPTitle" not in str(tags_of(tmp_path / name, "-validate", "-warning", "-a"))


def test_merge_when_only_dng_tags_contain_body_and_lens_then_exif_contains_them(tmp_path: Path):
    paths = burst_of(tmp_path, 1, HEIGHT, WIDTH)
    tags_of(paths[0], "-overwrite_original", "-IFD0:CameraSerialNumber=A1", "-IFD0:DNGLensInfo=24 70 2.8 4")
    assert main(["merge", str(paths[0]), "-m", "average", "-o", str(tmp_path / "out.jpg"), "-q"]) == 0
    tags = tags_of(tmp_path / "out.jpg")
    assert tags["SerialNumber"] == "A1" and numbers(tags["LensInfo"]) == [24, 70, 2.8, 4]
