"""`burstfix report` and `inspect --plot`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from burstfix.cli import main
from tests.cli.documents import validated


@pytest.fixture
def workplace(small_burst: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shots").mkdir()
    for path in small_burst:
        (tmp_path / "shots" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png"])
def test_report_when_a_picture_was_merged_earlier_then_its_settings_are_used(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merged = ["merge", "shots", "-o", name, "-m", "average", "--strength", "0.8", "--reference", "2"]
    assert main(merged) == 0
    before = Path(name).read_bytes()
    capsys.readouterr()
    assert main(["report", name, "--raws", "shots", "--json"]) == 0
    (document,) = validated(capsys.readouterr().out, "report")["reports"]
    assert document["frame_count"] == 3 and document["report"] == str(Path("a.html").absolute())
    page = Path("a.html").read_text(encoding="utf-8")
    assert "--strength 0.8" in page and "--model average" in page and "3 of 3" in page
    assert Path(name).read_bytes() == before


def test_report_when_a_folder_is_given_then_only_pictures_of_burstfix_are_used(workplace: Path) -> None:
    Path("pictures").mkdir()
    Path("pictures/other.jpg").write_bytes(b"\xff\xd8 not ours")
    assert main(["merge", "shots", "-o", "pictures/a.jpg", "-m", "average"]) == 0
    assert main(["report", "pictures", "--raws", "shots"]) == 0
    assert sorted(path.name for path in Path("pictures").iterdir()) == ["a.html", "a.jpg", "other.jpg"]


def test_report_when_the_picture_is_not_from_burstfix_or_raws_are_missing_then_exit_3(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.jpg").write_bytes(b"\xff\xd8 not ours")
    assert main(["report", "other.jpg"]) == 3
    assert "choose a picture that burstfix wrote" in capsys.readouterr().err
    assert main(["merge", "shots", "-o", "a.jpg", "-m", "average"]) == 0
    Path("shots", "example_002.dng").unlink()
    assert main(["report", "a.jpg", "--raws", "shots"]) == 3
    assert "example_002.dng: not found" in capsys.readouterr().err
    assert not Path("a.html").exists()


def test_inspect_when_plot_is_given_then_the_page_shows_frames_without_a_merge(workplace: Path) -> None:
    assert main(["inspect", "shots", "--plot", "burst.html"]) == 0
    page = Path("burst.html").read_text(encoding="utf-8")
    assert "frames to be merged" in page and "example_002.dng" in page and "<script>" not in page
    assert main(["inspect", "shots", "--plot", "burst.html"]) == 5


def test_inspect_when_plot_is_a_png_then_the_picture_shows_thumbnails_and_plots(workplace: Path) -> None:
    assert main(["inspect", "shots", "--plot", "burst.png"]) == 0
    picture = np.asarray(Image.open("burst.png").convert("RGB")).astype(int)
    assert picture.shape[1] == 1440
    plots = picture[picture.shape[0] // 2 :]
    # The line of the profile in the file, and the measured points.
    for color in ((200, 84, 26), (61, 139, 64)):
        assert (np.abs(plots - color).max(-1) <= 2).sum() > 100
    assert main(["inspect", "shots", "--plot", "burst.jpg"]) == 2
