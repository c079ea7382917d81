"""Which device and which precision a merge runs in, and what running out of memory looks like there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from burstfix.errors import UsageError

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "defaultcpuallocator")
"""How torch words it when it has no exception type of its own for it (CPU, cuDNN, cuBLAS)."""


def pick_device(device: str) -> torch.device:
    """The device of a name: "auto" (CUDA where there is one, else CPU), "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: There is no such device here, or merging does not run on it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device {device!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if place.type not in ("cpu", "cuda"):
        raise UsageError(f"device {device!r} is not supported; use auto, cpu, cuda or cuda:N")
    if place.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (place.index or 0) >= count:
            raise UsageError(
                f"device {device!r}: this machine has {count} usable CUDA devices; use auto or cpu"
            )
    return place


def pick_precision(precision: str, place: torch.device) -> torch.dtype:
    """The number format that networks compute in.

    "auto" is bfloat16 on CUDA and on CPUs that have instructions for it, float32 on others.

    Raises:
        UsageError: The name is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; use one of: {', '.join(PRECISIONS)}")
    if precision == "auto":
        fast = place.type == "cuda" or _cpu_has_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, precision)


def _cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 (x86 alone: elsewhere torch was not measured)."""
    # Public, but not in every torch that we allow: float32 then.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def computing_in(dtype: torch.dtype, place: torch.device) -> AbstractContextManager[object]:
    """Automatic mixed precision, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(place.type, dtype)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, rather than that something is broken."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
