"""The template engine of the reports."""

from __future__ import annotations

import importlib.resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from burstfix.names import printable


def render_template(name: str, **values: Any) -> str:
    """Fill in a template of this package.

    The engine escapes all text, including control and bidirectional characters.

    Args:
        name: File name of the template.
        values: Values of the variables of the template.
    """
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_printable,
    )
    return environment.get_template(name).render(**values)


def _source(name: str) -> str:
    return importlib.resources.files("burstfix.report.html").joinpath(name).read_text("utf-8")


def _printable(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup) and not value.startswith("data:image/"):
        return printable(value)
    return value
