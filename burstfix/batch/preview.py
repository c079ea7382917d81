"""Contact sheet of all bursts in folders, merged quickly at a quarter of their height and width."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burstfix.analysis.noise_table import load_table
from burstfix.atomic import atomic_path
from burstfix.batch.job import Job, Outcome
from burstfix.batch.journal import Journal
from burstfix.batch.local import LocalWorker
from burstfix.batch.lock import log_file, only_run
from burstfix.batch.output_folder import OutputFolder
from burstfix.batch.plan import FoundBurst
from burstfix.batch.planning import plan_folders
from burstfix.batch.raw_info import InfoReader
from burstfix.batch.report import CallbackError, Event, EventKind, OnEvent, OnProgress, call
from burstfix.batch.settings import BatchSettings
from burstfix.errors import BatchError
from burstfix.report.html.cards import Card, render_cards

SHEET_NAME = "preview.html"
_QUALITY = 80
_CARD_WIDTH = 300  # pixels


@dataclass(slots=True)
class PreviewReport:
    """The contact sheet of a preview.

    Attributes:
        output: The sheet.
        bursts: Description of each merged burst, as JSON values; see `records.PreviewedBurst`.
        failed: Name and reason of each burst that could not be merged.
        unreadable: Path and reason of each raw that cannot be read and is missing from its burst.
        skip_bad: True if bursts may be merged without their unreadable raws.
    """

    output: Path
    bursts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    skip_bad: bool = False

    @property
    def exit_code(self) -> int:
        """Exit code: 8 if a burst failed, or if a raw is unreadable and `skip_bad` is False; otherwise 0."""
        is_faulty = self.failed or (self.unreadable and not self.skip_bad)
        return BatchError.exit_code if is_faulty else 0

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        document = dataclasses.asdict(self) | {"output": str(self.output), "exit_code": self.exit_code}
        del document["skip_bad"]
        return document


def preview_folders(
    folders: Iterable[Path],
    output: Path,
    settings: BatchSettings,
    *,
    on_event: OnEvent | None = None,
    on_progress: OnProgress | None = None,
) -> PreviewReport:
    """Merge every burst in folders at a quarter of its size, and write all pictures into one HTML file.

    The model "auto" stands for "average". Corrections stored in a DNG as opcodes are not applied. No other
    files are written.

    Args:
        folders: Folders to search, including their subfolders.
        output: Folder for the sheet, `preview.html`; created if missing. An existing sheet is replaced.
        settings: Settings of the batch. Settings of the picture files have no effect.
        on_event: Called with the events "plan", "done" and "failed", in the calling thread.
        on_progress: Called with (burst, stage, done, total), in the calling thread. The burst is "" while
            folders are searched.

    Raises:
        InputError: A folder does not exist, or the table of noise profiles is invalid.
        OutputError: The sheet cannot be written, or a batch is running in the same output folder.
        UsageError: The settings contradict each other, or this machine does not support them.
        WeightsError: The model's weights are missing or damaged.
    """
    target = OutputFolder(output)
    settings = _for_preview(settings)
    if settings.noise_profiles:
        # An invalid table raises one error here, instead of one error per burst.
        load_table(Path(settings.noise_profiles))
    with only_run(target.path), log_file(target.path):
        target.clear_staging()
        try:
            return _Preview(target, settings, on_event, on_progress).run(list(folders))
        except CallbackError as raised:
            raise raised.error from None
        finally:
            target.clear_staging()


def _for_preview(settings: BatchSettings) -> BatchSettings:
    """Replace the settings of the picture files, so that pictures are written as small JPEG files."""
    changed: dict[str, Any] = dict(
        **{"format": "jpeg", "layout": "{first}", "bit_depth": None, "quality": _QUALITY, "scale": 1.0},
        **{"max_size": 0, "color_space": "srgb", "report": False},
    )
    if settings.exposure == "shared":  # finding a shared exposure would take longer than the preview
        changed["exposure"] = "auto"
    return dataclasses.replace(settings, **changed).for_preview()


class _Preview:
    """A running preview, which holds the lock of the output folder."""

    def __init__(
        self,
        output: OutputFolder,
        settings: BatchSettings,
        on_event: OnEvent | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._output, self._settings = output, settings
        self._on_event, self._on_progress = on_event, on_progress
        self._report = PreviewReport(output.path / SHEET_NAME, skip_bad=settings.skip_bad)
        self._cards: list[Card] = []

    def run(self, folders: list[Path]) -> PreviewReport:
        worker = LocalWorker(self._settings)
        journal = Journal(self._output.path)
        try:
            with journal.transaction():  # stores the metadata, so that a batch does not read it again
                reader = InfoReader(journal)
                plan = plan_folders(
                    folders, self._settings, self._output.path, reader, progress=self._scan_progress
                )
        finally:
            journal.close()
        bursts = plan.of_kind("burst", "single") if self._settings.singles else plan.bursts
        self._report.unreadable = {str(skipped.path): skipped.reason for skipped in plan.unreadable}
        self._emit("plan", plan.document({burst.key: burst.name for burst in bursts}))
        for outcome in worker.run(self._jobs(bursts), on_progress=self._job_progress):
            self._add(outcome)
        self._write()
        return self._report

    def _jobs(self, bursts: Sequence[FoundBurst]) -> Iterator[Job]:
        for number, burst in enumerate(bursts):
            staging = self._output.staging / f"{os.getpid()}-{number}.jpg"
            yield Job(
                burst.key, burst, burst.name, staging, self._settings, self._report.output, "", preview=True
            )

    def _add(self, outcome: Outcome) -> None:
        """Add a burst to the sheet."""
        burst = outcome.job.burst
        if outcome.error:
            self._report.failed[burst.name] = outcome.error
            self._cards.append(Card(burst.name, (f"failed: {outcome.error}",), is_fault=True))
            self._emit("failed", {"name": burst.name})
            return
        result, path = outcome.result, outcome.job.staging
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
        path.unlink()
        lines = [
            f"{result['used']} of {len(burst.paths)} frames, reference {result['reference']}",
            *(f"left out: {reason}" for reason in result["left_out"]),
        ]
        self._cards.append(Card(burst.name, lines, picture=f"data:image/jpeg;base64,{picture}"))
        self._report.bursts.append(
            {
                "name": burst.name,
                "frame_count": len(burst.paths),
                "frames_used": result["used"],
                "left_out": result["left_out"],
                "reference": {"path": str(burst.paths[0].parent / result["reference"])},
            }
        )
        self._emit("done", {"name": burst.name})

    def _write(self) -> None:
        report = self._report
        subtitle = f"A quarter of height and width. Bursts: {len(report.bursts)}"
        subtitle += f", failed: {len(report.failed)}" if report.failed else ""
        subtitle += f", unreadable raws: {len(report.unreadable)}" if report.unreadable else ""
        page = render_cards("Preview", subtitle, self._cards, card_width=_CARD_WIDTH)
        with atomic_path(report.output, overwrite=True) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _scan_progress(self, stage: str, done: int, total: int) -> None:
        if self._on_progress:
            call(self._on_progress, "", stage, done, total)

    def _job_progress(self, job: Job, stage: str, done: int, total: int) -> None:
        if self._on_progress:
            call(self._on_progress, job.burst.name, stage, done, total)

    def _emit(self, kind: EventKind, data: dict[str, Any]) -> None:
        if self._on_event:
            call(self._on_event, Event(kind, data))
