"""Measure how much each part of the two-stage network contributes, by switching it off during validation.

    python benchmarks/parts.py photos/val -m two-stage

The benchmark prints the mean PSNR over simulated bursts at both noise levels, and the paired difference from
the whole network with its standard error. The parts are switched off at inference, without new training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from burstfix.align.blocks import CELL, BlockField
from burstfix.checkpoints import load_model
from burstfix.models.two_stage import GroupWarp, TwoStage
from burstfix.sim import SimSettings
from burstfix.training.validation import Validator, load_validation_photos


def without_block_matching(model: TwoStage) -> None:
    """Use only the offsets of the global motion."""
    model.match = lambda reference, frame, initial: BlockField(initial.round().long(), CELL)  # type: ignore[method-assign]


def without_deformation(model: TwoStage) -> None:
    """Do not move the features of any frame."""
    for warp in model.warp:
        assert isinstance(warp, GroupWarp)
        warp.forward = lambda x, guide, join=warp.join: join(x)  # type: ignore[method-assign]


def without_pyramid(model: TwoStage) -> None:
    """Deform at the finest level only."""
    for warp in list(model.warp)[1:]:
        assert isinstance(warp, GroupWarp)
        warp.forward = lambda x, guide, join=warp.join: join(x)  # type: ignore[method-assign]


def without_fusion(model: TwoStage) -> None:
    """Give the recurrent unit only the reference."""
    fuse = model._fuse
    model._fuse = lambda moved, reference: fuse([moved[reference]], 0)  # type: ignore[method-assign]


def without_backward_fusion(model: TwoStage) -> None:
    """Give the recurrent unit only the frames before the reference."""
    fuse = model._fuse
    model._fuse = lambda moved, reference: fuse(moved[: reference + 1], reference)  # type: ignore[method-assign]


def without_unet(model: TwoStage) -> None:
    """Skip the lower levels of the U-Net."""

    def unet(x: Tensor, fused: Tensor | None) -> Tensor:
        top = model.encode(x, fused)
        below = top.new_zeros(len(top), model.up1.second.out_channels, *top.shape[-2:])
        return model.up0(torch.cat([below, top], 1))

    model._unet = unet  # type: ignore[method-assign]


PARTS: dict[str, Callable[[TwoStage], None]] = {
    "whole network": lambda model: None,
    "without block matching": without_block_matching,
    "without refined alignment": without_deformation,
    "without the coarse levels of refined alignment": without_pyramid,
    "without recurrent fusion": without_fusion,
    "without its backward direction": without_backward_fusion,
    "without the lower levels of the U-Net": without_unet,
}


@click.command()
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", "name", default="two-stage", show_default=True)
@click.option("--bursts", default=64, show_default=True, help="Bursts per noise level, a multiple of 4.")
def main(photos: Path, name: str, bursts: int) -> None:
    """Print a table of the parts."""
    settings = SimSettings()
    validator = Validator(load_validation_photos([photos], settings), settings, bursts)
    whole: dict[str, np.ndarray] = {}
    click.echo(
        f"| {bursts} bursts per level | "
        + " | ".join(f"{level} noise, dB" for level in validator.bursts)
        + " |"
    )
    click.echo("|---|" + "---:|" * len(validator.bursts))
    for title, switch_off in PARTS.items():
        model = load_model(name)
        if not isinstance(model, TwoStage):
            raise click.BadParameter(f"{name} is not a two-stage network", param_hint="--model")
        switch_off(model)
        cells = []
        for level, values in validator.run(model).each.items():
            found = np.array(values)
            difference = found - whole.setdefault(level, found)
            error = difference.std(ddof=1) / len(difference) ** 0.5
            paired = f" ({difference.mean():+.2f} ± {error:.2f})" if difference.any() else ""
            cells.append(f"{found.mean():.2f}{paired}")
        click.echo(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
