"""Classes for devices, with everything that differs between CPU, CUDA, MPS and XPU.

Other modules use a `Device` instead of calling `torch.cuda` or comparing names of devices. To add a
backend, subclass `Device` here, add it to `BACKENDS` and its name to `DEVICE_TYPES`.
"""

from __future__ import annotations

import math
import platform
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import psutil
import torch

from burstfix.engine import host_memory
from burstfix.errors import UsageError
from burstfix.settings.kinds import DEVICE_TYPES

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


class Device:
    """A device on which models can run.

    Attributes:
        type: Name of the backend in torch.
        indexed: True if there may be several devices of this backend, identified by an index.
        torch_device: The device as a `torch.device`.
        max_tile_bytes: Maximum working memory of automatic tiles in bytes.
        max_tile_side: Largest side of automatic tiles in packed pixels.
    """

    type: ClassVar[str]
    indexed: ClassVar[bool] = False
    max_tile_bytes: ClassVar[float] = math.inf
    max_tile_side: ClassVar[float] = math.inf

    def __init__(self, index: int | None = None) -> None:
        self.torch_device = torch.device(self.type) if index is None else torch.device(self.type, index)

    def __str__(self) -> str:
        return str(self.torch_device)

    @classmethod
    def count(cls) -> int:
        """Number of usable devices of this backend on this machine."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Name of the hardware."""
        raise NotImplementedError

    def total_memory(self) -> int:
        """Total memory in bytes."""
        raise NotImplementedError

    def free_memory(self) -> int:
        """Memory in bytes that a merge can still allocate."""
        raise NotImplementedError

    def has_bfloat16(self) -> bool:
        """True if the hardware computes in bfloat16."""
        raise NotImplementedError

    def empty_cache(self) -> None:
        """Release memory that torch keeps in reserve."""

    def synchronize(self) -> None:
        """Wait until all queued work has finished."""

    def autocast(self, dtype: torch.dtype) -> AbstractContextManager[object]:
        """Return a context of automatic mixed precision in `dtype`. It has no effect for float32."""
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.type, dtype)


class CpuDevice(Device):
    """The processor and its memory."""

    type = "cpu"
    # Larger tiles are at most 5% faster and would leave less memory for other programs.
    max_tile_bytes = 0.6e9

    @classmethod
    def count(cls) -> int:
        """Always 1."""
        return 1

    @property
    def name(self) -> str:
        """Model name of the processor, if the system provides it."""
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
        except OSError:
            pass  # not Linux
        return platform.processor() or platform.machine()

    def total_memory(self) -> int:
        """Total memory of the machine in bytes, regardless of the limits of this process."""
        return psutil.virtual_memory().total

    def free_memory(self) -> int:
        """Free memory in bytes, within the limits of this process and its container."""
        return host_memory.free_memory()

    def has_bfloat16(self) -> bool:
        """True for x86 processors with bfloat16 instructions; other processors were not measured."""
        # `get_capabilities` is missing in some supported versions of torch.
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class CudaDevice(Device):
    """An NVIDIA GPU, or an AMD GPU in a ROCm build of torch."""

    type = "cuda"
    indexed = True
    max_tile_side = 1024  # larger tiles are not faster

    @classmethod
    def count(cls) -> int:
        """Number of usable devices."""
        module = cls._module()
        return module.device_count() if module.is_available() else 0

    @property
    def name(self) -> str:
        """Model name of the GPU."""
        return self._module().get_device_name(self.torch_device)

    def total_memory(self) -> int:
        """Memory of the GPU in bytes."""
        return self._module().mem_get_info(self.torch_device)[1]

    def free_memory(self) -> int:
        """Free memory in bytes, including what torch keeps in reserve."""
        module = self._module()
        free, _ = module.mem_get_info(self.torch_device)
        reserve = module.memory_reserved(self.torch_device) - module.memory_allocated(self.torch_device)
        return free + reserve

    def has_bfloat16(self) -> bool:
        """True for every CUDA device that current versions of torch support."""
        return True

    def empty_cache(self) -> None:
        """Return reserved memory to the driver."""
        self._module().empty_cache()

    def synchronize(self) -> None:
        """Wait until all queued kernels have finished."""
        self._module().synchronize(self.torch_device)

    @classmethod
    def _module(cls) -> Any:
        """Module of torch for this backend; the modules for CUDA and XPU have the same functions."""
        return getattr(torch, cls.type)


class XpuDevice(CudaDevice):
    """An Intel GPU. Not tested by us."""

    type = "xpu"

    def has_bfloat16(self) -> bool:
        """True if the driver reports support."""
        return bool(self._module().is_bf16_supported())


class MpsDevice(Device):
    """The GPU of an Apple processor. Not tested by us."""

    type = "mps"
    max_tile_side = 1024

    @classmethod
    def count(cls) -> int:
        """1 if torch can use it, 0 otherwise."""
        return int(torch.backends.mps.is_available())

    @property
    def name(self) -> str:
        """Name of the processor that the GPU is a part of."""
        return platform.processor() or "Apple GPU"

    def total_memory(self) -> int:
        """Memory limit in bytes that the system recommends for the GPU."""
        return torch.mps.recommended_max_memory()

    def free_memory(self) -> int:
        """Free memory in bytes; the GPU shares its memory with the processor."""
        free = self.total_memory() - torch.mps.current_allocated_memory()
        return max(0, min(free, host_memory.free_memory()))

    def has_bfloat16(self) -> bool:
        """Always False: support depends on the processor and was not measured."""
        return False

    def empty_cache(self) -> None:
        """Return reserved memory to the system."""
        torch.mps.empty_cache()

    def synchronize(self) -> None:
        """Wait until all queued kernels have finished."""
        torch.mps.synchronize()


BACKENDS: dict[str, type[Device]] = {cls.type: cls for cls in (CpuDevice, CudaDevice, MpsDevice, XpuDevice)}
"""All backends by name; the names are those of `settings.kinds.DEVICE_TYPES`."""


def all_devices() -> list[Device]:
    """Return every usable device of this machine, the CPU first."""
    return [
        backend(index if backend.indexed else None)
        for backend in BACKENDS.values()
        for index in range(backend.count())
    ]


def find_device(name: str | torch.device) -> Device:
    """Return the device with a name such as "cpu", "cuda" or "cuda:1".

    "auto" is not a device: `select_device` chooses one.

    Raises:
        UsageError: The name is unknown, or this machine has no such device.
    """
    match = re.fullmatch(r"([a-z]+)(?::(\d+))?", str(name))
    if match is None or match[1] not in BACKENDS:
        raise UsageError(f"device {str(name)!r} is unknown; use auto, {', '.join(DEVICE_TYPES)}")
    backend = BACKENDS[match[1]]
    index = int(match[2]) if match[2] else None
    count = backend.count()
    if (index or 0) >= count:
        raise UsageError(
            f"device {str(name)!r}: this machine has {count} usable {backend.type.upper()} devices; "
            "use auto or cpu, and see burstfix doctor"
        )
    return backend(index)


def pick_precision(precision: str, device: Device) -> torch.dtype:
    """Return the data type in which networks compute.

    "auto" is bfloat16 on devices that support it, otherwise float32.

    Raises:
        UsageError: The name is not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; use one of: {', '.join(PRECISIONS)}")
    if precision == "auto":
        return torch.bfloat16 if device.has_bfloat16() else torch.float32
    return getattr(torch, precision)
