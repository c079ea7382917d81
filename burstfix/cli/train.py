"""`burstfix train`: train a network from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.names import printable
from burstfix.settings import MergeSettings

EXAMPLES = (
    "burstfix train recipes/kpn.toml --photos photos/ --validation val/ -o runs/kpn",
    "burstfix train recipes/kpn.toml --photos photos.tar -o runs/kpn --minutes 60",
    "burstfix train recipes/kpn.toml --photos photos.tar -o runs/kpn --resume",
)


@click.command("train", epilog=epilog(*EXAMPLES))
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Photographs to train on: a picture, a folder or a .tar; may be given several times.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Photographs for validation; they must not be among --photos.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for the run: checkpoint, log, samples, weights.",
)
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in the output folder.")
@click.option(
    "--init-from",
    metavar="WEIGHTS",
    default=None,
    help="Start from these weights: the name of a built-in model, or a .safetensors file.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    metavar="MINUTES",
    help="Length of the run, instead of the recipe's steps: processor time on a CPU (pauses and other "
    "programs do not count), wall time on a GPU.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Number of processor threads.",
)
@options.settings([options.MERGE["device"]])
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    typed: dict[str, Any],
    recipe: Path,
    photos: tuple[Path, ...],
    validation: tuple[Path, ...],
    output: Path,
    resume: bool,
    init_from: str | None,
    minutes: float | None,
    threads: int | None,
) -> None:
    """Train a network on bursts simulated from photographs.

    RECIPE is a TOML file. The output folder contains checkpoint.pt, log.jsonl, plot.png (if matplotlib is
    installed), samples/ (with --validation) and the weights with their card. Under torchrun, each process
    simulates its own bursts.
    """
    import torch

    from burstfix.checkpoints import load_model
    from burstfix.training.distributed import is_main_process
    from burstfix.training.recipe import load_recipe
    from burstfix.training.run import Run

    settings = load_recipe(recipe)
    if threads:
        torch.set_num_threads(threads)
    run = Run(
        settings,
        list(photos),
        output,
        recipe_name=recipe.stem,
        validation=list(validation),
        device=MergeSettings(**typed).device,
        resume=resume,
        init_from=load_model(init_from) if init_from else None,
        minutes=minutes,
    )
    with terminal.progress() as progress:
        trained = run.train(progress)
    document = {
        "output": str(output.absolute()),
        "weights": str(trained.weights.absolute()),
        "step": trained.step,
        "steps": settings.train.steps if run.schedule.minutes is None else None,
        "minutes": run.schedule.minutes,
        "psnr": trained.psnr,
    }
    quality = ", ".join(f"{value:.2f} dB at {level} noise" for level, value in trained.psnr.items())
    text = f"{trained.weights}: {trained.step} steps" + (f", {quality}" if quality else "")
    if is_main_process():
        terminal.result(records.Train, document, lambda _: printable(text), closing=True)
