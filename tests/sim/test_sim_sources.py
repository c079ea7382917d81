"""Reading photographs and clips."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from burstfix.errors import InputError
from burstfix.sim.sources import read_clip, read_picture


def save(path: Path, grey: int, size: tuple[int, int] = (6, 4)) -> None:
    Image.new("RGB", size, (grey, grey, grey)).save(path)


def test_read_picture_when_rotated_by_exif_then_it_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[274] = 6  # rotate 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == (3, 6, 4)
    assert picture[:, 0, 3].tolist() == [1, 1, 1]


def test_read_picture_when_damaged_or_missing_then_input_error(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(InputError, match="bad.jpg"):
        read_picture(tmp_path / "bad.jpg")
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "none.jpg")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_read_picture_when_grey_with_16_bits_then_brightness_is_kept(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(np.full((4, 6), 20000, np.uint16)).save(tmp_path / f"a.{suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.shape == (3, 4, 6)
    assert (picture - 20000 / 65535).abs().max() < 2 / 255


def test_read_clip_when_given_a_folder_then_it_reads_a_window_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 3, 10, 11):
        save(tmp_path / f"f{number}.png", number * 10)
    (tmp_path / "._f1.png").write_bytes(b"junk")
    clip = read_clip(tmp_path, 2, 2)
    assert (clip[:, 0, 0, 0] * 255).round().tolist() == [30, 100]


def test_read_clip_when_too_short_or_of_mixed_sizes_then_input_error(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    with pytest.raises(InputError, match="frames 1 to 2"):
        read_clip(tmp_path, 0, 2)
    save(tmp_path / "2.png", 1, (8, 4))
    with pytest.raises(InputError, match="6x4 and 8x4"):
        read_clip(tmp_path, 0, 2)


def test_read_clip_when_the_file_is_not_a_video_then_input_error_gives_advice(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="folder of frames"):
        read_clip(tmp_path / "clip.mp4", 0, 2)
    (tmp_path / "clip.xyz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no installed plug-in reads such files.*burstfix\[video\]"):
        read_clip(tmp_path / "clip.xyz", 0, 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        read_clip(tmp_path / "empty", 0, 2)


def test_read_clip_when_given_a_video_then_it_returns_its_frames(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    frames = np.stack([np.full((48, 64, 3), grey, np.uint8) for grey in (40, 100, 160, 220)])
    iio.imwrite(tmp_path / "a.mp4", frames, plugin="pyav", codec="mpeg4", fps=10)
    clip = read_clip(tmp_path / "a.mp4", 1, 2)
    assert clip.shape == (2, 3, 48, 64)
    assert (clip[:, 1, 20, 20] * 255).tolist() == pytest.approx([100, 160], abs=4)


def test_read_clip_when_given_an_animation_then_it_returns_its_frames(tmp_path: Path) -> None:
    # This is the only video format that does not need a plug-in.
    frames = [Image.new("RGB", (6, 4), (g, g, g)) for g in (0, 51, 102)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    clip = read_clip(tmp_path / "a.gif", 1, 2)
    assert (clip[:, 1, 0, 0] * 255).round().tolist() == [51, 102]
