"""A training run, from photographs to a weights file.

Several processes (torchrun) each simulate their own bursts and average their gradients.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from burstfix.checkpoints import save_weights
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel
from burstfix.models.catalog import build
from burstfix.models.losses import Losses
from burstfix.training.batches import Patches, draw_burst, training_batch
from burstfix.training.checkpoint import load_checkpoint, save_checkpoint
from burstfix.training.distributed import Processes, is_main_process
from burstfix.training.photos import load_photos
from burstfix.training.plot import plot_log
from burstfix.training.recipe import Recipe, recipe_from_dict
from burstfix.training.schedule import Clock, Schedule
from burstfix.training.validation import Validator, load_validation_photos
from burstfix.types import Progress

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
# With 0.999 as the second value, a sudden increase of the gradient made steps three times too long, and
# training diverged.
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        model: Model with the averaged (EMA) weights, in evaluation mode, on the CPU.
        weights: File with these weights. Its card is beside it.
        step: Completed optimiser steps.
        bursts: Number of training bursts in all processes.
        seconds: Training time, see `Clock`.
        psnr: PSNR of the last validation in dB, by noise level; empty without validation pictures.
        pictures: Names of the training pictures.
        machine: Hardware of the last run.
    """

    model: BurstModel
    weights: Path
    step: int
    bursts: int
    seconds: float
    psnr: dict[str, float]
    pictures: list[str]
    machine: str


@dataclass(frozen=True)
class StepResult:
    """Outcome of one step.

    Attributes:
        losses: Loss terms.
        gradient_norm: Norm of the gradient before clipping.
        learning_rate: Learning rate of parameters with a scale of 1.
        data_seconds: Wall time for the simulation of bursts.
    """

    losses: Losses
    gradient_norm: Tensor
    learning_rate: float
    data_seconds: float


