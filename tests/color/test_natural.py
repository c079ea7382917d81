"""The look `natural`: dark pictures are brightened, highlights kept, well exposed pictures hardly changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab

from burstfix.color import exposure_of, render, rendering
from burstfix.color.tone import ToneCurve, automatic_lift
from tests.color.pictures import SRGB_CAMERA, linear_image
from tests.test_golden_gopro import half_size


def room(height: int = 120, width: int = 160, sky: float = 0.9) -> np.ndarray:
    """Draw a normally exposed scene (3, H, W) with objects of many tones and a bright window."""
    rng = np.random.default_rng(8)
    picture = np.full((3, height, width), 0.10, np.float32)
    picture += rng.normal(0, 0.01, (1, height, width)).astype(np.float32)
    for _ in range(40):
        y, x = rng.integers(0, height - 20), rng.integers(0, width - 20)
        colour = rng.uniform(0.05, 0.6, 3) * rng.uniform(0.1, 1)
        picture[:, y : y + 20, x : x + 20] = colour[:, None, None]
    clouds = 1 + 0.15 * np.sin(np.arange(width) / 5) * np.cos(np.arange(40)[:, None] / 4)
    picture[:, :40, -width // 3 :] = sky * clouds[:, -width // 3 :] / 1.15
    return picture


def display(data: np.ndarray, **settings: object) -> np.ndarray:
    """Render a scene to (H, W, 3), 0 to 1."""
    return render(linear_image(data), **settings).data / 65535.0  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["gopro_hero7.dng", "gopro_fusion.dng"])
def test_render_when_a_real_picture_is_well_exposed_then_natural_stays_close_to_plain(name, shared_data):
    linear = half_size(shared_data / "raws" / "good" / name, "apply")
    natural, plain = (render(linear, look=look) for look in ("natural", "plain"))
    lab, lab_plain = (rgb2lab(image.data[::2, ::2] / 65535.0) for image in (natural, plain))
    difference = float(deltaE_ciede2000(lab, lab_plain).mean())
    print(f"{name}: mean CIEDE2000 of natural against plain {difference:.2f}")  # noqa: T201
    assert natural.settings["render"]["exposure_ev"] == 0
    assert difference < 2


@pytest.mark.parametrize("stops", [2, 3])
def test_render_when_a_scene_is_underexposed_then_natural_gives_it_normal_brightness(stops):
    scene = room()
    assert display(scene / 2**stops, look="plain").mean() < 0.25
    assert 0.3 < display(scene / 2**stops).mean() < display(scene, look="plain").mean()


def test_render_when_baseline_exposure_is_high_then_natural_keeps_the_sky():
    scene = room(sky=0.5)
    camera = replace(SRGB_CAMERA, baseline_exposure=2.65)
    plain, natural = (
        render(linear_image(scene, camera), look=look).data / 65535.0 for look in ("plain", "natural")
    )
    sky = np.s_[5:35, 115:155]
    assert (plain[sky] >= 0.999).all()
    assert (natural[sky] >= 0.999).mean() < 0.02
    assert natural[sky].std() > 0.01


def test_render_when_exposure_is_a_number_then_an_area_is_independent_of_the_rest():
    scene = room()
    other = scene.copy()
    other[:, 90:, 100:] = 0.95  # a bright object is added
    first, second = (display(data / 4, exposure=2.0, sharpening=0.0) for data in (scene, other))
    np.testing.assert_allclose(first[:60, :60], second[:60, :60], atol=0.004)
    assert np.abs(display(scene / 4)[:60, :60] - display(other / 4)[:60, :60]).max() > 0.02


def test_exposure_of_when_used_for_all_pictures_of_a_series_then_each_is_rendered_alike():
    dark = linear_image(room() / 8)
    ev = exposure_of(dark)
    assert ev > 1
    assert render(dark).settings["render"]["exposure_ev"] == pytest.approx(ev, abs=1e-3)
    assert render(dark, exposure=ev).settings["render"]["exposure_ev"] == pytest.approx(ev, abs=1e-3)


@pytest.mark.parametrize("width", [400, 2400])  # reduced by 1 and by 3 for fusion
@pytest.mark.parametrize("exposure", [0.0, 2.0, 3.0])
@pytest.mark.parametrize(
    ("dark", "bright"),
    [(0.01, 0.9), (0.02, 0.5), (0.05, 0.3), (0.003, 0.05), (0.1, 0.4)]
    # Faint edges in mid-tones, near white and, with an exposure above 0, in compressed highlights.
    + [(0.05, 0.053), (0.2, 0.21), (0.2, 0.23), (0.6, 0.69), (0.85, 0.87), (0.85, 0.97)],
)
def test_render_when_the_scene_has_an_edge_then_it_has_no_halo(width, exposure, dark, bright):
    picture = np.full((3, 64, width), dark, np.float32)
    edge = width // 2 + 1  # inside a block of the reduced picture
    picture[:, :, edge:] = bright
    row = display(picture, exposure=exposure)[32, :, 1]
    low, high = np.median(row[: edge - 3]), np.median(row[edge + 3 :])
    # Of a very faint edge, a quarter of a level of 8 bits is more than 2%.
    assert max(row.max() - high, low - row.min()) < max(0.02 * (high - low), 0.25 / 255)


def test_render_when_highlights_are_textured_then_natural_keeps_more_of_the_texture_than_its_curve():
    scene = room(sky=0.5)
    with_local, without = (
        render(
            linear_image(scene / 4),
            look=replace(rendering.load_look("natural"), local_contrast=amount, exposure=3.0),
        )
        for amount in (1.0, 0.0)
    )
    sky = np.s_[5:35, 115:155]
    assert with_local.data[sky].std() > 1.15 * without.data[sky].std()


def test_render_when_strips_have_another_height_then_the_picture_is_the_same(monkeypatch):
    linear = linear_image(room(), iso=800.0)
    linear = replace(linear, settings={"noise": {"shot_gain": [1e-3] * 4, "read_variance": [1e-5] * 4}})
    whole = render(linear, look="vivid", grain=0.5).data
    monkeypatch.setattr(rendering, "_STRIP_PIXELS", 160 * 9)
    np.testing.assert_allclose(render(linear, look="vivid", grain=0.5).data, whole, atol=1)


def test_render_when_pixels_are_nan_then_they_are_black_in_natural():
    scene = room()
    scene[:, 60:62, 60:62] = np.nan
    assert display(scene)[60:62, 60:62].max() < 0.02


@given(st.floats(1, 40), st.floats(0.8, 1.6))
def test_tone_curve_when_evaluated_then_it_rises_from_black_to_white_and_keeps_grey(white, contrast):
    curve = ToneCurve.reaching(white, contrast)
    x = np.geomspace(1e-5, white, 600).astype(np.float32)
    y = curve(x)
    assert (np.diff(y) >= -1e-6).all()
    assert y[-1] == pytest.approx(1, abs=1e-3)
    assert curve(np.array([0.18], np.float32))[0] == pytest.approx(0.18, rel=1e-3)
    assert y.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("luminance", "low", "high"),
    [
        (np.zeros(10), 0, 0),  # no light
        (np.full(10, np.nan), 0, 0),
        (np.full(100, 0.14), 0, 0),  # normal brightness
        # Slightly dark, which may be intended because highlights reach white.
        (np.concatenate([np.full(97, 0.07), np.full(3, 1.0)]), 0, 0),
        (np.full(100, 0.07), 0.5, 0.9),  # as dark, but without highlights near white
        (np.full(100, 0.02), 1.5, 2.8),
        (np.full(100, 1e-4), 3.5, 4),  # the maximum
        # The highlights are already 2 EV above white.
        (np.concatenate([np.full(90, 0.01), np.full(10, 4.0)]), 1, 1),
    ],
)
def test_automatic_lift_when_given_luminance_then_the_lift_is_in_the_expected_range(luminance, low, high):
    assert low <= automatic_lift(luminance) <= high
