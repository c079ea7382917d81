"""Weight files: NAME.safetensors holds weights and configuration, NAME.toml is its card.

The card describes the origin of the weights (data, steps, device hours, results) and contains the SHA-256 of
the file. Only safetensors files are read here. Unlike pickled checkpoints, they cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import tomli_w
import torch
from torch import Tensor

from burstfix.atomic import atomic_path
from burstfix.errors import BurstfixError, UsageError, WeightsError, is_out_of_memory
from burstfix.models.base import BurstModel
from burstfix.models.catalog import best_for, build, find, name_of
from burstfix.text_file import read_text

FORMAT_VERSION = 1

NOISE_CONVENTION = "variance = shot_gain * x + read_variance, x normalised to 0 = black, 1 = white, unclipped"
"""Noise convention of the models; weights trained with another convention would merge wrongly."""

_WRITTEN_BY_US = {
    *("model", "file", "sha256", "format_version", "noise_convention", "dtype", "parameters", "config")
}
_SUFFIX = ".safetensors"
_LISTED = 3  # maximum number of tensor names in a message
_LARGEST_SIZE = 4096  # limit of the numbers in a configuration; the largest in shipped weights is 160

log = logging.getLogger(__name__)


def weights_folder() -> Path:
    """Return the folder of the shipped weights: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("burstfix")))
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def save_weights(
    path: str | Path, model: BurstModel, card: Mapping[str, Any], *, dtype: torch.dtype = torch.float16
) -> Path:
    """Write the weights of a model and their card. Each file is written atomically.

    Args:
        path: File to write; ends in .safetensors. An existing file is replaced.
        model: A model of the catalogue or a plug-in. If it has a configuration, `model.config` is stored.
        card: Additional entries of the card: strings, numbers, booleans, lists and tables.
        dtype: Data type of the stored floating-point tensors: float16 or float32.

    Returns:
        Path of the card.

    Raises:
        UsageError: The path does not end in .safetensors, or the card has entries that this function writes.
        WeightsError: A weight is not finite, or too large for `dtype`.
        OutputError: A file cannot be written.
    """
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise UsageError(f"{path}: weights are written as {_SUFFIX}; choose a name with this suffix")
    if taken := [key for key in card if key in _WRITTEN_BY_US]:
        raise UsageError(f"{path}: the card must not contain {', '.join(taken)}; save_weights adds it")
    name = name_of(model)
    config = json.dumps(asdict(model.config) if model.config_class else {})  # type: ignore[call-overload]
    tensors = {name: _stored(tensor, name, dtype) for name, tensor in model.state_dict().items()}
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "model": name,
        "config": config,
        "noise_convention": NOISE_CONVENTION,
    }
    content = safetensors.torch.save(tensors, metadata)
    facts = {
        "model": name,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "format_version": FORMAT_VERSION,
        "noise_convention": NOISE_CONVENTION,
        "dtype": str(dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    text = tomli_w.dumps({**facts, **card, "config": json.loads(config)})

    card_path = path.with_suffix(".toml")
    # If the program is interrupted between the two files, the card of older weights must not remain.
    card_path.unlink(missing_ok=True)
    with atomic_path(path, overwrite=True) as beside:
        beside.write_bytes(content)
    with atomic_path(card_path, overwrite=True) as beside:
        beside.write_text(text, encoding="utf-8")
    return card_path


def load_model(name: str | Path = "auto", device: str | torch.device = "cpu") -> BurstModel:
    """Create a model with its weights, on the CPU. A merge moves it to its device.

    Args:
        name: A name of the catalogue, "auto" for the best shipped model for `device`, a plug-in
            (`module:Class` or its entry point), or the path of a .safetensors file that `save_weights` wrote.
            The module of a plug-in must be installed, because it is imported to load its weights.
        device: Device on which the model will run; used only for "auto".

    Raises:
        UsageError: No model has that name.
        WeightsError: The weights are missing, damaged, or not for this model.
    """
    if str(name).endswith(_SUFFIX):
        return _load(Path(name), must_have_card=False)
    if str(name).endswith((".pth", ".pt", ".ckpt")):
        raise WeightsError(
            f"{name}: only {_SUFFIX} files can be loaded; `burstfix weights import` converts the checkpoints "
            f"of Guo et al. 2022, and `burstfix train` writes a {_SUFFIX} file when it ends"
        )
    entry = find(best_for(device) if name == "auto" else str(name))
    if entry.weights is not None:
        model = _load(weights_folder() / entry.weights, must_have_card=True)
        if model.info.name != entry.name:
            raise WeightsError(
                f"{entry.weights}: contains another model ({model.info.name!r}); reinstall burstfix"
            )
        return model
    if entry.trained:
        raise WeightsError(
            f"no weights for {entry.name!r} ship with this version; train some (`burstfix train`) and pass "
            f"the {_SUFFIX} file as the model, or use --model auto"
        )
    return build(entry.name).eval()


def _load(path: Path, must_have_card: bool) -> BurstModel:
    """Read weights with strict checks; shipped weights must have a card."""
    remedy = "reinstall burstfix" if must_have_card else "copy or create the file again"
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path}: is not a regular file; {remedy}")
        with safetensors.safe_open(path, "pt"):  # checks header and size before all of the file is read
            pass
        content = path.read_bytes()
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); {remedy}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from error
    _check_hash(path, content, must_have_card, remedy)
    try:
        tensors = safetensors.torch.load(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); {remedy}") from error

    for key, expected in (("format_version", str(FORMAT_VERSION)), ("noise_convention", NOISE_CONVENTION)):
        if metadata.get(key) != expected:
            raise WeightsError(
                f"{path}: {key} is {metadata.get(key)!r}, expected {expected!r}; it was not written by this "
                "version of burstfix: save it again with this version"
            )
    model = _build(path, metadata, tensors)
    own = model.state_dict()
    model.load_state_dict({key: tensor.to(own[key].dtype) for key, tensor in tensors.items()}, strict=True)
    return model.eval()


