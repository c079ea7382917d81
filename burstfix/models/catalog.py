"""What ships: the one list of models, by name.

To ship weights for a model, put NAME.safetensors and NAME.toml (its card) into `weights/` and name the file
in the model's row. Rows are in the order of preference: `auto` takes the first usable one for the device.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from burstfix.errors import UsageError
from burstfix.models.base import BurstModel


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the list.

    Attributes:
        name: What people call it.
        module: Module of `burstfix.models`; imported when the model is built.
        model: Name of the class there.
        config: Name of its config class there.
        description: One line for people.
        weights: File in `weights/`, or None while there are none.
        trained: Whether the model is of no use without weights.
        auto_on: Types of device on which `auto` may take it.
        settings: What differs from the config class's defaults.
    """

    name: str
    module: str
    model: str
    config: str
    description: str
    weights: str | None = None
    trained: bool = True
    auto_on: tuple[str, ...] = ("cpu", "cuda")
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether it can merge as shipped."""
        return self.weights is not None or not self.trained


CATALOG: tuple[Entry, ...] = (
    Entry(
        name="two-stage",
        module="two_stage",
        model="TwoStage",
        config="TwoStageConfig",
        description="block matching, then deformable alignment, recurrent fusion and a U-Net; for GPUs",
        auto_on=("cuda",),
    ),
    Entry(
        name="two-stage-lite",
        module="two_stage",
        model="TwoStageLite",
        config="TwoStageLiteConfig",
        description="both alignment stages at half the size, light enough for CPUs",
    ),
    Entry(
        name="kpn",
        module="kpn",
        model="Kpn",
        config="KpnConfig",
        description="kernel prediction on block-matched frames; small enough for CPUs",
        weights="kpn.safetensors",
    ),
    Entry(
        name="average",
        module="average",
        model="Average",
        config="AverageConfig",
        description="robust average of block-matched frames and Menon demosaicking; needs no weights",
        trained=False,
    ),
)


def names() -> list[str]:
    """All names in the catalogue, whether weights ship or not."""
    return [entry.name for entry in CATALOG]


def find(name: str) -> Entry:
    """The row of a name.

    Raises:
        UsageError: There is no such model.
    """
    for entry in CATALOG:
        if entry.name == name:
            return entry
    raise UsageError(f"there is no model named {name!r}; choose one of: auto, {', '.join(names())}")


def best_for(device: str | torch.device) -> str:
    """Name of the model that `auto` means.

    Args:
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1" ...
    """
    kind = str(device).split(":")[0]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    for entry in CATALOG:
        if entry.usable and kind in entry.auto_on:
            return entry.name
    raise UsageError(f"no model runs on {device!r}; use cpu or cuda")


def build(name: str, config: Mapping[str, Any] | None = None) -> BurstModel:
    """Makes a model with fresh (untrained) weights.

    Args:
        name: Of the catalogue.
        config: Fields of the model's config class; what is left out keeps the catalogue's value.

    Raises:
        UsageError: Unknown name, unknown field, or a value of the wrong kind.
    """
    entry = find(name)
    module = importlib.import_module(f"burstfix.models.{entry.module}")
    config_class = getattr(module, entry.config)
    values = {**entry.settings, **(config or {})}
    defaults = config_class()
    known = [item.name for item in dataclasses.fields(config_class)]
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"model {name!r} has no setting {key!r}; it knows: {', '.join(known)}")
        values[key] = _as_kind_of(getattr(defaults, key), value, f"setting {key!r} of model {name!r}")
    return getattr(module, entry.model)(config_class(**values))


def _as_kind_of(default: Any, value: Any, what: str) -> Any:
    """JSON and TOML know no tuples and write 2.0 as 2; everything else has to be of the default's type."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise UsageError(f"{what} is {value!r}; expected something like {default!r}")
    return value
