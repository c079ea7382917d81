"""Checks of the arguments that run before any raw is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burstfix.cli.target import Target
from burstfix.errors import OutputError, UsageError
from burstfix.settings import MergeSettings

if TYPE_CHECKING:
    from burstfix.models.base import BurstModel


def check_reference(reference: int | Path | None, files: Sequence[Path]) -> None:
    """Refuse a reference that cannot be a frame of the burst.

    Args:
        reference: Counted from 1, or a file.
        files: The files on the command line; duplicates may be left out later.

    Raises:
        UsageError: The number is larger than the number of files, or the file is not among them.
    """
    if isinstance(reference, int) and reference > len(files):
        raise UsageError(
            f"--reference {reference}: the burst has {len(files)} files; expected a number from 1 "
            f"to {len(files)}, or a file"
        )
    if isinstance(reference, Path) and not _candidates(reference, files):
        listed = ", ".join(path.name for path in files[:4]) + (" ..." if len(files) > 4 else "")
        raise UsageError(f"--reference {reference}: not one of the given files ({listed})")


def check_default_name(destination: Target, reference: int | Path | None, files: Sequence[Path]) -> None:
    """Refuse to start if the default output file already exists for every possible reference.

    Raises:
        OutputError: Every possible output exists.
    """
    if destination.name is not None or destination.overwrite:
        return
    taken = [path for file in _candidates(reference, files) if (path := destination.default(file)).exists()]
    if taken and len(taken) == len(_candidates(reference, files)):
        raise OutputError(f"{taken[0]}: already exists; name the output with -o or add --overwrite")


def load_chosen_model(settings: MergeSettings) -> BurstModel | str:
    """Check the device and load the model. This imports torch.

    Returns:
        The model, or "auto", which is resolved once the frames are known.

    Raises:
        UsageError: The device or the model does not exist.
        WeightsError: The model's weights are missing or damaged.
    """
    from burstfix.checkpoints import load_model
    from burstfix.engine.device import find_device

    if settings.device != "auto":
        find_device(settings.device)
    return "auto" if settings.model == "auto" else load_model(settings.model, settings.device)


def _candidates(reference: int | Path | None, files: Sequence[Path]) -> list[Path]:
    """Return the files that may become the reference."""
    if not isinstance(reference, Path):
        return list(files)
    return [
        file
        for file in files
        if file == reference
        or file.resolve() == reference.resolve()
        or (reference.parent == Path(".") and file.name == reference.name)
    ]
