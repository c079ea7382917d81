"""The HTML of the report: complete, self-contained, escaped."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np

from burstfix.analysis.noise_gain import NoiseGain
from burstfix.report.html.page import render_page
from tests.report.html.report_data import report_data


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_when_names_contain_markup_then_it_has_one_script_and_no_control_characters() -> None:
    html = render_page(report_data())
    elements = Elements(html)
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert any("<script>window.hacked=1</script>" in text for text in elements.texts)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", html)


def test_page_when_rendered_then_it_loads_no_other_files() -> None:
    elements = Elements(render_page(report_data()))
    sources = [a["src"] or "" for _, a in elements.tags if "src" in a] + [
        a["href"] or "" for _, a in elements.tags if "href" in a
    ]
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert not [tag for tag, _ in elements.tags if tag in ("link", "iframe", "object", "embed", "base")]


def test_page_when_rendered_then_it_contains_frames_gain_and_command() -> None:
    text = " ".join(Elements(render_page(report_data())).texts)
    assert "2 of 3" in text and "9.5 dB" in text and "ISO 360" in text and "left out:" in text
    assert "burstfix merge" in text and "Remaining noise" in text


def test_page_when_rendered_then_it_contains_memory_versions_and_share_of_rejected_frames() -> None:
    data = report_data()
    assert data.frames_used is not None
    data.frames_used[:15] = 1.2  # two frames are kept, but a quarter of the picture uses only 1.2
    text = " ".join(Elements(render_page(data)).texts)
    assert "1.23 GB" in text and "torch <script>" in text
    assert re.search(r"25%\s+share of the picture where most frames were rejected", text)


def test_page_when_the_noise_was_measured_then_its_points_and_both_lines_are_plotted() -> None:
    elements = Elements(render_page(report_data()))
    classes = [attributes.get("class") for _, attributes in elements.tags]
    assert classes.count("third") >= 3 and {"line second", "line third"} <= set(classes)
    text = " ".join(elements.texts)
    assert "measured in this burst (used)" in text and "the file's NoiseProfile" in text


def test_page_when_the_picture_has_12_megapixels_then_it_has_less_than_6_megabytes() -> None:
    assert len(render_page(report_data(3000, 4000)).encode()) < 6e6


def test_page_when_optional_data_are_missing_then_it_is_rendered() -> None:
    data = report_data(64, 48)
    document = {**data.document, "lens": None, "seconds": {"total": 1.0}, "warnings": []}
    frames = [{"path": "a.dng", "number": None, "reference": False, "kept": False, "reason": "unreadable"}]
    frames.append(data.document["frames"][1] | {"file_noise": None, "iso": None, "time": None})
    document["frames"] = frames
    nothing = NoiseGain(None, np.full((1, 1), np.nan, np.float32))
    small = dataclasses.replace(
        data,
        document=document,
        gain=nothing,
        motion=None,
        frames_used=None,
        measured_noise=None,
        thumbnails=[],
    )
    assert "1 of 2" in render_page(small)
