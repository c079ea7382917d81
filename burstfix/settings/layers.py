"""Settings from several sources laid over each other: user, folder, --config, command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from burstfix.errors import UsageError
from burstfix.settings.setting import settings_of

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Origin:
    """A value in force and where it comes from."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Resolved(Generic[S]):
    """Settings in force, and the origin of each."""

    settings: S
    origins: tuple[Origin, ...]


def resolve(
    layers: Sequence[tuple[str, Mapping[str, Any]]], kind: type[S], *, ignored: Collection[str] = ()
) -> Resolved[S]:
    """Lays settings over each other.

    Args:
        layers: Source (for people) and values, the weakest first.
        kind: The dataclass to make.
        ignored: Names that may occur but belong to another command.

    Raises:
        UsageError: Unknown names, or values that make no sense; the message names the source.
    """
    known = settings_of(kind)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if name in ignored and name not in known:
                continue
            if name not in known:
                raise UsageError(f"{source}: unknown setting {name!r}; known are {', '.join(known)}")
            try:
                values[name] = known[name].check(value)
            except UsageError as error:
                raise UsageError(f"{source}: {error}") from error
            sources[name] = source
    settings = kind(**values)
    origins = [Origin(name, getattr(settings, name), sources.get(name, "default")) for name in known]
    return Resolved(settings, tuple(origins))
