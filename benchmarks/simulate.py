"""Measure the speed of training: bursts per second of the simulator, of the network, and of both together.

    python benchmarks/simulate.py recipes/kpn.toml --device cpu --threads 2
    python benchmarks/simulate.py recipes/two-stage.toml --device cuda

Three rates are measured on the bursts of the recipe: the simulator alone, the network alone (loss, gradients
and optimiser step on bursts simulated beforehand), and both in turn, as in training. `data_share` is the
share of the simulation in the training time. The pictures contain random noise, because speed does not depend
on their content.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from burstfix.engine.device import find_device
from burstfix.evaluation.run import machine
from burstfix.models.catalog import build
from burstfix.sim import SimulatedBurst
from burstfix.training.batches import Patches, draw_burst, training_batch
from burstfix.training.photos import PhotoStore
from burstfix.training.recipe import load_recipe


@click.command()
@click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True)
@click.option("--steps", default=10, show_default=True, help="Timed steps, after two untimed ones.")
@click.option("--threads", default=None, type=int, help="Number of processor threads.")
def main(recipe_path: Path, device: str, steps: int, threads: int | None) -> None:
    """Measure the speed of training with RECIPE and print a JSON document."""
    if threads:
        torch.set_num_threads(threads)
    recipe = load_recipe(recipe_path)
    settings = recipe.train
    torch_device = torch.device(device)
    pictures = [torch.randint(0, 256, (3, 800, 1000), dtype=torch.uint8).to(torch_device) for _ in range(8)]
    store = PhotoStore(pictures, ["noise"] * len(pictures), [])
    model = build(recipe.model.name, recipe.model.config).to(torch_device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    autocast = torch.autocast(torch_device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")

    def draw(step: int) -> SimulatedBurst:
        return draw_burst(store, recipe, step)

    def learn(burst: SimulatedBurst, step: int) -> None:
        with autocast:
            losses = model.losses(training_batch(model, burst, recipe, step))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    # All three rates use the same bursts, because the number of frames varies from step to step.
    kept = [draw(step) for step in range(steps)]

    def rate(work: Callable[[int], object]) -> float:
        """Return the number of bursts per second."""
        for step in range(min(2, steps)):
            work(step)
        find_device(device).synchronize()
        started = time.perf_counter()
        for step in range(steps):
            work(step)
        find_device(device).synchronize()
        return steps * settings.batch / (time.perf_counter() - started)

    simulator = rate(draw)
    network = rate(lambda step: learn(kept[step], step))
    together = rate(lambda step: learn(draw(step), step))
    document = {
        "recipe": recipe_path.name,
        "machine": machine(device),
        "batch": settings.batch,
        "side": Patches.of(recipe).size,
        "frames": list(settings.frames),
        "simulator_bursts_per_second": round(simulator, 2),
        "network_bursts_per_second": round(network, 2),
        "training_bursts_per_second": round(together, 2),
        "data_share": round(together / simulator, 3),
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
