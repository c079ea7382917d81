"""Versions of burstfix, its libraries, and the system."""

from __future__ import annotations

import importlib.metadata
import platform

from burstfix._version import __version__

_PACKAGES = ("torch", "numpy", "rawpy", "tifffile", "imagecodecs", "safetensors")


def installed_versions() -> dict[str, str]:
    """Return the versions of packages, LibRaw, Python and the system, by name."""
    found = {"burstfix": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {
        **found,
        "torch": _torch(),
        "LibRaw": _libraw(),
        "Python": platform.python_version(),
        "system": platform.platform(),
    }


def _torch() -> str:
    import torch

    return torch.__version__  # includes the build, such as +cpu


def _libraw() -> str:
    try:
        import rawpy
    except ImportError as error:
        return f"cannot be loaded ({error})"
    return ".".join(map(str, rawpy.libraw_version))
