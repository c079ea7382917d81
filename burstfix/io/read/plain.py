"""Convert records to JSON and back. Unlike pickle, JSON from the decoder process cannot run code.

`to_plain` converts a dataclass to values that `json` can write. `from_plain` converts them back according to
the type hints of the dataclass, and rejects values that do not match the hints.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np


def to_plain(value: Any) -> Any:
    """Convert a value to lists, dicts with text keys, text, numbers, bools and None.

    Raises:
        TypeError: `from_plain` cannot restore values of this type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {"items": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), **to_plain(np.ascontiguousarray(value).tobytes())}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be sent")


def from_plain(hint: Any, value: Any) -> Any:
    """Convert the result of `to_plain` back to the type that a hint describes.

    Args:
        hint: A type: a dataclass, `tuple[...]`, `Mapping[...]`, `NDArray[...]`, a union, or a plain type.
        value: A value parsed from JSON.

    Raises:
        ValueError: The value does not match the hint.
    """
    try:
        return _restore(hint, value)
    except (TypeError, KeyError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"{value!r:.100} is not {hint}") from error


def _restore(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _restore_any(value)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _restore(hint, value)
    if origin is Literal:
        return _checked(value, value in arguments, hint)
    if origin is tuple:
        return _restore_tuple(arguments, value)
    if origin is Mapping:
        key, item = arguments
        return {_restore(key, k): _restore(item, v) for k, v in value["items"]}
    if origin is np.ndarray:
        return _restore_array(np.dtype(typing.get_args(arguments[1])[0]), value)
    if dataclasses.is_dataclass(hint):
        hints = _field_hints(hint)
        if set(value) != set(hints):
            raise ValueError(f"the fields of {hint} are {', '.join(hints)}, not {', '.join(value)}")
        fields = {name: _restore(hints[name], item) for name, item in value.items()}
        return typing.cast(type, hint)(**fields)
    return _restore_scalar(hint, value)


def _restore_scalar(hint: Any, value: Any) -> Any:
    if hint is float:
        return float(_checked(value, isinstance(value, (int, float)), hint))
    if hint in (int, str, bool):
        return _checked(value, type(value) is hint, hint)
    if hint is bytes:
        return base64.b64decode(value["base64"], validate=True)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is Path:
        return Path(_checked(value, isinstance(value, str), hint))
    raise ValueError(f"{hint} cannot be restored")


def _restore_tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    _checked(value, isinstance(value, list), tuple)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_restore(arguments[0], item) for item in value)
    _checked(value, len(arguments) == len(value), tuple)
    return tuple(_restore(argument, item) for argument, item in zip(arguments, value, strict=True))


def _restore_array(dtype: np.dtype[Any], value: Any) -> np.ndarray:
    shape = [_checked(size, type(size) is int and size >= 0, int) for size in value["shape"]]
    return np.frombuffer(_restore(bytes, value), dtype).reshape(shape)


def _restore_any(value: Any) -> Any:
    """Restore an EXIF value: text, an integer, bytes, a fraction, or a tuple of these."""
    if isinstance(value, list):
        return tuple(_restore_any(item) for item in value)
    if isinstance(value, dict):
        if "fraction" in value:
            numerator, denominator = value["fraction"]
            return Fraction(_restore(int, numerator), _restore(int, denominator))
        return _restore(bytes, value)
    return _checked(value, isinstance(value, (int, float, str)), Any)


def _checked(value: Any, fits: bool, hint: Any) -> Any:
    if not fits:
        raise ValueError(f"{value!r:.100} is not {hint}")
    return value


@cache
def _field_hints(kind: type) -> dict[str, Any]:
    return {field.name: typing.get_type_hints(kind)[field.name] for field in dataclasses.fields(kind)}
