"""The documents that commands print with --json, one type per document. docs/schema is generated from them.

Within one `schema_version`, fields are not removed or renamed and do not change their meaning, but new fields
may be added. Paths are absolute. Frames are numbered from 1. Lengths are in sensor pixels, angles in degrees,
times in seconds, noise in normalised units (0 = black level, 1 = white level).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from burstfix._version import __version__
from burstfix.records.base import BurstDocument, Document
from burstfix.records.evaluation import Compare, Evaluate, HeldOut
from burstfix.records.merging import (
    BatchDone,
    BatchFailed,
    BatchPlan,
    BatchPreview,
    BatchSkipped,
    BatchStarted,
    BatchTally,
    Inspect,
    Merge,
    Plan,
    Reports,
)
from burstfix.records.other import (
    Config,
    Doctor,
    Error,
    Looks,
    NoiseProfile,
    Simulate,
    Train,
    Weights,
    WrittenWeights,
)

__all__ = [
    "BatchDone",
    "BatchFailed",
    "BatchPlan",
    "BatchPreview",
    "BatchSkipped",
    "BatchStarted",
    "BatchTally",
    "BurstDocument",
    "Compare",
    "Config",
    "DOCUMENTS",
    "Doctor",
    "Document",
    "Error",
    "Evaluate",
    "HeldOut",
    "Inspect",
    "Looks",
    "Merge",
    "NoiseProfile",
    "Plan",
    "Reports",
    "SCHEMA_VERSION",
    "Simulate",
    "Train",
    "Weights",
    "WrittenWeights",
    "complete",
    "schema_name",
    "schema_of",
]

SCHEMA_VERSION = 1

DOCUMENTS: tuple[type[Document], ...] = tuple(
    kind
    for kind in (*Document.__subclasses__(), *BurstDocument.__subclasses__())
    if kind.__struct_config__.tag is not None
)
"""All kinds of documents."""


def schema_name(kind: type[Document]) -> str:
    """Return the value of the field `schema` of a kind of document, such as "burstfix.merge"."""
    return str(kind.__struct_config__.tag)


def complete(kind: type[Document], data: Mapping[str, Any]) -> dict[str, Any]:
    """Add the fields that all documents have, and check the types of all fields.

    Raises:
        msgspec.ValidationError: A field has another type, which is a bug in burstfix.
    """
    head = {"schema": schema_name(kind), "schema_version": SCHEMA_VERSION, "version": __version__}
    plain = json.loads(json.dumps(head | dict(data), allow_nan=False))  # converts tuples, str subclasses
    return msgspec.to_builtins(msgspec.convert(plain, kind))


def schema_of(kind: type[Document]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of document.

    It permits additional fields, so that it remains valid when fields are added.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
    for definition in schema["$defs"].values():
        definition.pop("additionalProperties", None)
    return schema
