"""Choose the device of a command."""

from __future__ import annotations

import logging

from burstfix.engine.check import passes
from burstfix.engine.device import BACKENDS, CpuDevice, Device, find_device

_AUTO_ORDER = ("cuda", "xpu", "mps")

log = logging.getLogger(__name__)


def select_device(name: str) -> Device:
    """Return a device by name. "auto" is the first GPU that computes correctly, otherwise the CPU.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N", "mps", "xpu" or "xpu:N".

    Raises:
        UsageError: The name is unknown, or this machine has no such device.
        WeightsError: A GPU had to be checked, but the weights for the check are missing or damaged.
    """
    if name != "auto":
        return find_device(name)
    for backend in (BACKENDS[kind] for kind in _AUTO_ORDER):
        if backend.count() == 0:
            continue
        device = backend()
        if passes(device):
            return device
        log.warning(
            "%s computes wrongly and is not used (burstfix doctor shows the size of the error)", device
        )
    return CpuDevice()
