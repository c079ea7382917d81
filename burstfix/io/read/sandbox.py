"""Sandbox of the decoder process (Linux): no write access to files, no network access.

In the sandbox, a raw that exploits LibRaw can read files, but can neither change files nor send data.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from dataclasses import dataclass

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Restrictions of a process.

    Attributes:
        read_only: True if the process cannot create, change or remove files (Landlock).
        offline: True if the process cannot open network connections (it has a separate network namespace).
    """

    read_only: bool = False
    offline: bool = False


def enter() -> Sandbox:
    """Restrict this process and its children until they end, as far as the system supports it.

    Files that are already open stay writable. Call this before threads start, because Landlock restricts only
    the calling thread and the threads that it starts later.

    Returns:
        The restrictions that are active.
    """
    if sys.platform != "linux":
        return Sandbox()
    offline = _leave_network()  # first, because Landlock denies some ways to do it
    return Sandbox(read_only=_deny_writing(), offline=offline)


def _leave_network() -> bool:
    """Move to an empty network namespace, which has no route to any address."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is None:
        return False
    # Root does not need a user namespace, in which it could not read the files of other users.
    return unshare(_CLONE_NEWNET) == 0 or unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0


def _deny_writing() -> bool:
    """Deny write access to files and, where supported, TCP and signals to other processes."""
    try:
        from landlockpy import AccessFS, Ruleset, Scope
    except ImportError:
        return False
    reading = AccessFS.READ_FILE | AccessFS.READ_DIR
    scope = Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET
    with contextlib.suppress(OSError), Ruleset(handled_fs=~reading, scoped=scope) as rules:
        rules.restrict()
        return True
    return False
