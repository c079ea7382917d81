"""A whole training run: the loop, then weights with their card, and the plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.checkpoints import save_weights
from burstfix.models.base import BurstModel
from burstfix.training.loop import LOG, Trained, is_main_process, train
from burstfix.training.plot import plot_log
from burstfix.training.recipe import Recipe


@dataclass(frozen=True)
class FinishedRun:
    """What a run left behind: the trained model and its weights file (the card lies beside it)."""

    trained: Trained
    weights: Path


def run_training(
    recipe: Recipe,
    photos: list[Path],
    out: Path,
    *,
    recipe_name: str,
    validation: list[Path] | None = None,
    device: str = "auto",
    resume: bool = False,
    init_from: BurstModel | None = None,
    max_minutes: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> FinishedRun:
    """Trains and writes `<model>.safetensors` with its card into `out`; arguments as in `loop.train`."""
    trained = train(
        recipe,
        photos,
        out,
        validation=validation,
        device=device,
        resume=resume,
        init_from=init_from,
        max_minutes=max_minutes,
        progress=progress,
    )
    weights = out / f"{recipe.model.name}.safetensors"
    if not is_main_process():
        return FinishedRun(trained, weights)
    save_weights(weights, trained.model, make_card(recipe_name, trained))
    plot_log(out / LOG, out / "plot.png")
    return FinishedRun(trained, weights)


def make_card(recipe_name: str, trained: Trained) -> dict[str, Any]:
    """What people should know about weights: data, steps, hours, recipe, validation."""
    archives = sorted({name.split("/")[0] for name in trained.pictures})
    return {
        "recipe": recipe_name,
        "steps": trained.step,
        "bursts": trained.bursts,
        "hours": round(trained.seconds / 3600, 3),
        "machine": trained.machine,
        "pictures": len(trained.pictures),
        "data": archives if len(archives) <= 20 else [f"{len(archives)} picture files"],
        "validation_psnr_db": {level: round(value, 3) for level, value in trained.psnr.items()},
    }