class Run:
    """A training run. `train` runs it and writes checkpoint, log, samples, plot and weights to `out`.

    Args:
        recipe: Settings.
        photos: Picture files, folders or tar archives to train on.
        out: Folder of the run; created if missing.
        recipe_name: Name of the recipe, for the card of the weights.
        validation: Pictures for validation, which must not be among `photos`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Continue from the checkpoint in `out`. The recipe must be the same.
        init_from: Model that provides the initial weights.
        minutes: Length of the run, see `Clock` and `Schedule`; None = the `steps` of the recipe. It includes
            the time of earlier runs. A resumed run keeps its length unless another length is given.

    Raises:
        UsageError: The model cannot be trained, or the recipe differs from that of the resumed run.
        InputError: No picture is usable.
    """

    def __init__(
        self,
        recipe: Recipe,
        photos: list[Path],
        out: Path,
        *,
        recipe_name: str = "",
        validation: list[Path] | None = None,
        device: str = "auto",
        resume: bool = False,
        init_from: BurstModel | None = None,
        minutes: float | None = None,
    ) -> None:
        self.recipe, self.settings, self.out, self.recipe_name = recipe, recipe.train, out, recipe_name
        if not resume and (out / CHECKPOINT).exists():
            raise UsageError(f"{out}: contains a checkpoint; add --resume, or choose another folder")
        self.processes = Processes.join(device)
        self.device = self.processes.device

        torch.manual_seed(self.settings.seed)
        model = build(recipe.model.name, recipe.model.config)
        groups = parameter_groups(model, self.settings.lr_scale)
        model = model.to(self.device)
        self.model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if init_from is not None:
            self.model.start_from(init_from)
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=self.settings.weight_decay)
        self.step, self.earlier_seconds, self.psnr = 0, 0.0, {}
        if resume:
            earlier = self._load_checkpoint()
            minutes = earlier if minutes is None else minutes
        self.schedule = Schedule(self.settings, minutes)

        self.photos = load_photos(photos, Patches.of(recipe).crop, self.device)
        self.validator = None
        if validation and self.processes.rank == 0:
            self.validator = Validator(load_validation_photos(validation, recipe.simulate), recipe.simulate)
        out.mkdir(parents=True, exist_ok=True)

    def train(self, progress: Progress | None = None) -> Trained:
        """Train to the end of the schedule.

        Args:
            progress: Called with ("train", done, total): steps, or seconds in a run with a time limit.

        Raises:
            OutputError: A file of the run cannot be written.
        """
        settings = self.settings
        self.clock = Clock(self.device, self.earlier_seconds)
        if self.step == 0:
            found = {"pictures": len(self.photos.names), "skipped": len(self.photos.skipped)}
            self._log({"recipe": asdict(self.recipe), "minutes": self.schedule.minutes, **found})
        since, data_seconds, validated = time.monotonic(), 0.0, False
        self.model.train()
        while (done := self._progress()) < 1:
            result = self._train_step(done)
            self.step += 1
            data_seconds += result.data_seconds
            validated = False
            if self.step % settings.log_every == 0:
                self._log_step(result, time.monotonic() - since, data_seconds)
                since, data_seconds = time.monotonic(), 0.0
                if progress:
                    progress("train", *self._done())
            if self.step % settings.validate_every == 0:
                self._validate()
                validated = True
            if self.step % settings.save_every == 0:
                self._save_checkpoint()
        if not validated:
            self._validate()
        self._save_checkpoint()
        self.processes.leave()
        return self._finish()

    def _progress(self) -> float:
        seconds = self.clock.seconds()
        if self.schedule.minutes is not None:  # because all processes must stop after the same step
            seconds = self.processes.largest(seconds)
        return self.schedule.progress(self.step, seconds)

    def _done(self) -> tuple[int, int]:
        """Return the completed and the total number of steps, or of seconds in a run with a time limit."""
        if self.schedule.minutes is None:
            return self.step, self.settings.steps
        total = round(60 * self.schedule.minutes)
        return min(round(self.clock.seconds()), total), total

    def _train_step(self, done: float) -> StepResult:
        rate = self.schedule.learning_rate(self.step, done)
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * rate
        before = time.monotonic()
        burst = draw_burst(self.photos, self.recipe, self.step, self.processes.rank, self.processes.count)
        data_seconds = time.monotonic() - before
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            batch = training_batch(self.model, burst, self.recipe, self.step, done)
            losses = self.model.losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.model)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        if torch.isfinite(norm):  # one bad batch must not damage the weights
            self.optimizer.step()
        else:
            logger.warning("step %d: skipped, its gradient is not finite", self.step)
        self._update_ema()
        return StepResult(losses, norm, rate, data_seconds)

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(list(self.ema.parameters()), list(self.model.parameters()), 0)

    def _log(self, record: dict[str, Any]) -> None:
        if self.processes.rank == 0:
            facts = {"step": self.step, "seconds": round(self.clock.seconds(), 1)}
            with open(self.out / LOG, "a", encoding="utf-8") as handle:
                handle.write(json.dumps({**facts, **record}) + "\n")

    def _log_step(self, result: StepResult, elapsed: float, data_seconds: float) -> None:
        bursts = self.settings.log_every * self.settings.batch * self.processes.count
        self._log(
            {
                "loss": round(sum(value.item() for value in result.losses.values()), 5),
                "parts": {name: round(value.item(), 5) for name, value in result.losses.items()},
                "learning_rate": result.learning_rate,
                "gradient_norm": round(result.gradient_norm.item(), 4),
                "bursts_per_second": round(bursts / elapsed, 2),
                "data_share": round(data_seconds / elapsed, 3),
            }
        )

    def _validate(self) -> None:
        if self.validator is None:
            return
        found = self.validator.run(self.ema)
        self.psnr = found.psnr
        self._log({"psnr": {level: round(value, 3) for level, value in found.psnr.items()}})
        logger.info("step %d: validation %s dB", self.step, found.psnr)
        (self.out / "samples").mkdir(exist_ok=True)
        Image.fromarray(found.samples).save(self.out / "samples" / f"{self.step:07d}.png")

    def _save_checkpoint(self) -> None:
        if self.processes.rank == 0:
            save_checkpoint(
                self.out / CHECKPOINT,
                self.recipe,
                step=self.step,
                seconds=self.clock.seconds(),
                minutes=self.schedule.minutes,
                data=self.photos.names,
                state={
                    "model": self.model.state_dict(),
                    "ema": self.ema.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                },
            )

    def _load_checkpoint(self) -> float | None:
        """Restore the state of the run; return its length in minutes, or None if it has no time limit."""
        content = load_checkpoint(self.out / CHECKPOINT)
        if recipe_from_dict(content["recipe"]) != self.recipe:
            raise UsageError(f"{self.out}: was started with another recipe; resume with the same one")
        self.model.load_state_dict(content["model"])
        self.ema.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.earlier_seconds = content["step"], content["seconds"]
        return content["minutes"]

    def _finish(self) -> Trained:
        """Write the weights with their card, and the plot."""
        trained = Trained(
            model=self.ema.cpu(),
            weights=self.out / f"{self.recipe.model.name.split(':')[-1]}.safetensors",
            step=self.step,
            bursts=self.step * self.settings.batch * self.processes.count,
            seconds=self.clock.seconds(),
            psnr=self.psnr,
            pictures=self.photos.names,
            machine=self.processes.machine(),
        )
        if is_main_process():
            save_weights(trained.weights, trained.model, make_card(self.recipe_name, trained))
            plot_log(self.out / LOG, self.out / "plot.png")
        return trained


def parameter_groups(model: BurstModel, lr_scale: dict[str, float]) -> list[dict[str, Any]]:
    """Group the parameters by learning rate. Parameters with a scale of 0 are frozen and left out.

    Args:
        model: Model, which declares the scales of its parts in `lr_scale`.
        lr_scale: Mapping from parts (attributes of the model) to scales that override those of the model.

    Raises:
        UsageError: The model lacks a part in `lr_scale`, or has no parameters to train.
    """
    scales = {**model.lr_scale, **lr_scale}
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    if unknown := sorted(set(lr_scale) - parts):
        raise UsageError(
            f"recipe.train.lr_scale: model {model.info.name!r} has no part {unknown[0]!r}; "
            f"its parts are {', '.join(sorted(parts))}"
        )
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = scales.get(name.split(".")[0], 1.0)
        if not scale:
            parameter.requires_grad_(False)
        elif parameter.requires_grad:
            groups.setdefault(scale, []).append(parameter)
    if not groups:
        raise UsageError(f"model {model.info.name!r} has no parameters to train")
    return [{"params": parameters, "lr_scale": scale} for scale, parameters in groups.items()]


def make_card(recipe_name: str, trained: Trained) -> dict[str, Any]:
    """Return the card of the weights: data, steps, hours, recipe, validation."""
    archives = sorted({name.split("/")[0] for name in trained.pictures})
    return {
        "recipe": recipe_name,
        "steps": trained.step,
        "bursts": trained.bursts,
        "hours": round(trained.seconds / 3600, 3),
        "machine": trained.machine,
        "pictures": len(trained.pictures),
        "data": archives if len(archives) <= 20 else [f"{len(archives)} picture files"],
        "validation_psnr_db": {level: round(value, 3) for level, value in trained.psnr.items()},
    }
