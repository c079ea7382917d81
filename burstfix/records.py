"""The records that commands print with --json: one type for each document, from which the schemas are made.

Within one `schema_version` no field is removed, renamed or given another meaning; new fields may be added.
Paths are absolute. Numbers of frames count from 1. Lengths are in sensor pixels, angles in degrees, times in
seconds, noise in normalised units (0 = black level, 1 = white level).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from burstfix._version import __version__

SCHEMA_VERSION = 1


class Record(Struct, forbid_unknown_fields=True):
    """A part of a document."""


class Document(Record):
    """What all documents have.

    The field `schema` names the kind of document, `version` is that of burstfix.
    """

    schema_version: Literal[1]
    version: str


# --- parts that several documents share ---


class Noise(Record):
    """Noise, variance = shot_gain * x + read_variance, for the planes R, G (red rows), G (blue rows), B."""

    source: Literal["given", "file", "table", "burst", "frame"]
    shot_gain: list[float]
    read_variance: list[float]


class Reference(Record):
    """The frame that the result looks like; `number` as --reference takes it."""

    path: str
    number: int | None = None


class Motion(Record):
    """Where a frame's content lies against the reference."""

    dy: float
    dx: float
    degrees: float
    confidence: float


class Frame(Record):
    """A raw of a burst. Fields that need its content are missing if it could not be read."""

    number: int | None
    path: str
    reference: bool
    kept: bool
    reason: str | None
    time: str | None = None
    exposure_seconds: float | None = None
    iso: float | None = None
    aperture: float | None = None
    focal_length_mm: float | None = None
    height: int | None = None
    width: int | None = None
    cfa: str | None = None
    black: list[float] | None = None
    white: float | None = None
    file_noise: Noise | None = None
    sharpness: float | None = None
    motion: Motion | None = None


class Opcodes(Record):
    """What happens to the corrections that a DNG asks for."""

    mode: Literal["apply", "skip"]
    applied: list[str]
    skipped: list[str]


class BurstDocument(Document):
    """A burst as `inspect` and `merge` see it."""

    camera: str
    lens: str | None
    reference: Reference
    noise: Noise
    hot_pixels: int
    opcodes: Opcodes
    frames: list[Frame]
    warnings: list[str]


class FileReason(Record):
    """A file, and why it was left out."""

    path: str
    reason: str


class FilePath(Record):
    """A file."""

    path: str


# --- merge, inspect ---


class Inspect(BurstDocument, tag_field="schema", tag="burstfix.inspect"):
    """`burstfix inspect`."""


class Seconds(Record):
    """Time for each stage."""

    read: float
    merge: float
    write: float
    total: float


class Merge(BurstDocument, tag_field="schema", tag="burstfix.merge"):
    """`burstfix merge`. `settings` are those stored in the picture; `report` is the HTML file of --report."""

    output: str
    report: str | None
    format: str
    bit_depth: int
    height: int
    width: int
    megapixels: float
    model: str
    settings: dict[str, Any]
    seconds: Seconds


# --- group, batch ---


class Group(Record):
    """Frames that belong together. `output` is the picture that `batch` would write; null if none."""

    name: str
    kind: Literal["burst", "bracket", "short", "single"]
    folder: str
    frames: list[FilePath]
    camera: str
    time: str | None
    exposure_seconds: float | None
    iso: float | None
    height: int
    width: int
    output: str | None = None


class Counts(Record):
    """How many groups of each kind."""

    burst: int
    single: int
    bracket: int
    short: int


class Plan(Document, tag_field="schema", tag="burstfix.group"):
    """`burstfix group`, and `burstfix batch --dry-run`, which adds the settings."""

    folders: list[str]
    groups: list[Group]
    unreadable: list[FileReason]
    ignored: list[FileReason]
    warnings: list[str]
    counts: Counts
    settings: dict[str, Any] | None = None


class BatchPlan(Document, tag_field="schema", tag="burstfix.batch.plan"):
    """Event of `batch`: what will be merged."""

    event: Literal["plan"]
    counts: Counts


class BatchStarted(Document, tag_field="schema", tag="burstfix.batch.started"):
    """Event of `batch`: a burst is being merged."""

    event: Literal["started"]
    name: str
    frame_count: int
    output: str


class BatchDone(Document, tag_field="schema", tag="burstfix.batch.done"):
    """Event of `batch`: a picture was written."""

    event: Literal["done"]
    name: str
    output: str
    reference: Reference
    frames_used: int
    left_out: list[str]
    noise_source: str
    model: str
    megapixels: float
    seconds: float


class BatchSkipped(Document, tag_field="schema", tag="burstfix.batch.skipped"):
    """Event of `batch`: an earlier run merged this burst (`output`), or failed to (`error`)."""

    event: Literal["skipped"]
    name: str
    output: str | None = None
    error: str | None = None


class BatchFailed(Document, tag_field="schema", tag="burstfix.batch.failed"):
    """Event of `batch`: a burst could not be merged."""

    event: Literal["failed"]
    name: str
    error: str
    exit_code: int


class BatchTally(Document, tag_field="schema", tag="burstfix.batch.tally"):
    """Event of `batch`: the end. `failed` maps bursts, `unreadable` maps files to reasons."""

    event: Literal["tally"]
    output: str
    done: list[str]
    skipped: list[str]
    failed: dict[str, str]
    unreadable: dict[str, str]
    skip_bad: bool
    no_summary: str
    warnings: list[str]
    seconds: float
    exit_code: int


