"""The settings of a batch, and where they come from: command line over --config over folder over user."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burstfix.batch.grouping import DEFAULT_GAP, MIN_FRAMES
from burstfix.batch.layout import DEFAULT_LAYOUT, check_layout
from burstfix.errors import UsageError
from burstfix.io.write.formats import BIT_DEPTHS, DEFAULT_FORMAT, DEFAULT_QUALITY, FORMAT_NAMES, format_of
from burstfix.types import NoiseChoice, OpcodeMode

FILE_NAME = "burstfix.toml"


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Everything that a batch can be told; the names are those of burstfix.toml.

    Attributes:
        gap: Seconds without a frame that end a burst.
        min_frames, max_frames: Frames of a burst; a longer one is cut into parts. 0 = no limit.
        singles: Merge (denoise) single frames as well.
        check_content: Part bursts where the scene changes.
        layout: Names of the pictures, see `burstfix.batch.layout.FIELDS`.
        format: Name of an output format (a DNG is linear); None = by the layout, else TIFF.
        bit_depth: Bits per channel; None = the format's default.
        quality: 1 to 100 for lossy formats.
        overwrite: Replace files that burstfix has not written.
        noise: (S, O) of variance = S*x + O; "file", "measure"; None = the files' if the burst bears it out.
        noise_profiles: TOML file with the noise of cameras whose raws do not say it.
        skip_bad: Leave out frames that turn out to be unreadable or odd, instead of failing their burst.
        keep_all: Keep frames that are blurred or do not overlap.
        opcodes: "apply" or "skip" the corrections that the files ask for.
        strength: How strong the noise is taken to be, 0 to 2; 1 = as measured.
        ensemble: Views of which a network gives the mean: 1, 2, 4 or 8.
        wb: "camera", "auto" or three gains.
        exposure: EV or "auto".
        tone: "none" or "filmic".
        color_space: "srgb", "display-p3", "rec2020" or "prophoto".
        model: "auto", a name, or a .safetensors file.
        device: "auto", "cpu", "cuda" or "cuda:N".
        tile: Side of a tile in sensor pixels; 0 = automatic.
        precision: "auto", "float32", "bfloat16" or "float16".
        jobs: Bursts that are read ahead while one is merged.
        max_memory: Bytes that reading ahead and merging may take; 0 = three quarters of what is free.
        settle: Watching: seconds that files must have been left alone before they are read.
    """

    gap: float = DEFAULT_GAP
    min_frames: int = MIN_FRAMES
    max_frames: int = 0
    singles: bool = False
    check_content: bool = True
    layout: str = DEFAULT_LAYOUT
    format: str | None = None
    bit_depth: int | None = None
    quality: int = DEFAULT_QUALITY
    overwrite: bool = False
    noise: tuple[float, float] | NoiseChoice | None = None
    noise_profiles: str | None = None
    skip_bad: bool = False
    keep_all: bool = False
    opcodes: OpcodeMode = "apply"
    strength: float = 1.0
    ensemble: int = 1
    wb: str | tuple[float, float, float] = "camera"
    exposure: float | str = 0.0
    tone: str = "none"
    color_space: str = "srgb"
    model: str = "auto"
    device: str = "auto"
    tile: int = 0
    precision: str = "auto"
    jobs: int = 1
    max_memory: int = 0
    settle: float = 5.0

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            UsageError: One makes no sense; the message names it.
        """
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), check))
        if self.max_frames and self.max_frames < self.min_frames:
            raise UsageError(f"max_frames {self.max_frames} is less than min_frames {self.min_frames}")
        # The suffix is part of the layout from here on, and tells the format.
        full = check_layout(self.layout, self.format)
        object.__setattr__(self, "layout", full)
        (format_of(full) or DEFAULT_FORMAT).bit_depth(self.bit_depth)

    def result_settings(self) -> dict[str, Any]:
        """Those that change the pictures or their names, as JSON holds them."""
        return {name: getattr(self, name) for name in _RESULT}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in force, and where it comes from."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings in force, and each with its source."""

    settings: BatchSettings
    origins: tuple[Setting, ...]


