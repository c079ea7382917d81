"""Pictures and plots of the report."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from burstfix.report.html.pictures import choose_crops, color_map, data_uri, reduced
from burstfix.report.html.plots import (
    Axis,
    NoiseLine,
    NoisePoints,
    Plot,
    histogram_plot,
    noise_plot,
    path_plot,
)


def picture() -> np.ndarray:
    """Return (480, 720, 3): flat grey with texture, an edge and a dark structured corner."""
    out = np.full((480, 720, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    out[20:200, 20:200] = rng.integers(80, 180, (180, 180, 1))
    out[:, 500:] = 230
    dim = 20 + 12 * ((np.mgrid[0:180, 0:180].sum(0) // 9) % 2)
    out[290:470, 20:200] = dim[..., None]
    return out


def test_choose_crops_when_the_picture_has_different_regions_then_each_reason_selects_its_region() -> None:
    crops = {crop.reason: crop for crop in choose_crops(picture(), side=168)}
    texture, shadow = crops["texture"], crops["deep shadow"]
    assert texture.top < 200 and texture.left < 200
    assert shadow.top + shadow.height > 290 and shadow.left < 200
    assert "moving part" not in crops


def test_choose_crops_when_an_object_moved_then_a_crop_shows_it() -> None:
    moving = np.zeros((30, 45), np.float32)
    moving[24:27, 30:33] = 9
    crop = next(c for c in choose_crops(picture(), moving, side=96) if c.reason == "moving part")
    assert crop.top <= 24 * 16 < crop.top + crop.height and crop.left <= 31 * 16 < crop.left + crop.width


@pytest.mark.parametrize("size", [(1, 1), (10, 700), (30, 30)])
def test_choose_crops_when_the_picture_is_small_then_crops_lie_inside(size: tuple[int, int]) -> None:
    small = np.random.default_rng(1).integers(0, 255, (*size, 3)).astype(np.uint8)
    for crop in choose_crops(small):
        assert crop.of(small).shape == (crop.height, crop.width, 3)
        assert crop.top + crop.height <= size[0] and crop.left + crop.width <= size[1]


def test_data_uri_when_lossless_then_decoding_gives_the_same_pixels() -> None:
    uri = data_uri(picture(), lossless=True)
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), picture())


def test_reduced_when_the_picture_is_small_then_it_is_not_enlarged() -> None:
    assert reduced(picture(), 2000).shape == (480, 720, 3)
    assert reduced(picture(), 360).shape == (240, 360, 3)


def test_color_map_when_values_rise_then_lightness_rises_and_unknown_is_grey() -> None:
    colored = color_map(np.array([[0, 0.25, 0.5, 0.75, 1.0, np.nan]]), 0, 1)[0]
    assert np.all(np.diff(colored[:5].astype(float) @ [0.2126, 0.7152, 0.0722]) > 0)
    assert colored[5].tolist() == [128, 128, 128]


def test_axis_when_logarithmic_then_decades_are_equal_steps() -> None:
    axis = Axis(1e-4, 1.0, "x", log=True)
    assert [axis.position(x) for x in (1e-4, 1e-2, 1.0, 7.0)] == pytest.approx([0, 0.5, 1, 1])
    assert axis.ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def test_axis_when_linear_then_it_has_a_few_round_ticks() -> None:
    for high in (0.037, 1.0, 8.4, 255.0, 12345.0):
        ticks = Axis(0, high, "x").ticks()
        assert 3 <= len(ticks) <= 7 and ticks[0] == 0 and ticks[-1] <= high


def test_plot_when_labels_contain_markup_then_they_are_shown_as_text() -> None:
    plot = Plot("<script>", Axis(0, 1, "a<b"), Axis(0, 1, '"y"'))
    plot.text(0.5, 0.5, "</svg><script>alert(1)</script>")
    root = ElementTree.fromstring(str(plot.svg()))
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert "</svg><script>alert(1)</script>" in [e.text for e in root.iter()]


def test_plots_when_drawn_then_points_lie_inside() -> None:
    points = NoisePoints(np.array([0.01, 0.1]), np.array([2e-5, 2e-4]))
    line, zero = NoiseLine("file", "second", 1e-3, 1e-6), NoiseLine("used", "first", 0.0, 1e-6)
    plots = [
        noise_plot([line, zero], points),
        noise_plot([zero], None),
        path_plot([(0.0, 0.0), (-3.5, 12.0)], ["1", "2"], 0),
        path_plot([(0.0, 0.0)], ["1"], 0),
        histogram_plot(np.full(64, 1 / 64), np.eye(64)[0]),
    ]
    for plot in plots:
        root = ElementTree.fromstring(str(plot.svg()))
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for circle in (e for e in root.iter() if e.tag.endswith("circle")):
            assert 0 <= float(circle.attrib["cx"]) <= width and 0 <= float(circle.attrib["cy"]) <= height
