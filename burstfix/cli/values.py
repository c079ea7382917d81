"""Types of option values: the kinds of `burstfix.settings`, and types used on the command line only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from burstfix.settings.kinds import Kind


class Value(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # not generic in click 8.1
    """A value of a setting, checked by the setting's kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check the text from the command line."""
        try:
            return self.kind.check(self.kind.parse(value) if isinstance(value, str) else value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the choices of the kind, if it has any."""
        return [CompletionItem(str(x)) for x in self.kind.choices if str(x).startswith(incomplete)]


class ModelName(Value):
    """A model, given by name or file. Built-in models, plug-ins and files are completed."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the name of a model, or a file if no name matches."""
        from burstfix.models.catalog import names, plugins

        known = ["auto", *names(), *(entry.name for entry in plugins())]
        found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


class Reference(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # not generic in click 8.1
    """A frame: its number in `inspect`, or its file."""

    name = "N|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Path:
        """Return the number, counted from 1, or the path."""
        if not re.fullmatch(r"\d+", value):
            return Path(value)
        if int(value) < 1:
            self.fail("frames are counted from 1 (see burstfix inspect)", param, ctx)
        return int(value)


def index_of(reference: int | Path | None) -> int | Path | None:
    """Convert a frame number (counted from 1) to an index (counted from 0); return paths unchanged."""
    return reference - 1 if isinstance(reference, int) else reference
