"""Kinds of values of settings. Each kind checks a value and parses it from the command line.

A check returns the value in its final type, or raises ValueError with a message of the form
"expected a number from 0 to 2". Callers add the setting's name and the value.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from burstfix.errors import UsageError

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
"""Device types by their names in torch. `engine.device.BACKENDS` has a class for each type."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Attributes:
        check: Function that validates a value and returns it in its final type, or raises ValueError.
        metavar: Placeholder of the value in --help.
        parse: Function that converts text from the command line to an argument for `check`.
        choices: All valid values; empty if they cannot be listed.
        is_flag: True for a switch, which takes no value on the command line.
    """

    check: Callable[[Any], Any]
    metavar: str = ""
    parse: Callable[[str], Any] = str
    choices: tuple[Any, ...] = ()
    is_flag: bool = False


def number(low: float, high: float = math.inf, *, metavar: str = "", optional: bool = False) -> Kind:
    """Return the kind of a finite number from `low` to `high`, as float; None is valid if `optional`."""
    expected = f"expected a number from {low:g}" + (f" to {high:g}" if high < math.inf else "")

    def check(value: Any) -> float | None:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(expected)
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(expected)
        return float(value)

    return Kind(check, metavar or _range(low, high), _literal)


def whole(low: int, high: float = math.inf, *, metavar: str = "") -> Kind:
    """Return the kind of a whole number from `low` to `high`."""
    expected = f"expected a whole number from {low}" + (f" to {high}" if high < math.inf else "")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(expected)
        return value

    return Kind(check, metavar or _range(low, high), _literal)


def flag() -> Kind:
    """Return the kind of a switch: True or False."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value

    return Kind(check, is_flag=True)


def text(*, metavar: str = "", optional: bool = False) -> Kind:
    """Return the kind of a text that is not empty; None is valid if `optional`."""

    def check(value: Any) -> str | None:
        if value is None and optional:
            return None
        if not isinstance(value, str) or not value:
            raise ValueError("expected non-empty text")
        return value

    return Kind(check, metavar)


def one_of(*choices: Any, optional: bool = False) -> Kind:
    """Return the kind of a fixed list of values; None is valid if `optional`."""
    expected = "expected one of " + ", ".join(map(str, choices))

    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or value not in choices:
            raise ValueError(expected)
        return choices[choices.index(value)]  # returns 2 for 2.0

    return Kind(check, "|".join(map(str, choices)), _literal, choices)


def device() -> Kind:
    """Return the kind of a device name. The engine checks later if the device exists."""
    pattern = re.compile(rf"auto|cpu|({'|'.join(DEVICE_TYPES)})(:\d+)?")
    shown = "auto|" + "|".join(name if name == "cpu" else f"{name}[:N]" for name in DEVICE_TYPES)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"expected {shown}")
        return value

    return Kind(check, shown)


def white_balance() -> Kind:
    """Return the kind of a white balance: "camera", "auto", a tuple of three gains, or None."""

    def check(value: Any) -> str | tuple[float, ...] | None:
        if value is None or isinstance(value, str) and value in ("camera", "auto"):
            return value
        gains = _numbers(value, 3)
        if gains is None or min(gains) <= 0:
            raise ValueError("expected camera, auto or three gains R,G,B such as 2.1,1,1.6")
        return gains

    return Kind(check, "camera|auto|R,G,B", _literal)


def exposure(*words: str) -> Kind:
    """Return the kind of an exposure correction: EV as float, one of the words, or None."""
    shown = "|".join(("EV", *words))

    def check(value: Any) -> str | float | None:
        if value is None or (isinstance(value, str) and value in words):
            return value
        ev = _numbers([value], 1)
        if ev is None or abs(ev[0]) > 20:
            raise ValueError(f"expected {shown} with EV from -20 to 20")
        return ev[0]

    return Kind(check, shown, _literal)


def look() -> Kind:
    """Return the kind of a look: a built-in name, or the path of a look file, which is read to check it."""

    def check(value: Any) -> str:
        from burstfix.color.look import load_look  # imports numpy, which slows down --help

        if not isinstance(value, (str, os.PathLike)):
            raise ValueError("expected the name of a look or a file NAME.toml")
        try:
            load_look(os.fspath(value))
        except UsageError as error:
            raise ValueError(str(error)) from error
        return os.fspath(value)

    return Kind(check, "NAME|FILE")


def noise(*choices: str) -> Kind:
    """Return the kind of a noise profile: (S, O) of variance = S*x + O.

    If there are choices, one of them or None is also valid.
    """
    metavar = "|".join(("S,O", *choices))

    def check(value: Any) -> str | tuple[float, ...] | None:
        if choices and (value is None or (isinstance(value, str) and value in choices)):
            return value
        pair = _numbers(value, 2)
        if pair is None or min(pair) < 0 or max(pair) <= 0:
            raise ValueError(f"expected {metavar}: two numbers of variance = S*x + O, such as 1e-3,2e-5")
        return pair

    return Kind(check, metavar, _literal)


def size() -> Kind:
    """Return the kind of a size in bytes: a whole number, or a text such as "8GB"."""
    as_number = whole(0)

    def check(value: Any) -> int:
        return parse_size(value) if isinstance(value, str) else as_number.check(value)

    return Kind(check, "SIZE")


def parse_size(text: str) -> int:
    """Convert "8GB", "500 MB", "2GiB" or "1e9" to bytes.

    Raises:
        ValueError: The text is not a size.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text, flags=re.IGNORECASE)
    try:
        value = float(match[1]) if match else math.nan
    except ValueError:
        value = math.nan
    if not match or not math.isfinite(value):
        raise ValueError("expected a size such as 8GB or 500MB")
    base = 1024 if match[3] else 1000
    return int(value * base ** " kmgt".index(match[2].lower() or " "))


def _literal(text: str) -> Any:
    """Convert a text to a number or a tuple of numbers if possible; otherwise return it unchanged."""
    if "," in text:
        parts = tuple(_literal(part) for part in text.split(","))
        return text if any(isinstance(part, (str, tuple)) for part in parts) else parts
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Convert a list or tuple to floats; return None unless it contains exactly `count` finite numbers."""
    if not isinstance(value, (list, tuple)):
        return None
    items = cast(Sequence[Any], value)
    if len(items) != count:
        return None
    if any(isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x) for x in items):
        return None
    return tuple(float(x) for x in items)


def _range(low: float, high: float) -> str:
    return f"{low:g}..{high:g}" if high < math.inf else "N"
