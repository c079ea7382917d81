"""`burstfix compare`: two pictures of any bit depth."""

import json

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from burstfix.cli import main


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(1000, 60000, (40, 50, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    (tmp_path / "same.png").write_bytes(imagecodecs.png_encode(truth))
    tifffile.imwrite(tmp_path / "near.tif", truth + np.uint16(655))  # one percent of white: 40 dB
    Image.fromarray((truth // 257 + 2).astype(np.uint8)).save(tmp_path / "coarse.png")
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "broken.tif").write_bytes(b"II*\0nonsense")
    return tmp_path


def run(folder, capsys, *names, code=0):
    names = [name if name.startswith("--") else str(folder / name) for name in names]
    assert main(["compare", *names, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_compare_when_16_bit_pictures_differ_by_a_percent_then_psnr_is_40_db(folder, capsys):
    found = run(folder, capsys, "near.tif", "truth.tif")
    (near,) = found["pictures"]
    assert near["psnr"] == pytest.approx(-20 * np.log10(655 / 65535), abs=1e-3)
    assert 0.9 < near["ssim"] < 1


def test_compare_when_pictures_are_equal_then_psnr_is_infinite(folder, capsys):
    found = run(folder, capsys, "truth.tif", "same.png")
    (same,) = found["pictures"]
    assert same["psnr"] is None and same["ssim"] == pytest.approx(1.0)
    assert main(["compare", str(folder / "truth.tif"), str(folder / "same.png")]) == 0
    assert "PSNR inf dB, SSIM 1.0000" in capsys.readouterr().out


def test_compare_when_there_is_a_truth_then_both_are_compared_with_it(folder, capsys):
    found = run(folder, capsys, "near.tif", "coarse.png", "--truth", "truth.tif")
    near, coarse = found["pictures"]
    assert near["psnr"] == pytest.approx(40.0, abs=0.02)
    assert coarse["psnr"] > near["psnr"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("small.png", "48x40"), ("broken.tif", "expected RGB or grey pixels"), ("none.png", "no such file")],
)
def test_compare_when_a_picture_cannot_be_compared_then_exit_3_names_it(folder, capsys, name, words):
    found = run(folder, capsys, "truth.tif", name, code=3)
    assert name in found["error"] and words in found["error"]
