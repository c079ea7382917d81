"""Write the manual pages: `python docs/man.py out/man` (what `make man` runs).

The pages are generated from the commands: burstfix.1, burstfix-merge.1 and so on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from burstfix._version import __version__
from burstfix.cli.app import COMMANDS, group


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    context = group.make_context("burstfix", [], resilient_parsing=True)
    found = {"burstfix.1": page(group, context)}
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for path, one in _with_subcommands(f"burstfix {name}", command):
            found[f"{path.replace(' ', '-')}.1"] = page(one, click.Context(one, info_name=path))
    return found


def page(command: click.Command, context: click.Context) -> str:
    """Write one command as a manual page in troff's man macros."""
    name = context.command_path
    first, *others = _paragraphs(command.help or "")
    title = name.replace(" ", "-")
    lines = [f'.TH "{title.upper()}" 1 "" "burstfix {__version__}"', ".SH NAME"]
    lines.append(f"{_text(title)} \\- {_text(first.rstrip('.'))}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", f".B {_text(name)}", _text(usage)]
    lines += [".SH DESCRIPTION", _text(first)]
    for paragraph in others:
        lines += [".PP", _text(paragraph)]
    if command is group:
        lines.append(".SH COMMANDS")
        for other, about in COMMANDS.items():
            lines += [".TP", f".BR burstfix\\-{_text(other)} (1)", _text(about)]
    lines.append(".SH OPTIONS")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines += [".TP", f".B {_text(record[0])}", _text(" ".join(record[1].split()))]
    for heading, body in _sections(command.epilog or ""):
        lines += [f".SH {heading.upper()}", ".nf", *(_text(line) for line in body), ".fi"]
    return "\n".join(lines) + "\n"


def _with_subcommands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield f"{path} {name}", below


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _sections(epilog: str) -> list[tuple[str, list[str]]]:
    """Split the end of a help text into headings and their lines."""
    parts = re.split(r"^(\w[\w ]*):$", epilog.replace("\b", ""), flags=re.MULTILINE)[1:]
    return [
        (heading, [line.strip() for line in body.strip("\n").splitlines()])
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def _text(text: str) -> str:
    """Escape characters that troff would interpret."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> int:
    """Write the pages; exit code 1 without a target folder."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python docs/man.py FOLDER\n")
        return 1
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
