"""Check that a device computes correctly: compare a merge on it with one on the CPU in float32.

This guards against faulty hardware and drivers that we cannot test. Results are stored in the user's cache
folder, so that each device is checked once per version of torch and of burstfix.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from burstfix._version import __version__
from burstfix.checkpoints import load_model
from burstfix.engine.device import CpuDevice, Device
from burstfix.engine.infer import merge_tiled
from burstfix.models.base import BurstModel
from burstfix.types import Burst, ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile

TOLERANCES = {"float32": 1e-3, "bfloat16": 1e-2}
"""Maximum difference from the CPU in float32 at any pixel, as a fraction of white.

Correct devices stay well below it. Measured: 3e-4 with convolutions in TF32, which CUDA uses for float32, and
3e-3 in bfloat16. One wrong channel in each convolution gives 9e-3 in float32.
"""

_HEIGHT, _WIDTH, _FRAMES, _STEP = 192, 224, 3, 6  # sensor pixels
_BLACK, _WHITE = 64.0, 1023.0
_NOISE = NoiseProfile.uniform(1e-4, 1e-6)  # low, so that block matching is unambiguous
_CACHE_FILE = "devices.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of checking one device in one precision.

    Attributes:
        device: Name for `--device`.
        precision: "float32" or "bfloat16".
        difference: Largest difference from the CPU as a fraction of white; infinite if the merge failed.
        error: Reason why the merge failed, or "".
    """

    device: str
    precision: str
    difference: float
    error: str = ""

    @property
    def passed(self) -> bool:
        """True if the difference is within `TOLERANCES`."""
        return self.difference <= TOLERANCES[self.precision]


def check_device(device: Device) -> list[CheckResult]:
    """Merge the built-in burst on a device in float32 and, if the device supports it, in bfloat16.

    The burst is merged with the average and with the default network; the larger difference counts.

    Raises:
        WeightsError: The weights of the default network are missing or damaged.
    """
    precisions = ["float32", "bfloat16"] if device.has_bfloat16() else ["float32"]
    return [_compare(device, precision) for precision in precisions]


def passes(device: Device) -> bool:
    """Return True if a device computes correctly; use the stored result if there is one.

    Raises:
        WeightsError: See `check_device`.
    """
    path = cache_folder() / _CACHE_FILE
    key = _cache_key(device)
    known = _read_cache(path).get(key)
    if isinstance(known, bool):
        return known
    log.info("checking whether %s (%s) computes correctly; this is done once", device, device.name)
    results = check_device(device)
    remember(device, results)
    return all(result.passed for result in results)


def remember(device: Device, results: list[CheckResult]) -> None:
    """Store the outcome in the cache, if the cache can be written."""
    path = cache_folder() / _CACHE_FILE
    known = {**_read_cache(path), _cache_key(device): all(result.passed for result in results)}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=2)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)


def cache_folder() -> Path:
    """Return the cache folder of burstfix; it may not exist yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "burstfix"


def built_in_burst() -> Burst:
    """Return the burst to merge: three noisy frames of a textured scene, shifted at constant speed."""
    rng = np.random.default_rng(0)
    reach = _STEP * _FRAMES
    scene = _scene(_HEIGHT + 2 * reach, _WIDTH + 2 * reach, rng)
    metadata = FrameMetadata(
        Path("built-in.dng"),
        _HEIGHT,
        _WIDTH,
        "RGGB",
        Levels(np.full((2, 2), _BLACK, np.float32), _WHITE),
        ColorProfile(np.eye(3), np.ones(3)),
    )
    frames, motions = [], []
    for k in range(_FRAMES):
        move = _STEP * (k - _FRAMES // 2)
        view = scene[reach - move : reach - move + _HEIGHT, reach - move : reach - move + _WIDTH]
        deviation = np.sqrt(view * _NOISE.shot_gain[0] + _NOISE.read_variance[0])
        noisy = view + deviation * rng.standard_normal(view.shape)
        mosaic = np.clip(np.rint(_BLACK + noisy * (_WHITE - _BLACK)), 0, _WHITE)
        frames.append(Frame(mosaic.astype(np.uint16), metadata))
        motions.append(GlobalMotion(float(move), float(move)))
    no_pixels = np.zeros((0, 2), np.int32)
    return Burst(tuple(frames), _FRAMES // 2, _NOISE, tuple(motions), (1.0,) * _FRAMES, no_pixels)


def _scene(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an RGGB mosaic in 0.1..0.8 of smooth random texture, which has no repeating pattern."""
    coarse = rng.uniform(size=(height // 8 + 2, width // 8 + 2))
    ys, xs = np.arange(height) / 8, np.arange(width) / 8
    y0, x0 = ys.astype(int), xs.astype(int)
    y, x = (ys - y0)[:, None], xs - x0
    top = coarse[y0][:, x0] * (1 - x) + coarse[y0][:, x0 + 1] * x
    bottom = coarse[y0 + 1][:, x0] * (1 - x) + coarse[y0 + 1][:, x0 + 1] * x
    mosaic = 0.1 + 0.7 * (top * (1 - y) + bottom * y)
    mosaic[::2, ::2] *= 0.6  # red
    mosaic[1::2, 1::2] *= 0.8  # blue
    return mosaic


def _compare(device: Device, precision: str) -> CheckResult:
    burst, difference = built_in_burst(), 0.0
    for name in ("average", "auto"):
        model = load_model(name, device.torch_device)
        try:
            merged = merge_tiled(burst, model, device=device, precision=precision).data
        except Exception as error:  # a faulty driver can raise any exception
            first_line = (str(error).splitlines() or [""])[0]
            return CheckResult(str(device), precision, float("inf"), first_line or type(error).__name__)
        largest = float(np.abs(merged - _expected(name, str(device.type))).max())
        difference = max(difference, largest if np.isfinite(largest) else float("inf"))
    return CheckResult(str(device), precision, difference)


@cache
def _expected(name: str, device_type: str) -> NDArray[np.float32]:
    """Return the CPU's result in float32, with the model that `device_type` would use."""
    model: BurstModel = load_model(name, device_type)
    return merge_tiled(built_in_burst(), model, device=CpuDevice(), precision="float32").data


def _cache_key(device: Device) -> str:
    index = device.torch_device.index or 0  # "cuda" is the same device as "cuda:0"
    return f"{device.type}:{index} ({device.name}), torch {torch.__version__}, burstfix {__version__}"


def _read_cache(path: Path) -> dict[str, object]:
    """Return the stored outcomes; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
