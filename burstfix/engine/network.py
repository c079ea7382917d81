"""Select the model that merges a burst: by name, from a file, or as an object."""

from __future__ import annotations

from burstfix.cfa import CFA_PATTERNS
from burstfix.checkpoints import load_model
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel
from burstfix.models.ensemble import SelfEnsemble, self_ensemble
from burstfix.types import Burst


def model_for(burst: Burst, model: str) -> str:
    """Resolve "auto" for bursts without a Bayer mosaic, which networks cannot merge."""
    return "average" if model == "auto" and not _has_mosaic(burst) else model


def network_for(burst: Burst, model: str | BurstModel, device: str, ensemble: int) -> BurstModel:
    """Load the model for a burst.

    Args:
        burst: The burst.
        model: "auto", a name of the catalogue, a .safetensors file, or a model.
        device: Device for which "auto" chooses a model.
        ensemble: Number of views to average: 1, 2, 4 or 8.

    Raises:
        UsageError: The model is unknown, or cannot merge this kind of frame.
        WeightsError: Weights are missing or damaged.
    """
    loaded = load_model(model_for(burst, model), device) if isinstance(model, str) else model
    loaded = self_ensemble(loaded, ensemble)
    if not _has_mosaic(burst) and not loaded.info.any_planes:
        raise UsageError(
            f"model {loaded.info.name} merges Bayer mosaics, but these frames are "
            f"{burst.frames[burst.reference].metadata.cfa}; use --model average"
        )
    return loaded


def view_count(model: BurstModel) -> int:
    """Return the number of views that a model averages; 1 if it is not an ensemble."""
    return len(model.views) if isinstance(model, SelfEnsemble) else 1


def _has_mosaic(burst: Burst) -> bool:
    return burst.frames[burst.reference].metadata.cfa in CFA_PATTERNS
