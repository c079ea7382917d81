"""`burstfix weights`: list models, import and average weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.errors import OutputError, UsageError
from burstfix.report.summary import shown_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from burstfix.models.base import BurstModel

EXAMPLES = (
    "burstfix weights list",
    "burstfix weights import G.pth DSNet.pth -o upstream.safetensors",
    "burstfix merge shots/*.dng -m upstream.safetensors",
    "burstfix weights average runs/a/kpn.safetensors runs/b/kpn.safetensors -o mean.safetensors",
)


@click.group("weights", invoke_without_command=True, epilog=epilog(*EXAMPLES))
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the models; import or average weights."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command("list", epilog=epilog(EXAMPLES[0]))
@options.verbosity
@options.pass_terminal
def list_weights(terminal: Terminal) -> None:
    """List all models with their weights, and the devices on which `auto` chooses them."""
    from burstfix.models.catalog import CATALOG, best_for, plugins
    from burstfix.settings.kinds import DEVICE_TYPES

    default = {device: best_for(device) for device in DEVICE_TYPES}
    models: list[dict[str, Any]] = []
    for entry in (*CATALOG, *plugins()):
        chosen = [device for device, name in default.items() if name == entry.name]
        models.append(
            {
                "name": entry.name,
                "weights": entry.weights,
                "usable": entry.usable,
                "default_on": chosen,
                "description": entry.description,
            }
        )
    terminal.result(records.Weights, {"models": models}, _table)


def _table(document: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table("model", "weights", "default on", "description", box=None, header_style="bold")
    for model in document["models"]:
        weights = model["weights"] or ("needs none" if model["usable"] else "none included")
        table.add_row(model["name"], weights, ", ".join(model["default_on"]), model["description"])
    return table


@command.command("import", epilog=epilog(*EXAMPLES[1:3]))
@click.argument("network", metavar="G.pth", type=click.Path(path_type=Path))
@click.argument("coarse", metavar="DSNet.pth", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The .safetensors file to write; its card (TOML) is written to the same folder.",
)
@click.option(
    "--noise-map",
    type=click.Choice(["std", "linear"]),
    default="std",
    show_default=True,
    help="Noise map as in the authors' test script (std) or in their training (linear).",
)
@click.option(
    "--patch",
    type=int,
    default=64,
    show_default=True,
    help="Block size of the alignment in packed pixels: 64 for 720p, 128 for 4K.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@options.verbosity
@options.pass_terminal
def import_weights(
    terminal: Terminal, network: Path, coarse: Path, output: Path, noise_map: str, patch: int, overwrite: bool
) -> None:
    """Convert the checkpoints of the two-stage network published by Guo et al. 2022.

    A file with missing or unexpected keys is refused. Code in the files is never executed.
    """  # fmt: skip
    _check_output(output, overwrite)

    from burstfix.checkpoints import save_weights
    from burstfix.checkpoints.upstream import import_two_stage

    model = import_two_stage(network, coarse, noise_map=noise_map, patch=patch)
    card = {
        "recipe": "imported from the authors' published checkpoints",
        "sources": [network.name, coarse.name],
    }
    save_weights(output, model, card)
    terminal.result(
        records.WrittenWeights,
        _written(output, model, (network, coarse)),
        lambda d: f"{shown_path(d['output'])}: {d['model']}, {d['parameters'] / 1e6:.1f} million parameters",
        closing=True,
    )


@command.command("average", epilog=epilog(EXAMPLES[-1]))
@click.argument("files", nargs=-1, required=True, metavar="FILES...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The .safetensors file to write; its card (TOML) is written to the same folder.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@options.verbosity
@options.pass_terminal
def average(terminal: Terminal, files: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Average the weights of several runs of one model."""
    _check_output(output, overwrite)

    from burstfix.training.average import average_weights

    model = average_weights(files, output)
    terminal.result(
        records.WrittenWeights,
        _written(output, model, files),
        lambda d: f"{shown_path(d['output'])}: {d['model']}, mean of {len(d['files'])} files",
        closing=True,
    )


def _written(output: Path, model: BurstModel, files: Sequence[Path]) -> dict[str, Any]:
    return {
        "output": str(output.absolute()),
        "model": model.info.name,
        "files": [str(file.absolute()) for file in files],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; choose a name with this suffix")
    if not overwrite and (output.exists() or output.with_suffix(".toml").exists()):
        raise OutputError(f"{output}: already exists; use --overwrite or another name")
