"""Read the settings of a merge from the XMP of its picture, so that a report can repeat the merge."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.errors import InputError
from burstfix.settings import MergeSettings, settings_of

_PROPERTY = re.compile(rb"<burstfix:([A-Za-z0-9]+)>(.*?)</burstfix:\1>", re.DOTALL)
_MOST_BYTES = 1 << 30  # maximum length of the part of a file that is searched for settings


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """Raws and settings of a merged picture.

    Attributes:
        frames: Names of the raws that were merged, in time order.
        reference: Name of the reference.
        settings: Settings that repeat the merge.
    """

    frames: tuple[str, ...]
    reference: str
    settings: MergeSettings


def read_recipe(path: Path) -> PictureRecipe:
    """Read raws and settings from the XMP that burstfix wrote to a picture.

    Raises:
        InputError: The file cannot be read, or burstfix did not write it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    found = {
        name.decode("ascii"): html.unescape(value.decode("utf-8", "replace"))
        for name, value in _PROPERTY.findall(data)
    }
    try:
        frames = tuple(str(name) for name in json.loads(found["Frames"]))
        return PictureRecipe(frames, found["Reference"], _merge_settings(found))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: contains no settings of burstfix; choose a picture that burstfix wrote"
        ) from error


def find_raws(names: Iterable[str], folders: Iterable[Path]) -> list[Path]:
    """Find the raws of a recipe by name, in the order of the names. Subfolders are searched too.

    Raises:
        InputError: A raw is missing, or several raws have the same name.
    """
    searched = list(folders)
    wanted = list(names)
    places: dict[str, list[Path]] = {name: [] for name in wanted}
    for folder in searched:
        for path in sorted(folder.rglob("*")):
            if path.name in places and path.is_file() and path.resolve() not in places[path.name]:
                places[path.name].append(path.resolve())
    for name, paths in places.items():
        if len(paths) != 1:
            listed = ", ".join(map(str, searched))
            what = "not found" if not paths else f"found {len(paths)} times"
            raise InputError(f"raw {name}: {what} in {listed}; name its folder with --raws")
    return [places[name][0] for name in wanted]


def _merge_settings(found: Mapping[str, str]) -> MergeSettings:
    """Convert the properties of a picture to settings. Properties that are not settings are ignored."""
    names = {
        "Model": "model",
        "Strength": "strength",
        "Ensemble": "ensemble",
        "RenderWhiteBalance": "wb",
        "RenderExposure": "exposure",
        "RenderLook": "look",
        "RenderTone": "tone",
        "RenderColorSpace": "color_space",
    }
    known = settings_of(MergeSettings)
    values: dict[str, Any] = {
        name: _value(found[key]) for key, name in names.items() if key in found and name in known
    }
    if found.get("NoiseSource") == "given":
        gains, variances = (json.loads(found[key]) for key in ("NoiseShotGain", "NoiseReadVariance"))
        values["noise"] = (sum(gains) / len(gains), sum(variances) / len(variances))
    return MergeSettings(**values)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value
