"""A value together with warnings about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Noted(Generic[T]):
    """A result, and sentences for the user about problems in the file."""

    value: T
    warnings: tuple[str, ...] = ()
