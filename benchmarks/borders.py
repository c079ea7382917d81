"""Measure the quality of a merge near the border of the picture, which most frames do not cover.

    python benchmarks/borders.py photos/ -m kpn -m average

Bursts with camera shake are simulated as in `burstfix evaluate --photos`. The benchmark prints PSNR in dB on
display RGB for rings of pixels at different distances from the border, over all photographs together.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.engine.infer import merge_tiled
from burstfix.evaluation.protocol import Limits, find_photos, photo_case

RINGS = (0, 4, 16, 48)
"""Distance from the border, in sensor pixels, at which each ring begins."""


def rings(error: Tensor) -> Tensor:
    """Add up squared errors (3, H, W) by ring: (rings, 2) with sum and number of values."""
    height, width = error.shape[-2:]
    y, x = torch.arange(height)[:, None], torch.arange(width)
    depth = torch.minimum(torch.minimum(y, height - 1 - y), torch.minimum(x, width - 1 - x))
    which = torch.bucketize(depth, torch.tensor(RINGS[1:]), right=True)
    parts = [error[:, which == k] for k in range(len(RINGS))]
    return torch.tensor([[part.sum(), part.numel()] for part in parts])


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("kpn",),
    help="Name or weights file of a model; may be given several times.",
)
@click.option("--level", default="high", show_default=True, help="Noise level: high, low or base.")
def main(photos: tuple[Path, ...], models: tuple[str, ...], level: str) -> None:
    """Compare models near the borders of bursts simulated from PHOTOS."""
    networks = {name: load_model(name) for name in models}
    sums = {name: torch.zeros(len(RINGS), 2) for name in models}
    for photo in find_photos(photos):
        case = photo_case(photo, level, Limits())
        for name, network in networks.items():
            shown = case.shown(merge_tiled(case.burst, network, device="cpu").data)
            sums[name] += rings((shown - case.truth) ** 2)
    bounds = [f"{low} to {high} px" for low, high in zip(RINGS, (*RINGS[1:], "..."), strict=True)]
    for name, total in sums.items():
        psnr = -10 * torch.log10(total[:, 0] / total[:, 1])
        found = ", ".join(f"{bound} {value:.2f}" for bound, value in zip(bounds, psnr.tolist(), strict=True))
        print(f"{name}: {found} dB")  # noqa: T201


if __name__ == "__main__":
    main()
