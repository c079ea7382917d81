"""The catalogue of models by name, and models from other packages (plug-ins).

To ship weights for a model, put NAME.safetensors and NAME.toml (its card) into `weights/` and enter the file
in the row of the model. The rows are in order of preference: `auto` chooses the first model that is usable on
the device.

A plug-in is a subclass of `BurstModel` in any importable module. Its name is `module:Class`. If its package
declares an entry point in the group `burstfix.models`, the name of the entry point can also be used.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from burstfix.errors import UsageError

if TYPE_CHECKING:  # torch takes seconds to import and is not needed to list names
    import torch

    from burstfix.models.base import BurstModel

PLUGIN_GROUP = "burstfix.models"
"""Group of entry points through which packages add models."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the catalogue.

    Attributes:
        name: Name for users.
        target: `module:Class`, which is imported when the model is built.
        description: Description in one line.
        weights: File in `weights/`; None if there are no weights yet.
        trained: True if the model needs trained weights.
        needs_gpu: True if the model is too slow for CPUs, so that `auto` chooses it only on other devices.
    """

    name: str
    target: str
    description: str
    weights: str | None = None
    trained: bool = True
    needs_gpu: bool = False

    @property
    def usable(self) -> bool:
        """True if the model can merge: it needs no trained weights, or they are shipped."""
        return self.weights is not None or not self.trained


CATALOG: tuple[Entry, ...] = (
    Entry(
        name="two-stage",
        target="burstfix.models.two_stage:TwoStage",
        description="block matching, deformable alignment, recurrent fusion, predicted kernels; for GPUs",
        needs_gpu=True,
    ),
    Entry(
        name="two-stage-paper",
        target="burstfix.models.two_stage_paper:TwoStagePaper",
        description="the two-stage network as published, at its full size; for GPUs",
        needs_gpu=True,
    ),
    Entry(
        name="kpn",
        target="burstfix.models.kpn:Kpn",
        description="kernel prediction on block-matched frames; small enough for CPUs",
        weights="kpn.safetensors",
    ),
    Entry(
        name="deformable-3d",
        target="burstfix.models.deformable_kernels:Deformable3d",
        description="kernels that sample block-matched frames at predicted places in space and time",
    ),
    Entry(
        name="deformable-2d",
        target="burstfix.models.deformable_kernels:Deformable2d",
        description="kernels that sample each frame at predicted places; also for single pictures",
    ),
    Entry(
        name="dncnn",
        target="burstfix.models.dncnn:Dncnn",
        description="residual network for the reference alone; for comparisons, no weights",
    ),
    Entry(
        name="average",
        target="burstfix.models.average:Average",
        description="robust average of block-matched frames and Menon demosaicking; needs no weights",
        trained=False,
    ),
)


def names() -> list[str]:
    """Return all names in the catalogue, even of models without weights. Plug-ins are not included."""
    return [entry.name for entry in CATALOG]


def plugins() -> list[Entry]:
    """Return the models that installed packages declare as entry points."""
    return [
        Entry(point.name, point.value, f"plug-in {point.value}", trained=False)
        for point in entry_points(group=PLUGIN_GROUP)
    ]


def find(name: str) -> Entry:
    """Find a model by its name in the catalogue, its entry point, or `module:Class`.

    Raises:
        UsageError: No model has this name.
    """
    for entry in (*CATALOG, *plugins()):
        if entry.name == name:
            return entry
    if ":" in name:
        return Entry(name, name, f"plug-in {name}", trained=False)
    raise UsageError(
        f"there is no model named {name!r}; choose one of: auto, {', '.join(names())}, a plug-in "
        "(module:Class), or a .safetensors file"
    )


def name_of(model: BurstModel) -> str:
    """Return the name under which `find` finds the class of the model."""
    target = f"{type(model).__module__}:{type(model).__qualname__}"
    for entry in (*CATALOG, *plugins()):
        if entry.target == target:
            return entry.name
    return target


def best_for(device: str | torch.device) -> str:
    """Return the name of the model that `auto` chooses for a device.

    Args:
        device: Name of a device or of its backend, such as "cpu" or "cuda:1".

    Raises:
        UsageError: torch does not support this device.
    """
    import torch

    try:
        on_cpu = torch.device(device).type == "cpu"
    except RuntimeError as error:
        raise UsageError(f"device {str(device)!r} is unknown; name one, such as cpu or cuda") from error
    return next(entry.name for entry in CATALOG if entry.usable and (not on_cpu or not entry.needs_gpu))


def build(name: str, config: Mapping[str, Any] | None = None) -> BurstModel:
    """Create a model with initial (untrained) weights.

    Args:
        name: See `find`.
        config: Fields of the config class of the model. Other fields have their defaults.

    Raises:
        UsageError: The name or a field is unknown, a value has the wrong type, or a plug-in cannot be
            imported.
    """
    model_class = _import(find(name))
    values = dict(config or {})
    if model_class.config_class is None:
        if values:
            raise UsageError(f"model {name!r} has no settings; found {next(iter(values))!r}")
        return model_class()
    defaults = model_class.config_class()
    known = [item.name for item in dataclasses.fields(defaults)]
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"model {name!r} has no setting {key!r}; its settings are {', '.join(known)}")
        values[key] = _checked(getattr(defaults, key), value, f"setting {key!r} of model {name!r}")
    return model_class(model_class.config_class(**values))


def _import(entry: Entry) -> type[BurstModel]:
    from burstfix.models.base import BurstModel

    module_name, _, class_name = entry.target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"model {entry.name!r} cannot be imported ({error}); install its package, or add its folder to "
            "PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and issubclass(found, BurstModel)):
        raise UsageError(
            f"model {entry.name!r} is {found!r}; expected a subclass of burstfix.models.base.BurstModel"
        )
    return found


def _checked(default: Any, value: Any, what: str) -> Any:
    """Convert a value to the type of the default. JSON and TOML lack tuples and may write 2.0 as 2."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise UsageError(f"{what} is {value!r}; expected a value like {default!r}")
    return value
