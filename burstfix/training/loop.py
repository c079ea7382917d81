"""The training loop, read from top to bottom.

Every step's data depends on the seed and the step's number alone, so a resumed run sees what an
uninterrupted one would have seen. Several devices (torchrun) each draw their own data and average gradients.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image
from torch.optim.swa_utils import get_ema_multi_avg_fn

from burstfix.engine.device import pick_device
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel
from burstfix.models.catalog import build
from burstfix.sim import SimulatedBurst, simulate_burst
from burstfix.training.checkpoint import load_checkpoint, save_checkpoint
from burstfix.training.losses import OBJECTIVES
from burstfix.training.photos import PhotoStore, load_photos
from burstfix.training.recipe import Recipe, TrainSettings, recipe_from_dict
from burstfix.training.validation import Validator, crop_size, load_validation_photos

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
# With 0.999 for the second, a gradient that grows suddenly moves weights three times as far as the learning
# rate says: a run blew up.
BETAS = (0.9, 0.99)
LOG = "log.jsonl"


@dataclass(frozen=True)
class Trained:
    """A finished (or stopped) run.

    Attributes:
        model: With the averaged (EMA) weights, in evaluation mode, on the CPU.
        step: Optimiser steps done in all.
        bursts: Trained on in all, by all processes.
        seconds: Training time in all.
        psnr: The last validation, in dB by noise level; empty without validation pictures.
        pictures: Names of the training pictures.
        machine: What it ran on last.
    """

    model: BurstModel
    step: int
    bursts: int
    seconds: float
    psnr: dict[str, float]
    pictures: list[str]
    machine: str


def train(
    recipe: Recipe,
    photos: list[Path],
    out: Path,
    *,
    validation: list[Path] | None = None,
    device: str = "auto",
    resume: bool = False,
    init_from: BurstModel | None = None,
    max_minutes: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:
    """Trains a network and leaves checkpoint.pt, log.jsonl and samples in `out`.

    Args:
        recipe: Settings.
        photos: Picture files, folders or tar archives to train on.
        out: Folder of the run, made if missing.
        validation: Pictures to validate on; none of them may be among `photos`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the checkpoint in `out`; the recipe must be the one it was begun with.
        init_from: A model whose weights to start from.
        max_minutes: Stop after this time with a complete checkpoint.
        progress: Called with ("train", step, steps).

    Raises:
        UsageError: The recipe names no trainable network, or does not match what is resumed.
        InputError: No usable pictures.
        OutputError: The checkpoint cannot be written.
    """
    started = time.monotonic()
    settings = recipe.train
    if recipe.model.name not in OBJECTIVES:
        raise UsageError(
            f"model {recipe.model.name!r} cannot be trained; choose from {', '.join(sorted(OBJECTIVES))}"
        )
    objective = OBJECTIVES[recipe.model.name]
    rank, world = _join_processes()
    place = _pick_device(device, rank)
    out.mkdir(parents=True, exist_ok=True)
    if not resume and (out / CHECKPOINT).exists():
        raise UsageError(f"{out}: holds a checkpoint already; resume it or choose another folder")

    patch = 2 * (settings.patch + 2 * settings.margin)
    crop = crop_size(patch, recipe.simulate)
    store = load_photos(photos, crop, place)
    validator = None
    if validation:
        validator = Validator(load_validation_photos(validation, recipe.simulate), recipe.simulate)

    torch.manual_seed(settings.seed)
    model = build(recipe.model.name, recipe.model.config).to(place)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if init_from is not None:
        model.start_from(init_from)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        _paced_groups(model, settings), betas=BETAS, weight_decay=settings.weight_decay
    )
    step, earlier_seconds = 0, 0.0
    if resume:
        content = load_checkpoint(out / CHECKPOINT)
        if recipe_from_dict(content["recipe"]) != recipe:
            raise UsageError(f"{out}: was begun with another recipe; resume needs the same one")
        model.load_state_dict(content["model"])
        ema.load_state_dict(content["ema"])
        optimizer.load_state_dict(content["optimizer"])
        step, earlier_seconds = content["step"], content["seconds"]

    def save() -> None:
        if rank == 0:
            state = {
                "model": model.state_dict(),
                "ema": ema.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            save_checkpoint(out / CHECKPOINT, recipe, step, spent(), store.names, state)

    def spent() -> float:
        return earlier_seconds + time.monotonic() - started

    def log(record: dict[str, Any]) -> None:
        if rank == 0:
            with open(out / LOG, "a", encoding="utf-8") as handle:
                handle.write(json.dumps({"step": step, "seconds": round(spent(), 1), **record}) + "\n")

    psnr: dict[str, float] = {}

    def validate() -> None:
        if validator is None or rank != 0:
            return
        found = validator.run(ema)
        psnr.update(found.psnr)
        log({"psnr": {level: round(value, 3) for level, value in found.psnr.items()}})
        logger.info("step %d: validation %s dB", step, found.psnr)
        (out / "samples").mkdir(exist_ok=True)
        Image.fromarray(found.samples).save(out / "samples" / f"{step:07d}.png")

    if step == 0:
        log({"recipe": asdict(recipe), "pictures": len(store.names), "skipped": len(store.skipped)})
    bfloat16 = torch.autocast(place.type, torch.bfloat16, enabled=settings.precision == "bfloat16")
    since, data_seconds, losses = time.monotonic(), 0.0, {}
    model.train()
    while step < settings.steps:
        if max_minutes is not None and _agree(time.monotonic() - started > 60 * max_minutes, place, world):
            break
        before = time.monotonic()
        burst = draw_burst(store, recipe, step, crop, patch, rank, world)
        data_seconds += time.monotonic() - before

        for group in optimizer.param_groups:
            group["lr"] = group["pace"] * learning_rate(settings, step)
        with bfloat16:
            losses = objective(model, burst, recipe, step)
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        _average_gradients(model, world)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        if torch.isfinite(norm):  # a single bad batch must not spoil the weights
            optimizer.step()
        else:
            logger.warning("step %d: gradient is not finite, step left out", step)
        _update_ema(ema, model, min(settings.ema, (1 + step) / (10 + step)))
        step += 1

        if step % settings.log_every == 0:
            elapsed = time.monotonic() - since
            log(
                {
                    "loss": round(loss.item(), 5),
                    "parts": {name: round(value.item(), 5) for name, value in losses.items()},
                    "learning_rate": learning_rate(settings, step - 1),
                    "gradient_norm": round(norm.item(), 4),
                    "bursts_per_second": round(settings.log_every * settings.batch * world / elapsed, 2),
                    "data_share": round(data_seconds / elapsed, 3),
                }
            )
            since, data_seconds = time.monotonic(), 0.0
            if progress:
                progress("train", step, settings.steps)
        if step % settings.validate_every == 0:
            validate()
            model.train()
        if step % settings.save_every == 0:
            save()
    if step % settings.validate_every or not psnr:
        validate()
    save()
    if world > 1:
        dist.destroy_process_group()
    return Trained(
        ema.cpu(), step, step * settings.batch * world, spent(), psnr, store.names, _machine(place, world)
    )


def draw_burst(
    store: PhotoStore, recipe: Recipe, step: int, crop: int, patch: int, rank: int = 0, world: int = 1
) -> SimulatedBurst:
    """The data of one step: depends on the recipe's seed, the step and the process alone.

    All processes get as many frames as each other, so that none waits for one with more.
    """
    settings = recipe.train
    device = store.pictures[0].device
    shape = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    low, high = settings.frames
    frames = int(torch.randint(low, high + 1, (), generator=shape))
    reference = int(torch.randint(0, frames, (), generator=shape))
    seed = settings.seed * 1_000_003 + step * world + rank
    generator = torch.Generator(device=device).manual_seed(seed)
    # Places are drawn where they are needed, on the CPU: asking a GPU for numbers stops it.
    places = generator if device.type == "cpu" else torch.Generator().manual_seed(seed)
    return simulate_burst(
        store.crops(settings.batch, crop, places),
        store.crops(settings.batch, crop, places),
        frames=frames,
        reference=reference,
        height=patch,
        width=patch,
        settings=recipe.simulate,
        generator=generator,
    )


def _paced_groups(model: BurstModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """Parameters by how fast they learn; those that do not are left out, and cost no gradient."""
    paces = {"coarse": settings.coarse_pace, "kernels": settings.kernels_pace}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, part in model.named_children():
        pace = paces.get(name, 1.0)
        if pace:
            groups.setdefault(pace, []).extend(part.parameters())
        else:
            part.requires_grad_(False)
    return [{"params": parameters, "pace": pace} for pace, parameters in groups.items()]


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, then a cosine from the peak to `final_rate` times the peak."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.learning_rate * (
        settings.final_rate + (1 - settings.final_rate) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    )


@torch.no_grad()
def _update_ema(ema: BurstModel, model: BurstModel, decay: float) -> None:
    get_ema_multi_avg_fn(decay)(list(ema.parameters()), list(model.parameters()), 0)


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or rank 0 under torchrun."""
    return os.environ.get("RANK", "0") == "0"


def _join_processes() -> tuple[int, int]:
    """Rank and number of processes; more than one only under torchrun."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", "0")), world


def _pick_device(device: str, rank: int) -> torch.device:
    if device == "auto" and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
    return pick_device(device)


def _agree(stop: bool, device: torch.device, world: int) -> bool:
    """Whether any process wants to stop."""
    if world == 1:
        return stop
    flag = torch.tensor(float(stop), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def _average_gradients(model: BurstModel, world: int) -> None:
    """One message for all weights: many small ones would cost more than the step."""
    if world == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    parts = (together / world).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _machine(device: torch.device, world: int) -> str:
    if device.type == "cuda":
        return f"{world} x {torch.cuda.get_device_name(device)}"
    return f"{world * torch.get_num_threads()} CPU threads"
