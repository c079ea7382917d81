"""Weight files: NAME.safetensors with what is needed to build the model, and NAME.toml, its card.

The card says for people where the weights come from (data, steps, device hours, results) and holds the
file's sha256. Only safetensors are read here: unlike pickled checkpoints they cannot run code.
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
from burstfix.errors import UsageError, WeightsError
from burstfix.models.base import BurstModel
from burstfix.models.catalog import best_for, build, find, name_of

FORMAT_VERSION = 1

NOISE_CONVENTION = "variance = shot_gain * x + read_variance, x normalised to 0 = black, 1 = white, unclipped"
"""What the model was trained to be told about noise; weights of another convention would merge wrongly."""

_WRITTEN_BY_US = {
    *("model", "file", "sha256", "format_version", "noise_convention", "dtype", "parameters", "config")
}
_SUFFIX = ".safetensors"
_LISTED = 3  # names of tensors given in a message

log = logging.getLogger(__name__)


def weights_folder() -> Path:
    """Where the shipped weights lie: inside the package when installed, beside it in a checkout."""
    package = Path(str(resources.files("burstfix")))
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def save_weights(
    path: str | Path, model: BurstModel, card: Mapping[str, Any], *, dtype: torch.dtype = torch.float16
) -> Path:
    """Writes a model's weights and, beside them, their card; each appears whole or not at all.

    Args:
        path: Ends in .safetensors; a file there is replaced.
        model: Of the catalogue or a plug-in; its config, if it has one, is `model.config`.
        card: What people should know, for the TOML file: strings, numbers, booleans, lists, tables.
        dtype: Of the stored floating-point tensors: float16 or float32.

    Returns:
        The card's path.

    Raises:
        UsageError: The path does not end in .safetensors, or the card holds keys that are filled in here.
        WeightsError: A weight is not finite, or too large for `dtype`.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise UsageError(f"{path}: weights are written as {_SUFFIX}; choose such a name")
    if taken := [key for key in card if key in _WRITTEN_BY_US]:
        raise UsageError(f"{path}: leave {', '.join(taken)} out of the card; saving fills it in")
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
    # An interruption between the two files must not leave weights beside the card of older ones.
    card_path.unlink(missing_ok=True)
    with atomic_path(path, overwrite=True) as beside:
        beside.write_bytes(content)
    with atomic_path(card_path, overwrite=True) as beside:
        beside.write_text(text, encoding="utf-8")
    return card_path


def load_model(name: str | Path = "auto", device: str | torch.device = "cpu") -> BurstModel:
    """Makes a model that is ready to merge, on the CPU (merging moves it to where it runs).

    Args:
        name: A name of the catalogue, "auto" for the best that ships for `device`, a plug-in
            (`module:Class` or its entry point), or the path of a .safetensors file written by
            `save_weights`. A file with the weights of a plug-in imports its module, which has to be
            installed.
        device: Where it will run; only "auto" looks at it.

    Raises:
        UsageError: No model has that name.
        WeightsError: The weights are missing, damaged, or not for this model.
    """
    if str(name).endswith(_SUFFIX):
        return _load(Path(name), must_have_card=False)
    if str(name).endswith((".pth", ".pt", ".ckpt")):
        raise WeightsError(
            f"{name}: only {_SUFFIX} files are loaded; `burstfix weights import` turns upstream checkpoints "
            "into one, and `burstfix train` writes one when it ends"
        )
    entry = find(best_for(device) if name == "auto" else str(name))
    if entry.weights is not None:
        model = _load(weights_folder() / entry.weights, must_have_card=True)
        if model.info.name != entry.name:
            raise WeightsError(
                f"{entry.weights}: holds another model ({model.info.name!r}); install burstfix anew"
            )
        return model
    if entry.trained:
        raise WeightsError(
            f"no weights for {entry.name!r} ship with this version; train some (`burstfix train`) and "
            f"give the {_SUFFIX} file as the model, or use --model auto"
        )
    return build(entry.name).eval()


def _load(path: Path, must_have_card: bool) -> BurstModel:
    """Reads weights strictly; `must_have_card` for those that ship."""
    remedy = "install burstfix anew" if must_have_card else "copy or make the file anew"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from error
    _check_hash(path, content, must_have_card, remedy)
    try:
        tensors = safetensors.torch.load(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); {remedy}") from error

    for key, expected in (("format_version", str(FORMAT_VERSION)), ("noise_convention", NOISE_CONVENTION)):
        if metadata.get(key) != expected:
            raise WeightsError(
                f"{path}: {key} is {metadata.get(key)!r}, expected {expected!r}; it was not written by this "
                "version of burstfix: save it again with this version"
            )
    try:
        model = build(metadata["model"], json.loads(metadata["config"]))
    except (UsageError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: names no model of this version of burstfix ({error})") from error
    _fill(model, tensors, path)
    return model.eval()


def _check_hash(path: Path, content: bytes, must_have_card: bool, remedy: str) -> None:
    card = path.with_suffix(".toml")
    try:
        expected = tomllib.loads(card.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        if must_have_card:
            raise WeightsError(f"{card}: the card with the weights' hash is missing; {remedy}") from None
        log.info("%s: no card beside it, so its hash is not checked", path)
        return
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{card}: not a readable card ({error!r}); {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(f"{path}: damaged: sha256 is {found}, its card says {expected}; {remedy}")


def _metadata(content: bytes) -> dict[str, str]:
    """The strings in a safetensors header: 8 bytes of length (little endian), then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _fill(model: BurstModel, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Every key and shape has to match; values are converted to the model's own dtype."""
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
                f"{path}: not weights of this version's {model.info.name!r}: {len(keys)} tensors {what} "
                f"({listed}); train or import them anew"
            )
    model.load_state_dict({key: tensor.to(own[key].dtype) for key, tensor in tensors.items()}, strict=True)


def _stored(tensor: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    if dtype not in (torch.float16, torch.float32):
        raise UsageError(f"weights are stored as float16 or float32, not {dtype}")
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.contiguous().clone()
    # A copy of its own, in plain memory order: the format knows neither shared nor strided storage.
    stored = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
    if not torch.isfinite(stored).all():
        raise WeightsError(f"weight {name!r} is not finite as {dtype}; nothing was saved")
    return stored
