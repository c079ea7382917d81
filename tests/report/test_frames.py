"""The document and the table of a burst."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from burstfix.report.frames import burst_document, burst_tables, exposure_text
from burstfix.report.summary import closing_line
from burstfix.types import (
    Burst,
    ColorProfile,
    DroppedFrame,
    Frame,
    FrameMetadata,
    GlobalMotion,
    Levels,
    NoiseProfile,
)

NOISE = NoiseProfile((1e-3, 2e-3, 2e-3, 3e-3), (1e-5,) * 4, source="burst")


def metadata(name: str, **changes: object) -> FrameMetadata:
    facts: dict = {
        "path": Path("shots") / name,
        "height": 4,
        "width": 6,
        "cfa": "GRBG",
        "levels": Levels(np.array([[64, 65], [65, 66]], np.float32), 1023.0),
        "color": ColorProfile(np.eye(3), np.ones(3)),
        "make": "Acme",
        "model": "ACME One",
        "iso": 1600.0,
        "exposure_time": 1 / 60,
        "time": datetime(2024, 5, 6, 7, 8, 9, 120000),
        **changes,
    }
    return FrameMetadata(**facts)


@pytest.fixture
def burst() -> Burst:
    frames = [metadata("a.dng"), metadata("b.dng", time=None, iso=None, exposure_time=None)]
    return Burst(
        frames=tuple(Frame(np.zeros((4, 6), np.uint16), frame) for frame in frames),
        reference=1,
        noise=NOISE,
        motions=(GlobalMotion(3.25, -1.5, math.radians(0.5), 0.9), GlobalMotion(-0.01)),
        sharpness=(0.8, 1.0),
        hot_pixels=np.zeros((7, 2), np.int32),
        dropped=(
            DroppedFrame(Path("shots/c.dng"), "far blurrier than the rest", index=1),
            DroppedFrame(Path("shots/d.dng"), "cannot be read"),
        ),
        warnings=("e.txt: not a raw",),
    )


def printed(burst: Burst, width: int = 200) -> list[str]:
    document = burst_document(burst, {Path("shots/c.dng"): metadata("c.dng")})
    console = Console(width=width, record=True, file=None, quiet=False, highlight=False)
    with console.capture() as text:
        console.print(burst_tables(document))
    return text.get().splitlines()


def test_document_when_made_then_is_json_with_every_frame(burst: Burst) -> None:
    document = json.loads(json.dumps(burst_document(burst), allow_nan=False))
    first, third, second, last = document["frames"]
    assert [frame["number"] for frame in document["frames"]] == [1, 2, 3, None]
    assert Path(last["path"]).name == "d.dng"
    assert document["camera"] == "ACME One"
    assert document["reference"] == {"number": 3, "path": str(Path("shots/b.dng").absolute())}
    assert document["noise"]["source"] == "burst"
    assert document["hot_pixels"] == 7
    assert first["motion"] == {"dy": 3.25, "dx": -1.5, "degrees": 0.5, "confidence": 0.9}
    assert first["black"] == [64, 65, 66]
    assert (first["kept"], first["reference"], second["reference"]) == (True, False, True)
    assert second["time"] is None
    assert (third["kept"], third["reason"]) == (False, "far blurrier than the rest")


def test_table_when_printed_then_has_a_row_for_each_frame(burst: Burst) -> None:
    lines = printed(burst)
    row = next(line for line in lines if "a.dng" in line)
    for cell in ("07:08:09.120", "1/60 s", "1600", "6x4", "GRBG", "64/65/66..1023", "0.80", "+3.2, -1.5",
                 "+0.50°", "kept"):  # fmt: skip
        assert cell in row
    reference = next(line for line in lines if "b.dng" in line)
    assert "reference" in reference and "+0.0, +0.0" in reference
    dropped = next(line for line in lines if "c.dng" in line)
    assert "dropped: far blurrier than the rest" in dropped and "1/60 s" in dropped
    noise = [line for line in lines if "2.00e-03, 1.00e-05" in line]
    assert len(noise) == 1 and "estimated from the burst" in noise[0]
    assert any(line.split() == ["hot", "pixels", "7"] for line in lines)
    assert any("e.txt: not a raw" in line for line in lines)


def test_table_when_a_name_looks_like_markup_then_shows_it_unchanged(burst: Burst) -> None:
    frame = Frame(np.zeros((4, 6), np.uint16), metadata("x[red]y.dng"))
    odd = Burst((frame,), 0, NOISE, (GlobalMotion(),), (1.0,), np.zeros((0, 2), np.int32))
    assert any("x[red]y.dng" in line for line in printed(odd))


@pytest.mark.parametrize(
    ("seconds", "text"), [(1 / 60, "1/60 s"), (0.5, "0.5 s"), (2.0, "2 s"), (None, "-"), (0.0, "-")]
)
def test_exposure_text_when_given_seconds_then_uses_the_notation_of_cameras(
    seconds: float | None, text: str
) -> None:
    assert exposure_text(seconds) == text


def test_closing_line_when_made_then_counts_the_frames_used(burst: Burst) -> None:
    document = {
        "output": "out/b_merged.tif",
        "model": "average",
        "megapixels": 12.0,
        "seconds": {"total": 3.25},
        **burst_document(burst),
    }
    line = closing_line(document)
    assert "\n" not in line
    for part in ("out/b_merged.tif", "2 of 4 frames", "reference b.dng", "estimated from the burst",
                 "average", "12.0 MP in 3.2 s"):  # fmt: skip
        assert part in line


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_table_when_the_terminal_is_narrow_then_no_line_wraps_and_uniform_values_follow_below(
    burst: Burst, width: int
) -> None:
    lines = printed(burst, width)
    rows = lines[: lines.index("")]
    assert all(len(line) <= width for line in rows)
    assert any("a.dng" in line and "0.80" in line and "kept" in line for line in rows)
    text = " ".join(rows)
    assert ("GRBG" in text) and ("CFA GRBG" in text) == (width < 120)  # below the table if it is not a column
    assert "time" in text
