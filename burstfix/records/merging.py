"""Documents of the commands that read bursts: inspect, merge, report, group and batch."""

from __future__ import annotations

from typing import Any, Literal

from burstfix.records.base import BurstDocument, Document, FilePath, FileReason, Record, Reference


class Inspect(BurstDocument, tag_field="schema", tag="burstfix.inspect"):
    """`burstfix inspect`."""


class Seconds(Record):
    """Time for each stage."""

    read: float
    merge: float
    write: float
    total: float


class Merge(BurstDocument, tag_field="schema", tag="burstfix.merge"):
    """`burstfix merge`.

    `settings` are those stored in the picture. `report` is the HTML file of --report. `peak_memory_bytes` is
    the peak memory of the process, without the raw decoder.
    """

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
    peak_memory_bytes: int | None = None


class WrittenReport(Record):
    """The report of one picture."""

    picture: str
    report: str
    frame_count: int


class Reports(Document, tag_field="schema", tag="burstfix.report"):
    """`burstfix report`."""

    reports: list[WrittenReport]


class Group(Record):
    """Frames that belong together. `output` is the picture that `batch` would write, or null."""

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
    """Numbers of groups by kind."""

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


class PreviewedBurst(Record):
    """A burst on the contact sheet of a preview."""

    name: str
    frame_count: int
    frames_used: int
    left_out: list[str]
    reference: Reference


class BatchPreview(Document, tag_field="schema", tag="burstfix.batch.preview"):
    """`burstfix batch --preview`: `output` is the contact sheet."""

    output: str
    bursts: list[PreviewedBurst]
    failed: dict[str, str]
    unreadable: dict[str, str]
    exit_code: int


class BatchPlan(Document, tag_field="schema", tag="burstfix.batch.plan"):
    """Event of `batch`: the numbers of groups found, before the first merge."""

    event: Literal["plan"]
    counts: Counts


class BatchStarted(Document, tag_field="schema", tag="burstfix.batch.started"):
    """Event of `batch`: a burst is being merged."""

    event: Literal["started"]
    name: str
    frame_count: int
    output: str


class BatchDone(Document, tag_field="schema", tag="burstfix.batch.done"):
    """Event of `batch`: a picture was written and, with --report, its report page `report` as well."""

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
    report: str | None = None


class BatchSkipped(Document, tag_field="schema", tag="burstfix.batch.skipped"):
    """Event of `batch`: an earlier run merged this burst (`output`) or failed on it (`error`)."""

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
    """Last event of `batch`. `failed` maps bursts to reasons, and `unreadable` maps files to reasons."""

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
