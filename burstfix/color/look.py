"""Looks: settings for rendering, in small TOML files."""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from burstfix.color.white_balance import WhiteBalance
from burstfix.errors import UsageError
from burstfix.text_file import read_text

Exposure = float | Literal["auto"]
Highlights = Literal["clip", "roll-off"]
Gamut = Literal["clip", "compress"]

DEFAULT_LOOK = "natural"
SHIPPED = ("natural", "plain", "vivid")
EXPOSURE_RANGE_EV = 20.0


@dataclass(frozen=True, slots=True)
class Look:
    """Settings that turn a linear image into a picture.

    Attributes:
        name: Name of a shipped look, or of its file.
        description: Description in one line.
        exposure: EV to add to the file's BaselineExposure, or "auto".
        highlights: "clip" at display white, or "roll-off" up to the sensor's white.
        gamut: "clip" each channel, or "compress" chroma in Oklab.
        local_contrast: Share, 0 to 1, of the lost contrast that fusion restores. The tone curve causes the
            loss. Needs "roll-off".
        contrast: Slope of the tone curve at middle grey, 0.5 to 2; needs "roll-off".
        saturation: Multiplier of Oklab chroma, 0 to 2; needs "compress".
        white_balance: "camera", "auto" or three multipliers.
        sharpening: Strength of sharpening, 0 to 2.
        grain: Share, 0 to 1, of the luminance noise of the reference frame that is added.

    Raises:
        UsageError: A value is unknown or out of range; the message names it.
    """

    name: str
    description: str = ""
    exposure: Exposure = 0.0
    highlights: Highlights = "clip"
    gamut: Gamut = "clip"
    local_contrast: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    white_balance: WhiteBalance = "camera"
    sharpening: float = 0.0
    grain: float = 0.0

    def __post_init__(self) -> None:
        """Validate all values."""
        if self.exposure != "auto":
            _check_range("exposure", self.exposure, -EXPOSURE_RANGE_EV, EXPOSURE_RANGE_EV, "auto or ")
        _check_choice("highlights", self.highlights, get_args(Highlights))
        _check_choice("gamut", self.gamut, get_args(Gamut))
        _check_range("local_contrast", self.local_contrast, 0, 1)
        _check_range("contrast", self.contrast, 0.5, 2)
        _check_range("saturation", self.saturation, 0, 2)
        _check_range("sharpening", self.sharpening, 0, 2)
        _check_range("grain", self.grain, 0, 1)
        _check_white_balance(self.white_balance)
        if self.highlights == "clip" and (self.local_contrast or self.contrast != 1):
            raise UsageError('local_contrast and contrast need highlights = "roll-off"')
        if self.gamut == "clip" and self.saturation != 1:
            raise UsageError('saturation needs gamut = "compress"')


KEYS = tuple(field.name for field in dataclasses.fields(Look) if field.name != "name")
"""Keys of a look file."""


def parse_look(text: str, name: str) -> Look:
    """Read the TOML text of a look.

    Args:
        text: TOML text; missing keys have the values of `plain`.
        name: Name of the look, for messages and settings.

    Raises:
        UsageError: The text is not TOML, or a key or a value is unknown.

    Example:
        >>> parse_look('exposure = 0.5', "mine").exposure
        0.5
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"look {name}: is not valid TOML ({error})") from error
    return _look(name, values)


@functools.cache
def shipped_look(name: str) -> Look:
    """Return a shipped look by its name."""
    file = resources.files("burstfix.color.looks") / f"{name}.toml"
    return parse_look(file.read_text(encoding="utf-8"), name)


def load_look(look: str | Path | Look) -> Look:
    """Return a look by its name or file; a `Look` is returned unchanged.

    Args:
        look: "natural", "plain", "vivid", or a file whose name ends in ".toml".

    Raises:
        UsageError: The look does not exist, or its file is not valid.
    """
    if isinstance(look, Look):
        return look
    if isinstance(look, str) and look in SHIPPED:
        return shipped_look(look)
    path = Path(look)
    if path.suffix.lower() != ".toml":
        raise UsageError(f"look {str(look)!r} is unknown; expected {', '.join(SHIPPED)} or a file NAME.toml")
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"look {path}: cannot be read ({reason})") from error
    return parse_look(text, str(path))


def _look(name: str, values: Mapping[str, Any]) -> Look:
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise UsageError(f"look {name}: unknown key {unknown[0]!r}; known keys are {', '.join(KEYS)}")
    known = dict(values)
    if isinstance(known.get("white_balance"), list):
        known["white_balance"] = tuple(known["white_balance"])
    try:
        return Look(name, **known)
    except UsageError as error:
        raise UsageError(f"look {name}: {error}") from error


def _check_range(name: str, value: object, low: float, high: float, other: str = "") -> None:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:
        raise UsageError(f"{name} = {value!r}: expected {other}a number from {low:g} to {high:g}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} = {value!r}: expected {' or '.join(choices)}")


def _check_white_balance(value: object) -> None:
    if value in ("camera", "auto"):
        return
    if not (isinstance(value, tuple) and len(value) == 3):
        raise UsageError(f"white_balance = {value!r}: expected camera, auto or three positive multipliers")
    for multiplier in value:
        _check_range("white_balance", multiplier, 1e-6, 1e6)