def _build(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> BurstModel:
    """Create the model of a weight file; first check that it is not larger than the tensors of the file.

    Raises:
        WeightsError: The configuration is invalid, or the tensors do not belong to such a model.
    """
    try:
        name, config = metadata["model"], json.loads(metadata["config"])
        check_sizes(config)
        with torch.device("meta"):  # allocates nothing
            _check_tensors(path, build(name, config), tensors)
        return build(name, config)
    except WeightsError:
        raise
    except (BurstfixError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"{path}: this version of burstfix does not support its model or configuration ({error}); save "
            "it again with this version"
        ) from error


def check_sizes(value: Any) -> None:
    """Check that the numbers of a configuration are finite, not negative, and small enough to build a model.

    Args:
        value: A configuration, as parsed from JSON.

    Raises:
        UsageError: A number is out of range.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            check_sizes(item)
    elif isinstance(value, (int, float)) and not 0 <= value <= _LARGEST_SIZE:  # false for NaN
        raise UsageError(f"its configuration contains {value!r}; expected numbers from 0 to {_LARGEST_SIZE}")


def _check_hash(path: Path, content: bytes, must_have_card: bool, remedy: str) -> None:
    card = path.with_suffix(".toml")
    try:
        expected = tomllib.loads(read_text(card))["sha256"]
    except FileNotFoundError:
        if must_have_card:
            raise WeightsError(
                f"{card}: the card of the weights, with their SHA-256, is missing; {remedy}"
            ) from None
        log.info("%s: has no card; its SHA-256 is not checked", path)
        return
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{card}: not a valid card ({error!r}); {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(f"{path}: damaged: sha256 is {found}, expected {expected} from its card; {remedy}")


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata in a safetensors header: 8 bytes of length (little endian), then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _check_tensors(path: Path, model: BurstModel, tensors: Mapping[str, Tensor]) -> None:
    """Compare names and shapes of tensors with those of a model.

    Raises:
        WeightsError: They differ.
    """
    own = model.state_dict()
    problems = {
        "are missing": sorted(own.keys() - tensors.keys()),
        "are unknown": sorted(tensors.keys() - own.keys()),
        "have another shape": sorted(
            key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape
        ),
    }
    for what, keys in problems.items():
        if keys:
            listed = ", ".join(keys[:_LISTED]) + (" ..." if len(keys) > _LISTED else "")
            raise WeightsError(
                f"{path}: not weights for {model.info.name!r} of this version: {len(keys)} tensors {what} "
                f"({listed}); train or import them again"
            )


def _stored(tensor: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    """Return a copy of a tensor as it is stored."""
    if dtype not in (torch.float16, torch.float32):
        raise UsageError(f"weights are stored as float16 or float32, not {dtype}")
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.contiguous().clone()
    # safetensors stores neither shared memory nor strides.
    stored = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
    if not torch.isfinite(stored).all():
        raise WeightsError(f"weight {name!r} is not finite as {dtype}; nothing was saved")
    return stored
