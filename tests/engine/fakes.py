"""Fake devices, to test how the engine uses them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from burstfix.engine.device import CpuDevice


class FakeGpu(CpuDevice):
    """A device that the engine treats as an Intel GPU; its tensors are on the CPU."""

    type = "xpu"

    def __init__(self, index: int | None = None) -> None:
        self.torch_device = torch.device("cpu")

    def __str__(self) -> str:
        return "xpu"

    @property
    def name(self) -> str:
        return "Fake GPU"

    def has_bfloat16(self) -> bool:
        return False


class _OneChannelOff(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.conv2d:
            result[:, -1] *= 1.5
        return result


class WrongGpu(FakeGpu):
    """A defective GPU: the last channel of each convolution is 1.5 times too large."""

    def autocast(self, dtype: torch.dtype) -> AbstractContextManager[object]:
        return _OneChannelOff()


class BrokenGpu(FakeGpu):
    """A GPU on which every operation fails."""

    def autocast(self, dtype: torch.dtype) -> AbstractContextManager[object]:
        raise NotImplementedError("operator is not implemented\nfor this device")
