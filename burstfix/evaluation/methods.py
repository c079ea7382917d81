"""Methods to evaluate: models with all or some of the frames, and published methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.checkpoints import load_model
from burstfix.engine.device import Device
from burstfix.engine.infer import merge_tiled
from burstfix.engine.select import select_device
from burstfix.errors import NoMosaicError, UsageError
from burstfix.evaluation import yardsticks
from burstfix.evaluation.yardsticks import Merge, yardstick
from burstfix.models.base import BurstModel
from burstfix.models.catalog import CATALOG
from burstfix.models.ensemble import VIEWS, self_ensemble
from burstfix.raw.cfa import mosaic
from burstfix.types import Burst

Protocol = Literal["color", "grey", "grey-picture"]
"""Form of the results of methods.

- "color": RGB (3, H, W).
- "grey": the denoised mosaic (1, H, W). Methods that compute no mosaic return the same as for "grey-picture".
- "grey-picture": RGB, sampled with the CFA pattern (1, H, W).

Published methods do not demosaick the mosaic of a grey scene.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the tables.

    Attributes:
        label: Unique name of the row.
        frames: Number of frames around the reference to use; None = all.
        merge: Function from burst to the result of the chosen `Protocol`.
    """

    label: str
    frames: int | None
    merge: Merge

    def run(self, burst: Burst) -> NDArray[np.float32]:
        """Merge the frames of the burst that the method uses."""
        return self.merge(burst if self.frames is None else around_reference(burst, self.frames))


@dataclass(frozen=True, slots=True)
class MethodName:
    """A method as users write it: `BASE[+VIEWS][:FRAMES]`.

    Attributes:
        base: Published method, name of a model, or weights file.
        views: Views of the self-ensemble.
        frames: Number of frames; None for all.
        options: The part after `base`, as written.
    """

    base: str
    views: int
    frames: int | None
    options: str

    @classmethod
    def parse(cls, text: str) -> MethodName:
        """Parse a method.

        Raises:
            UsageError: The text is empty, has zero frames, or adds views to a method that is not a network.
        """
        match = re.fullmatch(r"(.+?)(?:\+(\d+))?(?::(\d+))?", text, re.DOTALL)
        if match is None:
            raise UsageError(f"expected a model's name, found {text!r}")
        base, views, frames = match[1], int(match[2] or 1), int(match[3]) if match[3] else None
        if frames == 0:
            raise UsageError(f"{text}: a burst has at least one frame")
        if base in yardsticks.NAMES and views > 1:
            raise UsageError(f"{text}: {base} is not a network and has no views")
        if base in yardsticks.SINGLE_FRAME:
            frames = 1
        return cls(base, views, frames, text.removeprefix(base))

    @property
    def is_file(self) -> bool:
        """True if the base is a weights file."""
        return self.base.endswith(".safetensors")


def default_methods() -> list[str]:
    """Return all models that can merge, simple models first; trained models appear also with one frame."""
    names = ["menon"]
    for entry in reversed(CATALOG):
        if entry.usable:
            name = entry.name
            names += [f"{name}:1", name, f"{name}+{VIEWS[-1]}"] if entry.trained else [name]
    return names


def load_methods(
    names: Sequence[str],
    *,
    device: str = "auto",
    tile: int = 0,
    precision: str = "auto",
    protocol: Protocol = "color",
) -> list[Method]:
    """Load models and other methods. Each model is loaded once.

    Args:
        names: For each method, a published method, the name of a model (see `load_model`) or a .safetensors
            file. It may be followed by `+V` for an ensemble of V views, and by `:N` to use only N frames.
        device, tile, precision: As for `merge_tiled`.
        protocol: Result of the methods; see `Protocol`.

    Raises:
        UsageError: A name is unknown, or given twice, or a package for it is missing.
        WeightsError: Weights are missing or damaged.
    """
    parsed = [MethodName.parse(name) for name in names]
    merges: dict[tuple[str, int], Merge] = {}
    methods = []
    for label, name in zip(row_labels(parsed), parsed, strict=True):
        key = name.base, name.views
        if key not in merges:
            if name.base in yardsticks.NAMES:
                merges[key] = yardstick(name.base, as_grey=protocol != "color")
            else:
                chosen = select_device(device)
                model = self_ensemble(load_model(name.base, chosen.type), name.views)
                merges[key] = _merge(model, chosen, tile, precision, protocol)
        methods.append(Method(label, name.frames, merges[key]))
    return methods


def row_labels(names: Sequence[MethodName]) -> list[str]:
    """Return unique names for the rows of a table.

    Names of the catalogue are their own labels. The label of a file is its stem, preceded by as many parent
    folders as are needed to distinguish it from the other rows.

    Raises:
        UsageError: A method is given twice.

    Example:
        >>> names = ["kpn", "runs/a/kpn.safetensors:1", "runs/a/kpn.safetensors", "best.safetensors"]
        >>> row_labels([MethodName.parse(name) for name in names])
        ['kpn', 'kpn:1', 'a/kpn', 'best']
    """
    candidates = [_candidates(name) for name in names]
    chosen = [0] * len(names)
    while True:
        labels = [options[index] for options, index in zip(candidates, chosen, strict=True)]
        clashing = [k for k, label in enumerate(labels) if labels.count(label) > 1]
        if not clashing:
            return labels
        longer = [k for k in clashing if chosen[k] + 1 < len(candidates[k])]
        if not longer:
            raise UsageError(f"{labels[clashing[0]]}: is given twice; name each method once")
        for k in longer:
            chosen[k] += 1


def _candidates(name: MethodName) -> list[str]:
    """Return possible labels for a method, from short to long."""
    if name.base in yardsticks.SINGLE_FRAME:
        return [name.base]
    if not name.is_file:
        return [name.base + name.options]
    parts = Path(name.base).resolve().with_suffix("").parts
    return ["/".join(parts[-count:]) + name.options for count in range(1, len(parts) + 1)]


def around_reference(burst: Burst, count: int) -> Burst:
    """Return the `count` frames nearest to the reference, or all if there are fewer."""
    count = min(count, len(burst.frames))
    first = min(max(burst.reference - count // 2, 0), len(burst.frames) - count)
    kept = slice(first, first + count)
    return replace(
        burst,
        frames=burst.frames[kept],
        reference=burst.reference - first,
        motions=burst.motions[kept],
        sharpness=burst.sharpness[kept],
    )


def _merge(model: BurstModel, device: Device, tile: int, precision: str, protocol: Protocol) -> Merge:
    def merge(burst: Burst, *, as_mosaic: bool = False) -> NDArray[np.float32]:
        merged = merge_tiled(burst, model, device=device, tile=tile, precision=precision, mosaic=as_mosaic)
        return merged.data

    def sample(burst: Burst) -> NDArray[np.float32]:
        picture = torch.from_numpy(merge(burst))
        return mosaic(picture, burst.frames[burst.reference].metadata.cfa)[None].numpy()

    def denoise(burst: Burst) -> NDArray[np.float32]:
        try:
            return merge(burst, as_mosaic=True)
        except NoMosaicError:
            return sample(burst)

    merges: dict[Protocol, Merge] = {"color": merge, "grey": denoise, "grey-picture": sample}
    return merges[protocol]
