"""Check JSON output against the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"
_PATHS = (
    "path",
    "output",
    "report",
    "picture",
    "file",
    "truth",
    "folder",
    "folders",
    "cache_folder",
)


def validated(text: str, kind: str = "") -> dict[str, Any]:
    """Check a document against the schema that it names, and that its paths are absolute; return it.

    Args:
        text: JSON.
        kind: Expected name of the schema without "burstfix."; "" = any schema.
    """
    document = json.loads(text)
    assert next(iter(document)) == "schema"
    assert not kind or document["schema"] == f"burstfix.{kind}"
    schema = json.loads((SCHEMAS / f"{document['schema']}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    for path in paths_in(document):
        assert Path(path).is_absolute(), path
    return document


def paths_in(value: Any, name: str = "") -> list[str]:
    """Return all paths in a document, except those in settings stored in pictures."""
    if isinstance(value, dict):
        return [path for key, one in value.items() if key != "settings" for path in paths_in(one, key)]
    if isinstance(value, list):
        return [path for one in value for path in paths_in(one, name)]
    return [value] if name in _PATHS and isinstance(value, str) else []
