"""Examine an installation, for `burstfix doctor`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from burstfix.checkpoints import load_model, weights_folder
from burstfix.engine.check import TOLERANCES, CheckResult, cache_folder, check_device, remember
from burstfix.engine.device import CpuDevice, Device, all_devices
from burstfix.errors import BurstfixError, InputError, WeightsError
from burstfix.io.read.decoder_client import shared_client
from burstfix.io.read.sandbox import Sandbox
from burstfix.models.catalog import CATALOG
from burstfix.native import lanes
from burstfix.report.versions import installed_versions

LOOPS = {0: "none", 8: "AVX2", 16: "AVX512"}
"""Instruction set of the compiled loops by the number of floats in a vector."""
DEVICE_FAULT, WEIGHTS_FAULT = 1, WeightsError.exit_code


@dataclass(frozen=True, slots=True)
class Examination:
    """Findings as a JSON document, and the resulting exit code.

    Attributes:
        document: See docs/cli.md.
        exit_code: 0; 7 if weights are missing or damaged; 1 if a device computes wrongly.
    """

    document: dict[str, Any]
    exit_code: int


def examine(settings_files: Sequence[Path]) -> Examination:
    """Examine versions, devices, weights and settings files.

    Every device is checked again, and the outcome is stored for `--device auto`.

    Args:
        settings_files: Files that may contain the user's settings.
    """
    weights = [_weights(entry.name, entry.weights) for entry in CATALOG if entry.weights]
    damaged = [f"{one['file']}: {one['error']}" for one in weights if one["error"]]
    devices = [_device(device, check=not damaged) for device in all_devices()]
    wrong = [problem for device in devices for problem in device["problems"]]
    document = {
        "versions": installed_versions(),
        "cpu": _cpu(),
        "decoder": _decoder(),
        "devices": devices,
        "weights": weights,
        "settings_files": [{"path": str(path), "exists": path.is_file()} for path in settings_files],
        "cache_folder": str(cache_folder()),
        "problems": damaged + wrong,
    }
    return Examination(document, WEIGHTS_FAULT if damaged else DEVICE_FAULT if wrong else 0)


def lines(document: Mapping[str, Any]) -> list[str]:
    """Return the findings as lines of text."""
    versions, cpu = document["versions"], document["cpu"]
    bfloat16 = "computes in bfloat16" if cpu["bfloat16"] else "no bfloat16"
    text = [
        "versions   " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"processor  {cpu['name']}: {cpu['capability']}, {bfloat16}, {cpu['threads']} threads",
        f"loops      {_loops_line(cpu['compiled_loops'])}",
    ]
    decoder = document["decoder"]
    files = "cannot change files" if decoder["read_only"] else "can change files"
    network = "no network" if decoder["offline"] else "has network access"
    text.append(f"decoder    {decoder['error'] or f'{files}, {network}'}")
    for device in document["devices"]:
        free, total = device["free_memory"] / 1e9, device["total_memory"] / 1e9
        text.append(f"device     {device['name']}: {device['hardware']}, {free:.1f} of {total:.1f} GB free")
        text += [f"           {_check_line(check)}" for check in device["checks"]]
        if not device["checks"]:
            text.append("           not checked, because that needs intact weights")
    for one in document["weights"]:
        text.append(f"weights    {one['model']}: {one['file']}: {one['error'] or 'intact'}")
    for file in document["settings_files"]:
        text.append(f"settings   {file['path']}{'' if file['exists'] else ' (does not exist)'}")
    text.append(f"cache      {document['cache_folder']}")
    text += [f"PROBLEM    {problem}" for problem in document["problems"]]
    return text if document["problems"] else [*text, "no problems found"]


def _loops_line(loops: str) -> str:
    if loops == "none":
        return "not compiled, or not for this processor: merges on it take up to twice as long"
    return f"compiled, {loops}"


def _cpu() -> dict[str, Any]:
    device = CpuDevice()
    return {
        "name": device.name,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "compiled_loops": LOOPS[lanes()],
        "bfloat16": device.has_bfloat16(),
        "threads": torch.get_num_threads(),
    }


def _decoder() -> dict[str, Any]:
    try:
        sandbox, error = shared_client().sandbox(), ""
    except InputError as fault:
        sandbox, error = Sandbox(), str(fault)
    return {"read_only": sandbox.read_only, "offline": sandbox.offline, "error": error}


def _weights(model: str, file: str) -> dict[str, str]:
    try:
        load_model(model)
        error = ""
    except BurstfixError as fault:
        error = str(fault)
    return {"model": model, "file": str(weights_folder() / file), "error": error}


def _device(device: Device, *, check: bool) -> dict[str, Any]:
    results = check_device(device) if check else []
    if results:
        remember(device, results)
    return {
        "name": str(device),
        "hardware": device.name,
        "free_memory": device.free_memory(),
        "total_memory": device.total_memory(),
        "checks": [_check(result) for result in results],
        "problems": [_problem(device, result) for result in results if not result.passed],
    }


def _check(result: CheckResult) -> dict[str, Any]:
    finite = math.isfinite(result.difference)
    return {
        "precision": result.precision,
        "difference": result.difference if finite else None,  # JSON has no infinity
        "tolerance": TOLERANCES[result.precision],
        "passed": result.passed,
        "error": result.error,
    }


def _check_line(check: dict[str, Any]) -> str:
    verdict = "correct" if check["passed"] else "WRONG"
    if check["difference"] is None:
        return f"{check['precision']}: {verdict}, no picture ({check['error'] or 'values are not finite'})"
    difference = f"{check['difference']:.1e} of white, tolerance {check['tolerance']:g}"
    return f"{check['precision']}: {verdict}, differs from the CPU in float32 by {difference}"


def _problem(device: Device, result: CheckResult) -> str:
    return (
        f"{device} ({device.name}): {_check_line(_check(result))}; --device auto does not choose it. "
        "Update its driver and torch, or use --device cpu"
    )
