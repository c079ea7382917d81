"""Looks as TOML files: strict keys, valid ranges, and the exact formula of `plain`."""

from __future__ import annotations

import numpy as np
import pytest

from burstfix.color import SHIPPED, load_look, render
from burstfix.color.dng import camera_to_rgb
from burstfix.color.look import KEYS, Look, parse_look
from burstfix.color.spaces import SPACES
from burstfix.errors import UsageError
from tests.color.pictures import ACTION_CAMERA, linear_image


@pytest.mark.parametrize("name", SHIPPED)
def test_load_look_when_the_look_is_shipped_then_it_is_complete_and_described(name):
    look = load_look(name)
    assert look.name == name
    assert look.description


def test_load_look_when_given_a_file_then_missing_values_are_those_of_plain(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('highlights = "roll-off"\ncontrast = 1.1\nwhite_balance = [2, 1, 1.5]\n')
    look = load_look(path)
    assert (look.contrast, look.highlights, look.white_balance) == (1.1, "roll-off", (2, 1, 1.5))
    plain = load_look("plain")
    assert (look.exposure, look.gamut, look.sharpening) == (plain.exposure, plain.gamut, plain.sharpening)
    assert load_look(str(path)) == look


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brightness = 1", "unknown key 'brightness'"),
        ("name = 'x'", "unknown key 'name'"),
        ("exposure = 'bright'", "exposure"),
        ("exposure = true", "exposure"),
        ("exposure = nan", "exposure"),
        ("highlights = 'burn'", "highlights"),
        ("gamut = 1", "gamut"),
        ("local_contrast = 1.5", "local_contrast"),
        ("local_contrast = 0.5", "roll-off"),
        ("contrast = 1.5", "roll-off"),
        ("saturation = 1.5", "compress"),
        ("sharpening = -1", "sharpening"),
        ("grain = 2", "grain"),
        ("white_balance = 'sunny'", "white_balance"),
        ("white_balance = [1, 1]", "white_balance"),
        ("white_balance = [1, 0, 1]", "white_balance"),
        ("exposure 1", "not valid TOML"),
    ],
)
def test_parse_look_when_a_value_is_invalid_then_the_message_names_look_and_key(text, message):
    with pytest.raises(UsageError, match=message) as raised:
        parse_look(text, "mine")
    assert "look mine" in str(raised.value)


@pytest.mark.parametrize("look", ["sepia", "missing.toml"])
def test_load_look_when_the_look_does_not_exist_then_usage_error(look):
    with pytest.raises(UsageError, match=look):
        load_look(look)


def test_load_look_when_the_file_is_not_text_then_usage_error(tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        load_look(path)


def test_keys_when_listed_then_shipped_files_use_all_of_them():
    from importlib import resources

    for name in SHIPPED:
        text = (resources.files("burstfix.color.looks") / f"{name}.toml").read_text()
        assert {line.split(" = ")[0] for line in text.splitlines()} == set(KEYS)


@pytest.mark.parametrize("exposure", [0.0, 0.7])
def test_render_when_plain_then_it_equals_balance_matrix_clip_and_curve(exposure):
    # The formula in docs/looks.md, for values below the reconstruction of clipped highlights.
    camera = np.random.default_rng(4).uniform(-0.05, 0.9, (3, 20, 30))
    neutral = np.asarray(ACTION_CAMERA.as_shot_neutral)
    balanced = np.minimum(camera / neutral[:, None, None], 1 / neutral.min())
    rgb = np.einsum("ij,jyx->iyx", camera_to_rgb(ACTION_CAMERA, None, SPACES["srgb"]), balanced)
    rgb = np.clip(2.0**exposure * rgb, 0, 1)
    curve = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    found = render(linear_image(camera, ACTION_CAMERA), look="plain", exposure=exposure).data
    np.testing.assert_allclose(found, np.floor(65535 * curve.transpose(1, 2, 0) + 0.5), atol=2)


def test_render_when_a_look_is_given_as_object_then_the_result_equals_that_by_name():
    linear = linear_image(np.random.default_rng(1).uniform(0, 0.9, (3, 40, 40)), ACTION_CAMERA)
    np.testing.assert_array_equal(
        render(linear, look=load_look("vivid")).data, render(linear, look="vivid").data
    )
    assert render(linear, look=Look("none")).data.tolist() == render(linear, look="plain").data.tolist()
