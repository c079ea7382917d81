"""burstfix turns a burst of raw photographs into one clean picture.

The public API; everything here is documented at its definition. Names are imported when first used, so
that `import burstfix` is fast and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from burstfix._version import __version__

if TYPE_CHECKING:
    from burstfix.batch.plan import FoundBurst, Plan, find_bursts
    from burstfix.batch.report import BatchReport
    from burstfix.batch.run import run_batch
    from burstfix.batch.settings import BatchSettings
    from burstfix.checkpoints import load_model
    from burstfix.color import Look, load_look, render
    from burstfix.errors import BurstfixError
    from burstfix.io import write_image
    from burstfix.pipeline import merge_burst, read_burst, write_dng
    from burstfix.settings import MergeSettings
    from burstfix.types import Burst, Frame, LinearImage, NoiseProfile, RenderedImage

_WHERE = {
    "read_burst": "pipeline",
    "merge_burst": "pipeline",
    "render": "color",
    "load_look": "color",
    "Look": "color",
    "write_image": "io",
    "write_dng": "pipeline",
    "load_model": "checkpoints",
    "find_bursts": "batch.plan",
    "FoundBurst": "batch.plan",
    "Plan": "batch.plan",
    "run_batch": "batch.run",
    "BatchReport": "batch.report",
    "BatchSettings": "batch.settings",
    "MergeSettings": "settings",
    "BurstfixError": "errors",
    "Burst": "types",
    "Frame": "types",
    "LinearImage": "types",
    "NoiseProfile": "types",
    "RenderedImage": "types",
}

__all__ = [
    "BatchReport",
    "BatchSettings",
    "Burst",
    "BurstfixError",
    "FoundBurst",
    "Frame",
    "LinearImage",
    "Look",
    "MergeSettings",
    "NoiseProfile",
    "Plan",
    "RenderedImage",
    "find_bursts",
    "load_look",
    "load_model",
    "merge_burst",
    "read_burst",
    "render",
    "run_batch",
    "write_dng",
    "__version__",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'burstfix' has no attribute {name!r}")
    return getattr(importlib.import_module(f"burstfix.{_WHERE[name]}"), name)
