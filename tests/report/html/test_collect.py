"""The pictures and measurements of a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burstfix import MergeSettings, merge_burst, read_burst
from burstfix.color import render
from burstfix.report.frames import burst_document
from burstfix.report.html import collect as module
from burstfix.report.html.collect import collect

SETTINGS = MergeSettings(model="average", device="cpu", look="plain")


@pytest.mark.parametrize(
    ("color_space", "size", "renders"),
    [("srgb", 1, 1), ("display-p3", 1, 2), ("srgb", 2, 2)],  # the reference alone is always rendered
)
def test_collect_when_the_picture_is_given_then_it_is_rendered_again_only_if_it_differs(
    color_space: str, size: int, renders: int, small_burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, color_space=color_space)
    burst = read_burst(small_burst)
    linear = merge_burst(burst, model="average", device="cpu")
    picture = render(linear, **settings.rendering())
    picture = replace(picture, data=picture.data[::size, ::size])
    expected = render(linear, **SETTINGS.rendering()).data >> 8
    calls = []
    monkeypatch.setattr(module, "_thumbnail", lambda *_: np.zeros((2, 2, 3), np.uint16))
    monkeypatch.setattr(module, "render", lambda *a, **k: calls.append(a) or render(*a, **k))
    data = collect(burst, burst_document(burst), settings, linear, picture)
    assert len(calls) == renders
    assert data.after is not None and np.array_equal(data.after, expected)
