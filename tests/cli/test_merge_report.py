"""`merge --report`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from burstfix.cli import main
from burstfix.report.html.write import merge_command
from burstfix.settings import MergeSettings


@pytest.fixture
def workplace(small_burst: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in small_burst:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def merge(*arguments: str) -> int:
    return main(["merge", *map(str, sorted(Path().glob("*.dng"))), "-m", "average", *arguments])


def test_report_when_a_burst_is_merged_then_one_page_with_its_frames(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge("-o", "a.png", "--report", "a.html", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    page = Path("a.html").read_text(encoding="utf-8")
    assert document["report"] == str(Path("a.html").absolute()) and "3 of 3" in page
    for frame in document["frames"]:
        assert Path(frame["path"]).name in page
    assert "Frames used" in page and "Motion in the scene" in page
    assert document["peak_memory_bytes"] > 1e8 and f"{document['peak_memory_bytes'] / 1e9:.2f} GB" in page
    assert "torch" in page and "measured in this burst" in page


def test_report_when_its_command_is_run_then_the_picture_is_the_same(workplace: Path) -> None:
    assert merge("-o", "a.png", "--report", "a.html", "--exposure", "0.5", "--strength", "0.8") == 0
    command = re.search(r"<pre>(.*?)</pre>", Path("a.html").read_text(encoding="utf-8"), re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("&#39;", "'"))
    words[words.index("-o") + 1] = "b.png"
    assert main(words[1:]) == 0
    assert Path("a.png").read_bytes()[-1000:] == Path("b.png").read_bytes()[-1000:]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--report", "a.pdf"), 2),
        (("--report", "missing/a.html"), 5),
        (("--report", "there.html"), 5),
        (("--report", "a.html", "-o", "a.dng", "--dng", "mosaic"), 2),
    ],
)
def test_report_when_it_cannot_be_written_then_it_fails_before_a_raw_is_read(
    workplace: Path, arguments: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("there.html").write_text("mine")
    monkeypatch.setattr("burstfix.pipeline.read_burst", lambda *a, **k: pytest.fail("a raw was read"))
    assert merge(*arguments) == code
    assert Path("there.html").read_text() == "mine"


def test_report_when_the_output_is_a_linear_dng_then_pictures_have_full_size(workplace: Path) -> None:
    assert merge("-o", "a.dng", "--report", "a.html") == 0
    assert 'data-width="240"' in Path("a.html").read_text(encoding="utf-8")


def test_merge_command_when_settings_differ_from_defaults_then_it_contains_them() -> None:
    settings = MergeSettings(noise=(1e-3, 2e-5), skip_bad=True, exposure=-1.5, model="average")
    command = merge_command([Path("a b.dng"), Path("c.dng")], Path("c.dng"), "out.tif", settings)
    words = shlex.split(command)
    assert words[:4] == ["burstfix", "merge", "a b.dng", "c.dng"]
    assert words[words.index("--noise") + 1] == "0.001,2e-05"
    assert words[words.index("--exposure") + 1] == "-1.5"
    assert "--skip-bad" in words and "--tile" not in words
