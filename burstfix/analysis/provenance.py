"""Describe how a merged picture was made, for its metadata."""

from __future__ import annotations

from typing import Any

from burstfix._version import __version__
from burstfix.types import Burst


def merge_settings(burst: Burst, model: str, ensemble: int, strength: float) -> dict[str, Any]:
    """Describe a merge: version, model, frames, noise and corrections, as JSON values."""
    reference = burst.frames[burst.reference]
    return {
        "burstfix": __version__,
        "model": model,
        "reference": reference.metadata.name,
        "frames": [frame.metadata.name for frame in burst.frames],
        "left_out": [frame.path.name for frame in burst.dropped],
        "noise": {
            "source": burst.noise.source,
            "shot_gain": list(burst.noise.shot_gain),
            "read_variance": list(burst.noise.read_variance),
        },
        "strength": strength,
        "ensemble": ensemble,
        "hot_pixels": len(burst.hot_pixels),
        "opcodes": reference.plan.summary(),
    }
