"""Measure the free memory of the host within the limits of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return the bytes that this process can still allocate.

    This is the minimum of three numbers: the available memory of the machine, the remaining memory of the
    control groups of this process (Linux), and its remaining address space (`ulimit -v`).
    """
    limits = (
        psutil.virtual_memory().available,
        container_memory(_CGROUPS, _OWN_CGROUPS),
        _address_space(),
    )
    return min(limit for limit in limits if limit is not None)


def peak_memory() -> int:
    """Return the largest number of bytes that this process has held in memory so far."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        # getrusage is not used, because its maximum includes the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def container_memory(root: Path, own_cgroups: Path) -> int | None:
    """Return the remaining bytes in the control groups (versions 1 and 2) of this process.

    A limit of a parent group also applies to its children, so all groups from that of the process up to the
    root are checked.

    Args:
        root: Mount point of the control groups, /sys/fs/cgroup.
        own_cgroups: File that names the groups of this process, /proc/self/cgroup.

    Returns:
        The smallest remainder, or None if there is no limit.
    """
    try:
        lines = own_cgroups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = ["0::/", "1:memory:/"]  # if the file is missing, try the root groups
    left: list[int] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:  # version 2; hybrid systems mount it below "unified"
            mounts, limit, usage = (root, root / "unified"), "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mounts, limit, usage = (root / "memory",), "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        for mount in mounts:
            # In a container, possibly only the mount point exists, not this path.
            group = mount / path.lstrip("/")
            chain = [group, *group.parents]
            left += _remainders(chain[: chain.index(mount) + 1], limit, usage)
    return min(left, default=None)


def _remainders(groups: list[Path], limit_file: str, usage_file: str) -> list[int]:
    """Return the remaining bytes in each of the groups that have a limit."""
    left: list[int] = []
    for group in groups:
        try:
            limit = int((group / limit_file).read_text())  # "max" means no limit and raises ValueError
            used = int((group / usage_file).read_text())
        except (OSError, ValueError):
            continue
        # Usage includes cached files, which the kernel drops when it needs memory.
        left.append(max(0, limit - used + _cached(group)))
    return left


def _cached(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def _address_space() -> int | None:
    """Return the remaining bytes of the address space, or None if it is not limited."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - psutil.Process().memory_info().vms)
