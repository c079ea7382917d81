"""Options that several commands share.

The options for settings are built from `MergeSettings` and `BatchSettings`, which define their names, help,
checks and defaults. They have no default here: a value that is not on the command line may come from a
settings file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from burstfix.cli import values
from burstfix.cli.terminal import Terminal
from burstfix.settings import MergeSettings, Setting, settings_of

F = TypeVar("F", bound=Callable[..., Any])

pass_terminal = click.make_pass_decorator(Terminal, ensure=True)


def stack(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Combine decorators into one; --help lists their options in the given order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        setattr(ctx.ensure_object(Terminal), name, value)

    return store


# Options for the amount and format of the output. Their values are stored in the Terminal; commands do not
# get them.
verbosity = stack(
    click.option("--json", is_flag=True, expose_value=False, is_eager=True, callback=_set("json"),
                 help="Print the result as JSON on stdout."),
    click.option("-v", "--verbose", count=True, expose_value=False, is_eager=True,
                 callback=_set("verbosity"), help="Log decisions; -vv logs everything, with tracebacks."),
    click.option("-q", "--quiet", is_flag=True, expose_value=False, is_eager=True, callback=_set("quiet"),
                 help="Print only requested results and errors."),
)  # fmt: skip


def named(known: Mapping[str, Setting], *groups: str) -> list[Setting]:
    """Return the settings of these groups, group by group."""
    return [one for group in groups for one in known.values() if one.group == group]


def settings(chosen: Iterable[Setting]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Build a decorator that adds an option for each setting to a command.

    The command receives the options of the command line as its argument `typed`, which maps the names of
    settings to checked values.
    """
    chosen = list(chosen)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        names = [one.name for one in chosen]
        return stack(*map(_option, chosen))(gather(function, "typed", _typed, names))

    return decorate


def gather(
    function: Callable[..., Any], into: str, make: Callable[..., Any], names: Iterable[str]
) -> Callable[..., Any]:
    """Wrap a command so that its function receives several arguments as one: `into=make(**arguments)`."""

    @functools.wraps(function)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        found = {name: kwargs.pop(name) for name in names}
        return function(*args, **{into: make(**found)}, **kwargs)

    return gathered


def _typed(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _option(one: Setting) -> Callable[[Any], Any]:
    shown = one.default_text or ("" if one.kind.is_flag else str(one.default))
    help = one.help + (f"  [default: {shown}]" if shown else "")
    if one.kind.is_flag:
        flags = f"--{one.flag}/--no-{one.flag}" if one.default else f"--{one.flag}"
        return click.option(flags, one.name, is_flag=True, default=None, help=help)
    flags = [one.short, f"--{one.flag}"] if one.short else [f"--{one.flag}"]
    kind = values.ModelName if one.name == "model" else values.Value
    return click.option(
        *flags, one.name, type=kind(one.kind), metavar=one.kind.metavar, default=None, help=help
    )


MERGE = settings_of(MergeSettings)

reference = click.option(
    "--reference", type=values.Reference(), default=None,
    help="Frame to which the others are aligned; the result has its framing. Give its number in `burstfix "
         "inspect`, or its file.  [default: the sharpest frame near the middle of the burst]",
)  # fmt: skip

paths = click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
