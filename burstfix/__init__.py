"""Turn a burst of raw photographs into one clean picture.

    import burstfix

    burst = burstfix.read_burst("shots/")       # a folder, a file, or several files
    linear = burstfix.merge_burst(burst)        # linear.data: float32 (3, H, W), camera RGB
    burstfix.write_image(burstfix.render(linear), "night.tif")

Steps: `read_burst` or `burst_from_arrays`, `merge_burst`, then `render` and `write_image`, or `write_dng`.
Batches: `find_bursts`, `run_batch`. Settings: `MergeSettings`, `BatchSettings`. The docstrings describe
arguments, units and errors; docs/python.md has examples. Names are imported when first used, so that
`import burstfix` is fast and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from burstfix._version import __version__

if TYPE_CHECKING:
    from burstfix.analysis.arrays import burst_from_arrays
    from burstfix.batch.plan import FoundBurst, Plan, find_bursts
    from burstfix.batch.report import BatchReport, Event
    from burstfix.batch.run import run_batch
    from burstfix.batch.settings import BatchSettings
    from burstfix.checkpoints import load_model
    from burstfix.color import Look, load_look, render
    from burstfix.errors import (
        BurstError,
        BurstfixError,
        InputError,
        OutOfMemoryError,
        OutputError,
        UnsupportedSensorError,
        UsageError,
        WeightsError,
    )
    from burstfix.io import write_image
    from burstfix.pipeline import merge_burst, read_burst, write_dng
    from burstfix.settings import MergeSettings
    from burstfix.types import (
        Burst,
        ColorProfile,
        DroppedFrame,
        Frame,
        FrameMetadata,
        GlobalMotion,
        Levels,
        LinearImage,
        NoiseProfile,
        Progress,
        RenderedImage,
    )

_WHERE = {
    "analysis.arrays": ("burst_from_arrays",),
    "batch.plan": ("FoundBurst", "Plan", "find_bursts"),
    "batch.report": ("BatchReport", "Event"),
    "batch.run": ("run_batch",),
    "batch.settings": ("BatchSettings",),
    "checkpoints": ("load_model",),
    "color": ("Look", "load_look", "render"),
    "errors": (
        *("BurstError", "BurstfixError", "InputError", "OutOfMemoryError", "OutputError"),
        *("UnsupportedSensorError", "UsageError", "WeightsError"),
    ),
    "io": ("write_image",),
    "pipeline": ("merge_burst", "read_burst", "write_dng"),
    "settings": ("MergeSettings",),
    "types": (
        *("Burst", "ColorProfile", "DroppedFrame", "Frame", "FrameMetadata", "GlobalMotion", "Levels"),
        *("LinearImage", "NoiseProfile", "Progress", "RenderedImage"),
    ),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "BatchReport",
    "BatchSettings",
    "Burst",
    "BurstError",
    "BurstfixError",
    "ColorProfile",
    "DroppedFrame",
    "Event",
    "FoundBurst",
    "Frame",
    "FrameMetadata",
    "GlobalMotion",
    "InputError",
    "Levels",
    "LinearImage",
    "Look",
    "MergeSettings",
    "NoiseProfile",
    "OutOfMemoryError",
    "OutputError",
    "Plan",
    "Progress",
    "RenderedImage",
    "UnsupportedSensorError",
    "UsageError",
    "WeightsError",
    "__version__",
    "burst_from_arrays",
    "find_bursts",
    "load_look",
    "load_model",
    "merge_burst",
    "read_burst",
    "render",
    "run_batch",
    "write_dng",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'burstfix' has no attribute {name!r}")
    return getattr(importlib.import_module(f"burstfix.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