def resolve(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Resolved:
    """Puts layers of settings over each other.

    Args:
        layers: Source (for people) and values, the weakest first.

    Raises:
        UsageError: Unknown names, or values that make no sense; the message says from where.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        unknown = sorted(set(layer) - set(NAMES))
        if unknown:
            raise UsageError(f"{source}: unknown setting {unknown[0]!r}; known are {', '.join(NAMES)}")
        for name, value in layer.items():
            try:
                values[name] = _checked(name, value, _CHECKS[name])
            except UsageError as error:
                raise UsageError(f"{source}: {error}") from error
            sources[name] = source
    settings = BatchSettings(**values)
    origins = [Setting(name, getattr(settings, name), sources.get(name, "default")) for name in NAMES]
    return Resolved(settings, tuple(origins))


def read_settings_file(path: Path) -> dict[str, Any]:
    """The values of a burstfix.toml.

    Raises:
        UsageError: It cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows's Notepad puts a BOM first
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no valid TOML ({error})") from error


def file_layers(
    folders: Sequence[Path], *, user_folder: Path | None = None, config: Path | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """What the settings files say, the weakest first: the user's, the folder's, the one named.

    Args:
        folders: That are searched for bursts; at most one of them may hold a burstfix.toml.
        user_folder: The user's config folder.
        config: A file that must exist.

    Raises:
        UsageError: A file cannot be read, or several folders have one.
    """
    files = [user_folder / FILE_NAME] if user_folder else []
    files = [file for file in files if file.is_file()]
    # A folder that may not be looked into is for the search to report.
    own = (folder / FILE_NAME for folder in folders if os.path.isfile(folder / FILE_NAME))
    in_folders = list(dict.fromkeys(file.parent.resolve() / FILE_NAME for file in own))
    if len(in_folders) > 1 and config is None:
        raise UsageError(
            f"{in_folders[0]} and {in_folders[1]} are both there; say which holds with --config FILE"
        )
    files += in_folders if len(in_folders) == 1 else []
    files += [config] if config else []
    return [(str(file), read_settings_file(file)) for file in files]


def parse_size(text: str) -> int:
    """Bytes of "8GB", "500 MB", "2GiB" or "1e9".

    Raises:
        UsageError: It is no size.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text, flags=re.IGNORECASE)
    try:
        number = float(match[1]) if match else math.nan
    except ValueError:
        number = math.nan
    if not match or not math.isfinite(number):
        raise UsageError("is no size such as 8GB or 500MB")
    base = 1024 if match[3] else 1000
    return int(number * base ** " kmgt".index(match[2].lower() or " "))


_Check = Callable[[Any], Any]


def _checked(name: str, value: Any, check: _Check) -> Any:
    try:
        return check(value)
    except (ValueError, TypeError, UsageError) as error:
        raise UsageError(f"{name} = {value!r}: {error}") from error


def _number(low: float, high: float = math.inf) -> _Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"is not a number from {low:g} to {high:g}")
        if not math.isfinite(value):
            raise ValueError("is not finite")
        return float(value)

    return check


def _whole(low: int, high: float = math.inf) -> _Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"is not a whole number from {low}" + (f" to {high}" if high < math.inf else ""))
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    return value


def _one_of(*choices: Any) -> _Check:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or value not in choices:
            raise ValueError("is not one of " + ", ".join(str(c) for c in choices if c is not None))
        return choices[choices.index(value)]  # 2.0 is 2

    return check


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise ValueError(f"is not {what}")
    return tuple(_number(0)(x) for x in value)


def _white_balance(value: Any) -> Any:
    if value in ("camera", "auto"):
        return value
    gains = _numbers(value, 3, '"camera", "auto" or three gains')
    if min(gains) <= 0:
        raise ValueError("gains are more than 0")
    return gains


def _exposure(value: Any) -> Any:
    return value if value == "auto" else _number(-20, 20)(value)


def _noise(value: Any) -> Any:
    if value in (None, "file", "measure"):
        return value
    return _numbers(value, 2, 'two numbers S, O of variance = S*x + O, "file" or "measure"')


def _size(value: Any) -> int:
    return parse_size(value) if isinstance(value, str) else _whole(0)(value)


def _device(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError("is not auto, cpu, cuda or cuda:N")
    return value


_CHECKS: dict[str, _Check] = {
    "gap": _number(0),
    "min_frames": _whole(2),
    "max_frames": _whole(0),
    "singles": _flag,
    "check_content": _flag,
    "layout": _text,
    "format": _one_of(None, *FORMAT_NAMES),
    "bit_depth": _one_of(None, *BIT_DEPTHS),
    "quality": _whole(1, 100),
    "overwrite": _flag,
    "noise": _noise,
    "noise_profiles": lambda value: None if value is None else _text(value),
    "skip_bad": _flag,
    "keep_all": _flag,
    "opcodes": _one_of("apply", "skip"),
    "strength": _number(0, 2),
    "ensemble": _one_of(1, 2, 4, 8),
    "wb": _white_balance,
    "exposure": _exposure,
    "tone": _one_of("none", "filmic"),
    "color_space": _one_of("srgb", "display-p3", "rec2020", "prophoto"),
    "model": _text,
    "device": _device,
    "tile": _whole(0),
    "precision": _one_of("auto", "float32", "bfloat16", "float16"),
    "jobs": _whole(1, 64),
    "max_memory": _size,
    "settle": _number(0),
}

NAMES = tuple(field.name for field in dataclasses.fields(BatchSettings))
"""Every setting, in the order they are shown."""

_RESULT = (
    *("layout", "bit_depth", "quality", "noise", "noise_profiles", "skip_bad", "keep_all", "opcodes"),
    *("strength", "ensemble", "wb", "exposure", "tone", "color_space", "model", "precision"),
)
