"""Training in several processes (torchrun), one per device or core, with shared gradients and decisions."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from burstfix.engine.device import CudaDevice, find_device
from burstfix.engine.select import select_device


def is_main_process() -> bool:
    """Return True in the process that writes files: the only process, or rank 0."""
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run.

    Attributes:
        rank: Number of this process, counted from 0.
        count: Number of processes.
        device: Device of this process.
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> Processes:
        """Join the other processes if torchrun has started this one, and choose the device.

        Args:
            device: Name as for `select_device`. "auto" gives each process its own GPU.
        """
        rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if count > 1:
            dist.init_process_group("nccl" if CudaDevice.count() else "gloo")
        chosen = select_device(device)
        if device == "auto" and chosen.type == "cuda":
            chosen = CudaDevice(int(os.environ.get("LOCAL_RANK", rank)))
        return cls(rank, count, chosen.torch_device)

    def leave(self) -> None:
        """End the communication between processes."""
        if self.count > 1:
            dist.destroy_process_group()

    def largest(self, value: float) -> float:
        """Return the largest of the values that the processes pass. Every process gets the same result."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared.item()

    def average_gradients(self, model: nn.Module) -> None:
        """Replace gradients by their mean over all processes, with a single message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        parts = (together / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def machine(self) -> str:
        """Describe the hardware, for the card of the weights."""
        if self.device.type == "cpu":
            return f"{self.count * torch.get_num_threads()} CPU threads"
        return f"{self.count} x {find_device(self.device).name}"
