"""Base classes of documents, and the parts that several documents share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Record(Struct, forbid_unknown_fields=True):
    """A part of a document."""


class Document(Record):
    """Fields of every document.

    `schema` names the kind of document; `version` is the version of burstfix.
    """

    schema_version: Literal[1]
    version: str


class Noise(Record):
    """Noise of the planes R, Gr (red rows), Gb (blue rows), B: variance = shot_gain * x + read_variance."""

    source: Literal["given", "file", "table", "burst", "frame"]
    shot_gain: list[float]
    read_variance: list[float]


class Reference(Record):
    """The frame to which the others are aligned; `number` is its value for --reference."""

    path: str
    number: int | None = None


class Motion(Record):
    """Motion of a frame relative to the reference."""

    dy: float
    dx: float
    degrees: float
    confidence: float


class Frame(Record):
    """A raw of a burst. Fields that depend on the content of the raw are missing if it could not be read."""

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
    """Corrections stored in a DNG: those that were applied, and those that were skipped."""

    mode: Literal["apply", "skip"]
    applied: list[str]
    skipped: list[str]


class BurstDocument(Document):
    """Description of a burst: camera, noise, frames."""

    camera: str
    lens: str | None
    reference: Reference
    noise: Noise
    hot_pixels: int
    opcodes: Opcodes
    frames: list[Frame]
    warnings: list[str]


class FileReason(Record):
    """A file that was left out, and the reason."""

    path: str
    reason: str


class FilePath(Record):
    """A file."""

    path: str
