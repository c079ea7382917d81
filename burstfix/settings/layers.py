"""Combine settings from several sources: user, folder, preset, --config, command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from burstfix.errors import UsageError
from burstfix.settings.setting import settings_of

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Origin:
    """A value in force and its source."""

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
    """Combine settings from several sources. Later sources override earlier ones.

    Args:
        layers: For each source, its name in messages and its values.
        kind: Dataclass of the settings.
        ignored: Names that are skipped because they belong to another command.

    Raises:
        UsageError: A name is unknown or a value is invalid; the message names the source.
    """
    known = settings_of(kind)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if name in ignored and name not in known:
                continue
            if name not in known:
                raise UsageError(f"{source}: unknown setting {name!r}; expected one of {', '.join(known)}")
            try:
                values[name] = known[name].check(value)
            except UsageError as error:
                raise UsageError(f"{source}: {error}") from error
            sources[name] = source
    settings = kind(**values)
    origins = [Origin(name, getattr(settings, name), sources.get(name, "default")) for name in known]
    return Resolved(settings, tuple(origins))
