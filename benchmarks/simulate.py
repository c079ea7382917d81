"""How many training bursts a second the simulator makes, beside what the network takes.

    python benchmarks/simulate.py recipes/kpn.toml --device cpu --threads 2
    python benchmarks/simulate.py recipes/two-stage.toml --device cuda

Three rates for the recipe's own bursts: the simulator alone, the network alone (loss, gradients, optimiser
step on one burst kept), and both in turn as training has them. A simulator that is several times as fast as
the network costs training little; data_share says how much. The pictures are noise: speed does not depend on
what they show. The figures hold for the machine they were taken on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from burstfix.evaluation.run import machine
from burstfix.models.catalog import build
from burstfix.sim import SimulatedBurst
from burstfix.training.loop import draw_burst
from burstfix.training.losses import OBJECTIVES
from burstfix.training.photos import PhotoStore
from burstfix.training.recipe import load_recipe
from burstfix.training.validation import crop_size


@click.command()
@click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True)
@click.option("--steps", default=10, show_default=True, help="Timed, after two that are not.")
@click.option("--threads", default=None, type=int, help="Processor threads to use.")
def main(recipe_path: Path, device: str, steps: int, threads: int | None) -> None:
    """Measures and prints one JSON document."""
    if threads:
        torch.set_num_threads(threads)
    recipe = load_recipe(recipe_path)
    settings = recipe.train
    place = torch.device(device)
    patch = 2 * (settings.patch + 2 * settings.margin)
    crop = crop_size(patch, recipe.simulate)
    pictures = [torch.randint(0, 256, (3, 800, 1000), dtype=torch.uint8).to(place) for _ in range(8)]
    store = PhotoStore(pictures, ["noise"] * len(pictures), [])
    model = build(recipe.model.name, recipe.model.config).to(place)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    autocast = torch.autocast(place.type, torch.bfloat16, enabled=settings.precision == "bfloat16")
    objective = OBJECTIVES[recipe.model.name]

    def draw(step: int) -> SimulatedBurst:
        return draw_burst(store, recipe, step, crop, patch)

    def learn(burst: SimulatedBurst, step: int) -> None:
        with autocast:
            losses = objective(model, burst, recipe, step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    # The same bursts in all three: their number of frames varies from step to step.
    kept = [draw(step) for step in range(steps)]

    def rate(work: Callable[[int], object]) -> float:
        """Bursts a second."""
        for step in range(min(2, steps)):
            work(step)
        _wait(place)
        started = time.perf_counter()
        for step in range(steps):
            work(step)
        _wait(place)
        return steps * settings.batch / (time.perf_counter() - started)

    simulator = rate(draw)
    network = rate(lambda step: learn(kept[step], step))
    together = rate(lambda step: learn(draw(step), step))
    document = {
        "recipe": recipe_path.name,
        "machine": machine(device),
        "batch": settings.batch,
        "side": patch,
        "frames": list(settings.frames),
        "simulator_bursts_per_second": round(simulator, 2),
        "network_bursts_per_second": round(network, 2),
        "training_bursts_per_second": round(together, 2),
        "data_share": round(together / simulator, 3),
    }
    click.echo(json.dumps(document, indent=2))


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)


if __name__ == "__main__":
    main()
