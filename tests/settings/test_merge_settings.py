"""The dataclass of settings, which defines checks, options and help."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest

from burstfix.batch.settings import BatchSettings
from burstfix.cli.values import Value
from burstfix.color import render
from burstfix.engine.device import PRECISIONS
from burstfix.errors import UsageError
from burstfix.io.write.formats import FORMAT_NAMES
from burstfix.opcodes import OpcodeMode
from burstfix.pipeline import merge_burst, read_burst
from burstfix.settings import MergeSettings, resolve, settings_of
from burstfix.types import NoiseChoice


def choices(name: str) -> tuple[Any, ...]:
    return settings_of(MergeSettings)[name].kind.choices


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("noise", "1e-3,2e-5", (1e-3, 2e-5)), ("noise", "measure", "measure"),
        ("wb", "2,1,1", (2.0, 1.0, 1.0)),
        ("wb", "auto", "auto"), ("exposure", "-1", -1.0), ("exposure", "auto", "auto"),
        ("look", "plain", "plain"), ("grain", "0.5", 0.5), ("tile", "512", 512),
        ("ensemble", "4", 4), ("bit_depth", "8", 8), ("strength", "1", 1.0), ("device", "cuda:1", "cuda:1"),
        ("model", "123", "123"), ("max_memory", "8GB", 8 * 10**9),
    ],
)  # fmt: skip
def test_option_when_typed_then_gives_the_value_that_python_takes(name: str, text: str, value: Any) -> None:
    one = settings_of(BatchSettings)[name]
    found = Value(one.kind).convert(text, None, None)
    assert found == value and type(found) is type(value)
    assert getattr(BatchSettings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise", (0, 0)),
        ("noise", "nan,1"),
        ("tile", 1.5),
        ("strength", True),
        ("wb", [1, 1]),
        ("look", "sepia"),
        ("grain", 2),
    ],
)
def test_settings_when_a_value_is_wrong_then_an_error_names_it(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} = .*expected"):
        MergeSettings(**{name: value})


def test_settings_when_passed_to_functions_then_every_argument_exists_and_has_the_same_default() -> None:
    settings = MergeSettings()
    for function, values in [
        (read_burst, settings.reading()),
        (merge_burst, settings.merging()),
        (render, settings.rendering()),
    ]:
        parameters = inspect.signature(function).parameters
        assert values == {name: parameters[name].default for name in values}


def test_choices_when_compared_with_the_library_then_they_are_equal() -> None:
    assert choices("precision") == PRECISIONS
    assert set(choices("format")) == set(FORMAT_NAMES)
    assert choices("opcodes") == get_args(OpcodeMode)
    assert settings_of(MergeSettings)["noise"].kind.metavar.split("|")[1:] == list(get_args(NoiseChoice))


def test_settings_when_listed_then_each_has_help_and_a_valid_default() -> None:
    for name, one in settings_of(BatchSettings).items():
        assert one.help.endswith(".") and one.group, name
        assert one.check(one.default) == one.default


def test_resolve_when_a_layer_contains_settings_of_batch_then_merge_ignores_them() -> None:
    layers = [("file", {"gap": 3, "tile": 64})]
    assert resolve(layers, MergeSettings, ignored=["gap"]).settings.tile == 64
    with pytest.raises(UsageError, match="file: unknown setting 'gap'"):
        resolve(layers, MergeSettings)
