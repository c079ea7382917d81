"""Save and load training checkpoints: the complete state of a run in one file."""

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

FORMAT = 2


def save_checkpoint(
    path: Path,
    recipe: Recipe,
    *,
    step: int,
    seconds: float,
    minutes: float | None,
    data: list[str],
    state: dict[str, Any],
) -> None:
    """Write a checkpoint atomically; replace an older one.

    Args:
        path: Output file.
        recipe: Recipe of the run.
        step: Completed optimiser steps.
        seconds: Training time so far, over all runs.
        minutes: Length of the run if it has a time limit, otherwise None.
        data: Names of the training pictures.
        state: State dicts "model", "ema" and "optimizer".

    Raises:
        OutputError: The disk is full or not writable. An older checkpoint is not changed.
    """
    content = {
        "format": FORMAT,
        "burstfix": __version__,
        "recipe": asdict(recipe),
        "step": step,
        "seconds": seconds,
        "minutes": minutes,
        "seed": recipe.train.seed,
        "noise_convention": NOISE_CONVENTION,
        "data": data,
        **state,
    }
    try:
        with atomic_path(path, overwrite=True) as beside:
            torch.save(content, beside)
    except RuntimeError as error:  # raised by torch.save when the disk is full
        raise OutputError(f"{path}: checkpoint cannot be written ({error})") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that `save_checkpoint` wrote.

    Its tensors are loaded to the CPU, where AdamW keeps its step counts. `load_state_dict` moves the other
    tensors.

    Raises:
        UsageError: The checkpoint does not exist or cannot be used.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no checkpoint to resume from") from error
    except Exception as error:  # on other or truncated files, torch.load raises exceptions of many types
        raise UsageError(f"{path}: not a readable checkpoint ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(
            f"{path}: not a checkpoint of this version of burstfix (format {FORMAT}); "
            "start a new run with --init-from and the weights of the old one"
        )
    return content