# --- config, noise-profile, simulate ---


class SettingValue(Record):
    """A setting in force; `source` is a file, "command line" or "default"."""

    value: Any
    source: str


class LookedFor(Record):
    """A file that may hold settings."""

    role: Literal["noise table", "user", "folder", "preset", "config"]
    path: str
    exists: bool


class Presets(Record):
    """The user's presets."""

    folder: str
    names: list[str]


class Config(Document, tag_field="schema", tag="burstfix.config"):
    """`burstfix config show`."""

    settings: dict[str, SettingValue]
    files: list[LookedFor]
    presets: Presets
    not_in_folders: list[str]


class MeasuredNoise(Record):
    """Noise of one camera at one ISO."""

    camera: str
    iso: float
    frame_count: int
    noise: Noise


class NoiseProfile(Document, tag_field="schema", tag="burstfix.noise-profile"):
    """`burstfix noise-profile`."""

    output: str
    entries: list[MeasuredNoise]
    warnings: list[str]


class Simulate(Document, tag_field="schema", tag="burstfix.simulate"):
    """`burstfix simulate`."""

    output: str
    frames: list[FilePath]
    reference: Reference
    height: int
    width: int
    noise: Noise
    seed: int


# --- train, evaluate, compare, weights, doctor ---


class Train(Document, tag_field="schema", tag="burstfix.train"):
    """`burstfix train`. `psnr` in dB by noise level; a run has `steps` or `minutes`."""

    output: str
    weights: str
    step: int
    steps: int | None
    minutes: float | None
    psnr: dict[str, float]


class Evaluate(Document, tag_field="schema", tag="burstfix.evaluate"):
    """`burstfix evaluate`: a result for each kind of data, model and noise level; see docs/quality.md."""

    machine: dict[str, Any]
    frames: int
    windows: int
    per_photo: int
    crop: int
    results: list[dict[str, Any]]
    differences: list[dict[str, Any]]


class HeldOut(Document, tag_field="schema", tag="burstfix.held-out"):
    """`burstfix evaluate --bursts`: a result for each burst, model and part; see docs/cli.md."""

    machine: dict[str, Any]
    results: list[dict[str, Any]]


class Similarity(Record):
    """How similar a picture is to another; `psnr` is null if they are equal."""

    path: str
    psnr: float | None
    ssim: float


class Compare(Document, tag_field="schema", tag="burstfix.compare"):
    """`burstfix compare`: each picture against `truth`."""

    truth: str
    pictures: list[Similarity]


class Model(Record):
    """A model of the catalogue; `default_on` lists the devices where `auto` takes it."""

    name: str
    weights: str | None
    usable: bool
    default_on: list[str]
    description: str


class Weights(Document, tag_field="schema", tag="burstfix.weights"):
    """`burstfix weights list`."""

    models: list[Model]


class WrittenWeights(Document, tag_field="schema", tag="burstfix.weights.written"):
    """`burstfix weights import` and `burstfix weights average`."""

    output: str
    model: str
    files: list[str]
    parameters: int


class WrittenReport(Record):
    """The report of one picture."""

    picture: str
    report: str
    frame_count: int


class Reports(Document, tag_field="schema", tag="burstfix.report"):
    """`burstfix report`."""

    reports: list[WrittenReport]


class Looks(Document, tag_field="schema", tag="burstfix.looks"):
    """`burstfix looks`: the values of each look that ships."""

    default: str
    looks: list[dict[str, Any]]


class Doctor(Document, tag_field="schema", tag="burstfix.doctor"):
    """`burstfix doctor`."""

    versions: dict[str, str]
    cpu: dict[str, Any]
    devices: list[dict[str, Any]]
    weights: list[dict[str, Any]]
    settings_files: list[dict[str, Any]]
    cache_folder: str
    problems: list[str]


class Error(Document, tag_field="schema", tag="burstfix.error"):
    """Any command that failed; `exit_code` as in docs/cli.md."""

    error: str
    exit_code: int


DOCUMENTS: tuple[type[Document], ...] = (
    *(Merge, Inspect, Plan, BatchPlan, BatchStarted, BatchDone, BatchSkipped, BatchFailed, BatchTally),
    *(
        Config,
        NoiseProfile,
        Simulate,
        Train,
        Evaluate,
        HeldOut,
        Compare,
        Weights,
        WrittenWeights,
        Looks,
        Doctor,
        Error,
    ),
)
"""All kinds of documents."""


def schema_name(kind: type[Document]) -> str:
    """Returns the value of a kind's field `schema`, such as "burstfix.merge"."""
    return str(kind.__struct_config__.tag)


def complete(kind: type[Document], data: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what all documents have, and checks that the data is of its kind.

    Raises:
        msgspec.ValidationError: It is not: a bug in burstfix.
    """
    head = {"schema": schema_name(kind), "schema_version": SCHEMA_VERSION, "version": __version__}
    plain = json.loads(json.dumps(head | dict(data), allow_nan=False))  # tuples and subclasses of str
    return msgspec.to_builtins(msgspec.convert(plain, kind))


def schema_of(kind: type[Document]) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a kind of document.

    Fields that it does not list are allowed, so that it stays valid when fields are added.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
    for definition in schema["$defs"].values():
        definition.pop("additionalProperties", None)
    return schema
