"""Training checkpoints: everything a run needs to go on exactly, in one file that is whole or not there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from burstfix._version import __version__
from burstfix.atomic import atomic_path
from burstfix.checkpoints.files import NOISE_CONVENTION
from burstfix.errors import OutputError, UsageError
from burstfix.training.recipe import Recipe

FORMAT = 1


def save_checkpoint(
    path: Path, recipe: Recipe, step: int, seconds: float, data: list[str], state: dict[str, Any]
) -> None:
    """Writes a checkpoint beside its target, flushes it to disk and renames it.

    Args:
        path: Target; an older file there stays until the new one is complete.
        recipe: Of the run.
        step: Optimiser steps done.
        seconds: Training time so far, over all runs.
        data: Names of the training pictures.
        state: State dicts of "model", "ema" and "optimizer".

    Raises:
        OutputError: The disk is full or not writable; the older checkpoint is intact.
    """
    content = {
        "format": FORMAT,
        "burstfix": __version__,
        "recipe": asdict(recipe),
        "step": step,
        "seconds": seconds,
        "seed": recipe.train.seed,
        "noise_convention": NOISE_CONVENTION,
        "data": data,
        **state,
    }
    try:
        with atomic_path(path, overwrite=True) as beside:
            torch.save(content, beside)
    except RuntimeError as error:  # what torch.save makes of a full disk
        raise OutputError(f"{path}: checkpoint cannot be written ({error})") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint written by `save_checkpoint`; its tensors are on the CPU.

    From there each finds its place: AdamW counts steps on the CPU, and would ask a GPU for every count.

    Raises:
        UsageError: No checkpoint, or not one of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no checkpoint to resume from") from error
    except Exception as error:  # torch.load raises many kinds on foreign or cut files
        raise UsageError(f"{path}: not a readable checkpoint ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{path}: not a checkpoint of this version of burstfix (format {FORMAT})")
    return content
