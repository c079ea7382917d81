"""A batch from beginning to end: lock, plan, merge what is not merged yet, journal, tally."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from burstfix.analysis.noise_table import load_table
from burstfix.batch.job import Job, Outcome, failure, is_no_room
from burstfix.batch.journal import Journal
from burstfix.batch.lock import log_file, only_run
from burstfix.batch.plan import FoundBurst, Plan
from burstfix.batch.planning import model_name, outputs_of, plan_folders
from burstfix.batch.raw_info import InfoReader, file_stamp
from burstfix.batch.settings import BatchSettings
from burstfix.batch.summary import write_summary
from burstfix.batch.superseded import inputs_hash, is_unchanged, remove_superseded, superseded_key
from burstfix.batch.watch import watch_folders
from burstfix.batch.worker import Worker, make_worker
from burstfix.errors import BatchError, InputError, OutputError
from burstfix.io.read.copies import hash_file

STAGING = ".burstfix-staging"

log = logging.getLogger(__name__)

EventKind = Literal["plan", "started", "done", "skipped", "failed", "tally"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a batch.

    Attributes:
        kind: "plan" (what will be merged); for each burst "skipped" (an earlier run dealt with it), or
            "started" and then "done" or "failed"; at the end "tally".
        data: Facts, as JSON holds them.
    """

    kind: EventKind
    data: dict[str, Any]


OnEvent = Callable[[Event], None]
OnProgress = Callable[[str, str, int, int], None]


@dataclass(slots=True)
class BatchReport:
    """What a batch has done.

    Attributes:
        output: The output folder.
        done, skipped: Names of bursts merged now, and by earlier runs. Where several bursts have one name,
            all but the first are called by their first frame's whole path and time.
        failed: Name and reason of each burst that could not be merged, now or in an earlier run.
        unreadable: Path and reason of each raw that cannot be read, and so is missing from a burst.
        skip_bad: Whether bursts were to be merged without their unreadable raws.
        no_summary: Why the summary could not be written, "" where it was.
        warnings: Sentences for people.
        seconds: Spent in all.
    """

    output: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    no_summary: str = ""
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """8 where a burst failed or lacks a raw that nobody allowed it to lack; 5 without summary; else 0."""
        if self.failed or (self.unreadable and not self.skip_bad):
            return BatchError.exit_code
        return OutputError.exit_code if self.no_summary else 0

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self) | {"output": str(self.output), "exit_code": self.exit_code}


class CallbackError(BaseException):
    """What a caller's function raised, on its way past all that turns exceptions into failed bursts."""

    def __init__(self, error: Exception) -> None:
        """Wraps the exception that `run_batch` raises in the end."""
        self.error = error


