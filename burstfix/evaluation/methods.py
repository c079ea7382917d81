"""What can be compared: any model, whole bursts or fewer frames of them, and plain demosaicking."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix.checkpoints import load_model
from burstfix.engine.infer import merge_tiled
from burstfix.engine.select import select_device
from burstfix.errors import UsageError
from burstfix.models.catalog import CATALOG
from burstfix.models.ensemble import VIEWS, self_ensemble
from burstfix.raw.cfa import pack, pad_to_rggb
from burstfix.raw.demosaic import menon
from burstfix.raw.levels import normalise
from burstfix.types import Burst

MENON = "menon"
"""The reference alone, demosaicked and not denoised: what a merge starts from."""

Merge = Callable[[Burst], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the tables.

    Attributes:
        label: As asked for: `NAME`, `NAME+VIEWS`, either with `:FRAMES`.
        frames: How many frames around the reference it gets; None for all.
        merge: From burst to linear (3, H, W).
    """

    label: str
    frames: int | None
    merge: Merge

    def run(self, burst: Burst) -> NDArray[np.float32]:
        """Merges the burst or as many of its frames as the method takes."""
        return self.merge(burst if self.frames is None else around_reference(burst, self.frames))


def default_methods() -> list[str]:
    """Everything that ships, each trained model also with one frame; plainest first."""
    names = [MENON]
    for entry in reversed(CATALOG):
        if entry.usable:
            name = entry.name
            names += [f"{name}:1", name, f"{name}+{VIEWS[-1]}"] if entry.trained else [name]
    return names


def load_methods(
    names: Sequence[str], *, device: str = "auto", tile: int = 0, precision: str = "auto"
) -> list[Method]:
    """Loads models, each once.

    Args:
        names: `menon`, a catalogue name or a .safetensors file; with `+V` an ensemble of V views, with `:N`
            of N frames only.
        device, tile, precision: As for `merge_tiled`.

    Raises:
        UsageError: A name is not known or asked for twice.
        WeightsError: Weights are missing or damaged.
    """
    merges: dict[tuple[str, int], Merge] = {}
    methods = []
    for name in names:
        match = re.fullmatch(r"(.+?)(?:\+(\d+))?(?::(\d+))?", name, re.DOTALL)
        if match is None:
            raise UsageError("a model has a name; found none")
        base, views, frames = match[1], int(match[2] or 1), int(match[3]) if match[3] else None
        if frames == 0:
            raise UsageError(f"{name}: a burst has one frame at least")
        if base == MENON:
            if views > 1:
                raise UsageError(f"{name}: {MENON} is no network, it has no views")
            frames = 1
        if (base, views) not in merges:
            merges[base, views] = _menon if base == MENON else _merge(base, views, device, tile, precision)
        label = base if base == MENON else name
        if Path(base).suffix:
            label = Path(base).stem + name.removeprefix(base)
        if label in (method.label for method in methods):
            raise UsageError(f"{name}: two rows would be named {label!r}; rename one of the files")
        methods.append(Method(label, frames, merges[base, views]))
    return methods


def around_reference(burst: Burst, count: int) -> Burst:
    """The `count` frames nearest the reference, or all if there are not as many."""
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


def _merge(name: str, views: int, device: str, tile: int, precision: str) -> Merge:
    chosen = select_device(device)
    model = self_ensemble(load_model(name, chosen.type), views)
    return lambda burst: merge_tiled(burst, model, device=chosen, tile=tile, precision=precision)


def _menon(burst: Burst) -> NDArray[np.float32]:
    frame = burst.frames[burst.reference]
    height, width = frame.mosaic.shape
    mosaic = normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)
    padded = pad_to_rggb(mosaic, frame.metadata.cfa)
    rgb = menon(pack(padded.mosaic)[None])[0]
    return rgb[:, padded.top : padded.top + height, padded.left : padded.left + width].contiguous().numpy()
