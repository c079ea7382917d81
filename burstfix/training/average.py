"""Average the weights of several training runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from burstfix.checkpoints import load_model, save_weights
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel


def average_weights(files: Sequence[Path], output: Path) -> BurstModel:
    """Write the mean of the weights of a model from several files, with a card that names the files.

    The mean of several runs with the same initial weights is often better than each single run (Wortsman et
    al., "Model soups", 2022).

    Args:
        files: Two or more weights files.
        output: Output file (.safetensors).

    Returns:
        The model with the mean weights.

    Raises:
        UsageError: There are fewer than two files, or they contain different models.
        WeightsError: A file is missing or damaged.
    """
    if len(files) < 2:
        raise UsageError(f"expected two or more weights files, found {len(files)}")
    models = [load_model(file) for file in files]
    first = models[0]
    for file, model in zip(files, models, strict=True):
        if type(model) is not type(first) or getattr(model, "config", None) != getattr(first, "config", None):
            raise UsageError(
                f"{file}: its model or the settings of its model differ from those of {files[0]}"
            )
    states = [model.state_dict() for model in models]
    with torch.no_grad():
        for name, tensor in first.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.stack([state[name] for state in states]).mean(0))
    save_weights(output, first, {"recipe": "mean of weights", "sources": [file.name for file in files]})
    return first
