"""Types of option values: the kinds of `burstfix.settings`, and what only the command line needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from burstfix.settings.kinds import Kind


class Value(click.ParamType):
    """A value of a setting, with the setting's own check and message."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parses and checks the text of the command line."""
        try:
            return self.kind.check(self.kind.parse(value) if isinstance(value, str) else value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes the choices, where there are any."""
        return [CompletionItem(str(x)) for x in self.kind.choices if str(x).startswith(incomplete)]


class ModelName(Value):
    """A model by name or file; completes the names of the catalogue, of plug-ins, and files."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names, or files where no name begins like that."""
        from burstfix.models.catalog import names, plugins

        known = ["auto", *names(), *(entry.name for entry in plugins())]
        found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


class Reference(click.ParamType):
    """A frame's number as `inspect` counts them, or its file."""

    name = "N|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Path:
        """Returns an int counted from 1, or a path."""
        if not re.fullmatch(r"\d+", value):
            return Path(value)
        if int(value) < 1:
            self.fail("frames are counted from 1 (see burstfix inspect)", param, ctx)
        return int(value)


def index_of(reference: int | Path | None) -> int | Path | None:
    """Converts a reference counted from 1 to the library's, counted from 0; a path stays."""
    return reference - 1 if isinstance(reference, int) else reference
