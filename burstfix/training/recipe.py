"""Read training settings (recipes) from TOML into frozen dataclasses. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burstfix.align.blocks import CELL
from burstfix.errors import UsageError
from burstfix.models.losses import LossSettings
from burstfix.sim import SimSettings

SMALLEST_AT_BORDER = 32
"""Minimum size in packed pixels of patches at the border. Up to half of such a patch is outside."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The network: its name (see `catalog.find`) and the fields of its config class."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of the optimisation.

    Attributes:
        steps: Optimiser steps of the run, unless it has a time limit.
        batch: Bursts per step and process.
        patch: Side of a patch in packed pixels.
        margin: Width in packed pixels of the margin around a patch that is simulated for the alignment
            search.
        border: Share of the steps with patches at the border of the picture; only for models with frames
            aligned by block matching.
        frames: Smallest and largest number of frames in a burst.
        learning_rate, warmup, final_rate: Peak learning rate, number of steps until it is reached, and final
            learning rate relative to the peak.
        lr_scale: Mapping from parts of the model (attributes) to their relative learning rates; 0 freezes a
            part.
        weight_decay, clip: Weight decay of AdamW, and maximum norm of the gradient.
        ema: Decay of the averaged weights, which are validated and saved.
        precision: "bfloat16" or "float32".
        seed: Seed of weights and data.
        log_every, validate_every, save_every: Intervals in steps.
    """

    steps: int = 1000
    batch: int = 8
    patch: int = 48
    margin: int = 8
    border: float = 0.0
    frames: tuple[int, int] = (2, 8)
    learning_rate: float = 1e-3
    warmup: int = 100
    final_rate: float = 0.01
    lr_scale: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "bfloat16"
    seed: int = 0
    log_every: int = 20
    validate_every: int = 500
    save_every: int = 250


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a training run except data, output and time limit."""

    model: ModelSettings
    train: TrainSettings = field(default_factory=TrainSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    simulate: SimSettings = field(default_factory=SimSettings)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: The file cannot be read, or has unknown keys or values of the wrong type.
    """
    try:
        tree = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable recipe ({error})") from error
    try:
        return recipe_from_dict(tree)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def recipe_from_dict(tree: dict[str, Any]) -> Recipe:
    """Build a recipe from a parsed TOML file, or from the result of `dataclasses.asdict`.

    Raises:
        UsageError: A key is unknown or missing, or a value is of the wrong type or out of range.
    """
    recipe = _build(Recipe, tree, "recipe")
    low, high = recipe.train.frames
    if not 1 <= low <= high:
        raise UsageError(f"recipe.train.frames: found {low} to {high}, expected 1 <= smallest <= largest")
    for name in ("steps", "batch", "patch", "log_every", "validate_every", "save_every"):
        if (value := getattr(recipe.train, name)) < 1:
            raise UsageError(f"recipe.train.{name}: found {value}, expected 1 or more")
    for name in ("patch", "margin"):
        if (value := getattr(recipe.train, name)) % CELL or value < 0:
            raise UsageError(f"recipe.train.{name}: found {value}, expected a multiple of {CELL}")
    if not 0 <= recipe.train.border <= 1:
        raise UsageError(f"recipe.train.border: found {recipe.train.border:g}, expected 0 to 1")
    if recipe.train.border and recipe.train.patch < SMALLEST_AT_BORDER:
        raise UsageError(
            f"recipe.train.patch: found {recipe.train.patch}, expected {SMALLEST_AT_BORDER} or more with a "
            "border"
        )
    for name in ("shot_gain", "read_std", "darkening", "magnify"):
        low, high = getattr(recipe.simulate, name)
        if not 0 < low <= high:
            raise UsageError(f"recipe.simulate.{name}: found {low:g} to {high:g}, expected 0 < low <= high")
    for name, scale in recipe.train.lr_scale.items():
        if not scale >= 0:
            raise UsageError(f"recipe.train.lr_scale.{name}: found {scale:g}, expected 0 or more")
    if recipe.train.precision not in ("bfloat16", "float32"):
        raise UsageError(
            f"recipe.train.precision: found {recipe.train.precision!r}, expected bfloat16 or float32"
        )
    return recipe


def _build(kind: type, tree: Any, where: str) -> Any:
    if not isinstance(tree, dict):
        raise UsageError(f"{where}: expected a table, found {tree!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(tree) - set(hints))
    if unknown:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; known keys are {', '.join(sorted(hints))}")
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in tree
    ]
    if missing:
        raise UsageError(f"{where}: key {missing[0]!r} is missing")
    return kind(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in tree.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(kinds):
            raise UsageError(f"{where}: expected {len(kinds)} values, found {value!r}")
        return tuple(_value(k, v, where) for k, v in zip(kinds, value, strict=True))
    if typing.get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{where}: expected a table, found {value!r}")
        item = typing.get_args(kind)[1]
        return {key: _value(item, entry, f"{where}.{key}") for key, entry in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value