def run_batch(
    folders: Iterable[Path | str],
    output: Path | str,
    settings: BatchSettings | None = None,
    *,
    retry_failed: bool = False,
    cluster: str | None = None,
    watch: bool = False,
    stop: threading.Event | None = None,
    on_event: OnEvent | None = None,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Finds the bursts in folders and merges each into a picture in the output folder.

    Killed at any moment and run again, it goes on where it was. Bursts merged by earlier runs are not merged
    again unless their frames or the settings have changed. One bad burst does not stop the rest.

    Args:
        folders: Where to look, folders in them included.
        output: Where pictures, journal, log and summary go; made if missing.
        settings: By default those of `BatchSettings`.
        retry_failed: Try bursts again that failed in an earlier run.
        cluster: Address of a Dask scheduler, or "local"; None works in this process.
        watch: Go on as files arrive, until `stop` is set.
        stop: Ends the batch after the burst at work.
        on_event: Told of every event, in the calling thread.
        on_progress: Called with (burst, stage, done, total) in the calling thread.

    Raises:
        InputError: A folder does not exist, or the table of noise profiles is not usable.
        OutputError: The output folder cannot be used, another run is at work there, or the disk is full.
        UsageError: Settings that make no sense here.
        WeightsError: The model's weights are missing or damaged.
        Exception: What `on_event` or `on_progress` raises ends the batch; the next one goes on.
    """
    sources = [Path(folder) for folder in folders]
    target = Path(output).resolve()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made ({error.strerror or error})") from error
    if settings and settings.noise_profiles:
        load_table(Path(settings.noise_profiles))  # a bad one would fail every burst
    with only_run(target), log_file(target):
        batch = Batch(sources, target, settings or BatchSettings(), retry_failed, on_event, on_progress, stop)
        try:
            return batch.run(cluster, watch)
        except CallbackError as raised:
            raise raised.error from None
        finally:
            batch.close()


class Batch:
    """A batch at work; the lock is held."""

    def __init__(
        self,
        folders: list[Path],
        output: Path,
        settings: BatchSettings,
        retry_failed: bool,
        on_event: OnEvent | None,
        on_progress: OnProgress | None,
        stop: threading.Event | None,
    ) -> None:
        self.folders, self.output, self.settings = folders, output, settings
        self.retry_failed, self.on_event, self.on_progress = retry_failed, on_event, on_progress
        self.stop = stop or threading.Event()
        self.report = BatchReport(output, skip_bad=settings.skip_bad)
        self._staging = output / STAGING
        self._settings_hash = settings_hash(settings)
        self.journal = Journal(output)
        self.reader = InfoReader(self.journal)
        self._numbers = 0
        self._names: dict[str, str] = {}  # in the report, and the burst (key) that each is of

    def close(self) -> None:
        """Leaves the folder tidy."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self.journal.close()

    def run(self, cluster: str | None, watch: bool) -> BatchReport:
        """Everything; see `run_batch`."""
        began = time.perf_counter()
        # What a killed run was writing.
        shutil.rmtree(self._staging, ignore_errors=True)
        with make_worker(self.settings, cluster) as worker:
            try:
                if watch:
                    settle = self.settings.settle
                    for plan in watch_folders(self.folders, self.output, settle, self.plan, self.stop.is_set):
                        self._work_through(plan, worker)
                        self._summarise()
                else:
                    self._work_through(self.plan(), worker)
            finally:
                self.report.seconds = round(time.perf_counter() - began, 3)
        self._summarise()
        self._tell("tally", self.report.document())
        return self.report

    def plan(self, without: frozenset[Path] = frozenset()) -> Plan:
        """The bursts that lie in the folders now, but for some files."""
        with self.journal.together():
            return plan_folders(self.folders, self.settings, self.output, self.reader, without=without)

    def _summarise(self) -> None:
        entries = self.journal.entries()
        try:
            write_summary(self.output, entries)
            self.report.no_summary = ""
        except OutputError as error:  # the pictures are there, and so is the tally
            self.report.no_summary = str(error)
            log.warning("no summary: %s", error)

    def _work_through(self, plan: Plan, worker: Worker) -> None:
        for warning in plan.warnings:
            if warning not in self.report.warnings:
                self.report.warnings.append(warning)
                log.warning("%s", warning)
        self.report.unreadable = {str(a.path): a.reason for a in plan.unreadable}
        outputs = outputs_of(
            plan, self.settings, model_name(self.settings), self.journal.entries(), self.output
        )
        wanted = [burst for burst in plan.groups if burst.key in outputs]
        self._tell("plan", plan.document(outputs))
        log.info("%d bursts to look at", len(wanted))
        outcomes = worker.run(self._jobs(wanted, outputs), self._start, self._progress)
        try:
            for outcome in outcomes:
                self._finish(outcome)
        finally:
            outcomes.close()
        remove_superseded(wanted, self.output, self.settings.layout, self.journal, self.reader)

    def _jobs(self, bursts: list[FoundBurst], outputs: dict[str, str]) -> Iterator[Job]:
        """The jobs that are not done yet."""
        for burst in bursts:
            if self.stop.is_set():
                return
            key = burst.key
            self._numbers += 1
            suffix = Path(outputs[key]).suffix
            staging = self._staging / f"{os.getpid()}-{self._numbers}{suffix}"
            job = Job(key, burst, outputs[key], staging, self.settings, inputs="")
            try:
                # Before they are read: frames replaced after that are not what is recorded, and are redone.
                job = dataclasses.replace(job, inputs=inputs_hash(burst.paths, self.reader))
            except InputError as error:  # a file went away since it was found
                self._finish(failure(job, error))
                continue
            if not self._is_settled(job):
                yield job

    def _is_settled(self, job: Job) -> bool:
        """Whether an earlier run has dealt with this very burst in these very settings."""
        entry = self.journal.entry(job.key)
        if entry is None:
            moved = self.journal.same_inputs(job.inputs, self._settings_hash)
            if moved and not Path(moved.frames[0]).exists():
                self.journal.rename(moved.key, job.key)
                entry = self.journal.entry(job.key)
        if entry is None or entry.inputs != job.inputs or entry.settings != self._settings_hash:
            return False
        name = self._name(job)
        if entry.state == "done" and (self.output / entry.output).exists():
            if name not in (*self.report.done, *self.report.skipped):
                self.report.skipped.append(name)
            self._tell("skipped", {"name": name, "output": entry.output})
            return True
        if entry.state == "failed" and not self.retry_failed:
            self.report.failed[name] = entry.error or ""
            self._tell("skipped", {"name": name, "error": entry.error})
            return True
        return False

    def _start(self, job: Job) -> None:
        """Records that a job is at work, once it is clear that its picture's name is free or our own."""
        self._refuse_foreign(job)
        self._record_start(job)
        self._tell("started", {"name": self._name(job), "frames": len(job.burst.paths), "output": job.output})

    def _name(self, job: Job) -> str:
        """What the burst is called in the report; no other is called so."""
        name = job.burst.name
        return name if self._names.setdefault(name, job.key) == job.key else job.key

    def _record_start(self, job: Job) -> None:
        entry = self.journal.entry(job.key)
        if entry and entry.output != job.output:
            # Other frames, another name. The picture that there is stays, and stays known (`former`).
            before = self.output / entry.output
            if before.exists() and (entry.stamp or entry.state == "running"):
                self.journal.rename(entry.key, superseded_key(entry.key, entry.output))
            self.journal.rename(superseded_key(job.key, job.output), job.key)  # a name that it had once
        self.journal.start(
            job.key,
            name=job.burst.name,
            inputs=job.inputs,
            settings=self._settings_hash,
            layout=self.settings.layout,
            output=job.output,
            frames=[str(path) for path in job.burst.paths],
        )

    def _refuse_foreign(self, job: Job) -> None:
        path = self.output / job.output
        if self.settings.overwrite or not path.exists():
            return
        entry = self.journal.entry(job.key)
        if entry is None or entry.output != job.output:
            entry = self.journal.entry(superseded_key(job.key, job.output))
        if entry:
            if is_unchanged(entry, path):
                return
            if entry.stamp:
                raise OutputError(f"{path}: was changed since it was written; move it, or allow overwriting")
        raise OutputError(f"{path}: exists already and is not from this batch; move it, or allow overwriting")

    def _finish(self, outcome: Outcome) -> None:
        """Moves a picture into place and records it; or records why there is none."""
        job = outcome.job
        name = self._name(job)
        if not outcome.error:
            try:
                path = self.output / job.output
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(job.staging, path)
                self.journal.finish(job.key, stamp=file_stamp(path), facts=outcome.facts)
            except OSError as error:
                outcome = failure(job, OutputError(f"{job.output}: cannot be written ({error.strerror})"))
                outcome = dataclasses.replace(outcome, no_room=is_no_room(error))
        if outcome.no_room:
            # The burst stays "running": nothing is wrong with it, and the next run takes it up.
            raise OutputError(
                f"{self.output}: the disk is full ({outcome.error}); "
                "free some space and run again, it goes on where it stopped"
            )
        if outcome.error:
            job.staging.unlink(missing_ok=True)
            self._record_failure(job, outcome)
            self.report.failed[name] = outcome.error
            log.error("%s: failed: %s", name, outcome.error)
            self._tell("failed", {"name": name, "error": outcome.error, "exit_code": outcome.exit_code})
            return
        self.report.failed.pop(name, None)
        if name not in self.report.done:
            self.report.done.append(name)
        facts = {key: value for key, value in outcome.facts.items() if key != "thumb"}
        log.info("%s: %s", name, json.dumps(facts))
        self._tell("done", {"name": name, "output": job.output, **facts})

    def _record_failure(self, job: Job, outcome: Outcome) -> None:
        # At once, as it may not have been started: a name on which it failed is not its own.
        with self.journal.together():
            self._record_start(job)
            self.journal.fail(job.key, error=outcome.error, exit_code=outcome.exit_code)

    def _progress(self, job: Job, stage: str, done: int, total: int) -> None:
        if self.on_progress:
            _call(self.on_progress, self._name(job), stage, done, total)

    def _tell(self, kind: EventKind, data: dict[str, Any]) -> None:
        if self.on_event:
            _call(self.on_event, Event(kind, data))


def _call(callback: Callable[..., None], *values: object) -> None:
    try:
        callback(*values)
    except Exception as error:
        raise CallbackError(error) from error


def settings_hash(settings: BatchSettings) -> str:
    """Changes when the pictures would."""
    values = settings.result_settings()
    for name in ("model", "noise_profiles"):
        # A file counts by its content; a name of the catalogue by itself.
        if values[name] and Path(values[name]).is_file():
            values[name] = hash_file(Path(values[name]))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
