"""Run a batch: lock the folder, plan, merge the remaining bursts, keep the journal, report."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from burstfix.analysis.noise_table import load_table
from burstfix.batch.job import Job, Outcome, failure, is_disk_full
from burstfix.batch.journal import Entry, Journal, JournalError
from burstfix.batch.layout import page_of
from burstfix.batch.lock import log_file, only_run
from burstfix.batch.output_folder import OutputFolder
from burstfix.batch.pages import write_index
from burstfix.batch.plan import FoundBurst, Plan
from burstfix.batch.planning import model_name, outputs_of, plan_folders
from burstfix.batch.raw_info import InfoReader, file_stamp
from burstfix.batch.report import BatchReport, CallbackError, Event, EventKind, OnEvent, OnProgress, call
from burstfix.batch.settings import BatchSettings
from burstfix.batch.shared_exposure import SharedExposure
from burstfix.batch.summary import write_summary
from burstfix.batch.superseded import inputs_hash, is_unchanged, remove_superseded, superseded_key
from burstfix.batch.watch import watch_folders
from burstfix.batch.worker import Worker, make_worker
from burstfix.errors import InputError, OutOfMemoryError, OutputError
from burstfix.io.read.copies import hash_file
from burstfix.io.write.raw_guard import refuse_raw
from burstfix.types import Progress

MAX_ATTEMPTS = 3
"""If this many runs are killed while they merge the same burst, the burst is recorded as failed."""

log = logging.getLogger(__name__)


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
    """Find the bursts in folders and merge each burst into a picture in the output folder.

    If a run is killed, the next run continues it. Bursts merged by earlier runs are not merged again unless
    their frames or the settings have changed. A burst that fails does not stop the others.

    Args:
        folders: Folders to search, including their subfolders.
        output: Folder for pictures, journal, log and summary; created if missing.
        settings: Settings of the batch; by default `BatchSettings()`.
        retry_failed: Retry bursts that failed in an earlier run.
        cluster: Address of a Dask scheduler, or "local" to start one; None = merge in this process.
        watch: Keep running and merge bursts as their files arrive, until `stop` is set.
        stop: Event that ends the batch after the current burst.
        on_event: Called with every event, in the calling thread.
        on_progress: Called with (burst, stage, done, total), in the calling thread. The burst is "" while
            folders are searched (stage "scan").

    Raises:
        InputError: A folder does not exist, or the table of noise profiles is invalid.
        OutputError: The output folder cannot be used, another run is using it, or the disk is full.
        UsageError: The settings contradict each other, or this machine does not support them.
        WeightsError: The model's weights are missing or damaged.
        Exception: An exception of `on_event` or `on_progress` ends the batch; the next run continues it.
    """
    settings = settings or BatchSettings()
    target = OutputFolder(output)
    if settings.noise_profiles:
        # An invalid table raises one error here, instead of one error per burst.
        load_table(Path(settings.noise_profiles))
    with only_run(target.path), log_file(target.path):
        batch = Batch([Path(folder) for folder in folders], target, settings, retry_failed, stop)
        batch.on_event, batch.on_progress = on_event, on_progress
        try:
            return batch.run(cluster, watch)
        except CallbackError as raised:
            raise raised.error from None
        finally:
            batch.close()


class Batch:
    """A running batch, which holds the lock of the output folder."""

    def __init__(
        self,
        folders: Sequence[Path],
        output: OutputFolder,
        settings: BatchSettings,
        retry_failed: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self.folders, self.output, self.settings = folders, output, settings
        self.retry_failed, self.stop = retry_failed, stop or threading.Event()
        self.on_event: OnEvent | None = None
        self.on_progress: OnProgress | None = None
        self.report = BatchReport(output.path, skip_bad=settings.skip_bad)
        self.journal = Journal(output.path)
        self.reader = InfoReader(self.journal)
        self._settings_hash = settings_hash(settings)
        self._job_count = 0
        self._names: dict[str, str] = {}  # name in the report -> key of the burst

    def close(self) -> None:
        """Remove unfinished pictures and close the journal."""
        self.output.clear_staging()
        self.journal.close()

    def run(self, cluster: str | None, watch: bool) -> BatchReport:
        """Run the batch; see `run_batch`."""
        began = time.perf_counter()
        self.output.clear_staging()
        with make_worker(self.settings, cluster) as worker:
            try:
                for plan in self._plans(watch):
                    self._merge_plan(plan, worker)
                    if watch:
                        self._summarize()
            finally:
                with contextlib.suppress(JournalError):  # the disk is full; the current exception reports it
                    self.journal.end_attempts()  # even after an error, because the process was not killed
                self.report.seconds = round(time.perf_counter() - began, 3)
        self._summarize()
        self._emit("tally", self.report.document())
        return self.report

    def plan(self, without: frozenset[Path] = frozenset(), progress: Progress | None = None) -> Plan:
        """Find the bursts that the folders contain now; leave out the files in `without`."""
        with self.journal.transaction():
            return plan_folders(
                self.folders, self.settings, self.output.path, self.reader, without=without, progress=progress
            )

    def _plans(self, watch: bool) -> Iterator[Plan]:
        if watch:
            output, settle = self.output.path, self.settings.settle
            return watch_folders(self.folders, output, settle, self.plan, self.stop.is_set)
        return iter([self.plan(progress=self._scan_progress)])

    def _summarize(self) -> None:
        try:
            write_summary(self.output.path, self.journal.entries(), self.report.unreadable)
            if self.settings.report:
                write_index(self.output, self.journal.entries())
            self.report.no_summary = ""
        except OutputError as error:  # pictures and report are complete without the summary
            self.report.no_summary = str(error)
            log.warning("the summary was not written: %s", error)

    def _merge_plan(self, plan: Plan, worker: Worker) -> None:
        for warning in plan.warnings:
            if warning not in self.report.warnings:
                self.report.warnings.append(warning)
                log.warning("%s", warning)
        self.report.unreadable = {str(skipped.path): skipped.reason for skipped in plan.unreadable}
        entries = [entry for entry in self.journal.entries() if self.output.contains(entry.output)]
        outputs = outputs_of(plan, self.settings, model_name(self.settings), entries, self.output.path)
        wanted = [burst for burst in plan.groups if burst.key in outputs]
        self._emit("plan", plan.document(outputs))
        log.info("%d bursts found", len(wanted))
        jobs = _Queue(self._jobs(wanted, outputs))
        self._merge(worker, jobs.ordinary())
        # Bursts that may have caused memory to run out are merged last and one at a time.
        for job in sorted(jobs.risky, key=self._risk_key):
            self._merge(worker, iter([job]))
        remove_superseded(wanted, self.output, self.settings.layout, self.journal, self.reader)

    def _merge(self, worker: Worker, jobs: Iterator[Job]) -> None:
        outcomes = worker.run(self._with_attempts_recorded(jobs), self._start, self._progress)
        try:
            for outcome in outcomes:
                self._finish(outcome)
        finally:
            outcomes.close()

    def _with_attempts_recorded(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Record each job before its work starts, so that the next run finds the record after a crash."""
        for job in jobs:
            self.journal.begin_attempt(job.key, job.inputs)
            yield job

    def _jobs(self, bursts: Sequence[FoundBurst], outputs: dict[str, str]) -> Iterator[Job]:
        """Yield the jobs that are not done yet."""
        shared = SharedExposure(bursts, self.settings) if self.settings.exposure == "shared" else None
        for burst in bursts:
            if self.stop.is_set():
                return
            output = outputs[burst.key]
            self._job_count += 1
            staging = self.output.staging / f"{os.getpid()}-{self._job_count}{Path(output).suffix}"
            job = Job(burst.key, burst, output, staging, self.settings, self.output.path / output, inputs="")
            try:
                # Hash before reading. If frames are replaced later, the next run merges the burst again.
                job = dataclasses.replace(job, inputs=inputs_hash(burst.paths, self.reader))
            except InputError as error:  # a file was removed after the search
                self._finish(failure(job, error))
                continue
            if self._is_settled(job):
                continue
            attempts = self._failed_attempts(job)
            if attempts >= MAX_ATTEMPTS:
                self._finish(failure(job, _too_many_attempts(attempts)))
                continue
            if shared is not None:
                settings = dataclasses.replace(self.settings, exposure=shared.of(burst))
                job = dataclasses.replace(job, settings=settings)
            yield dataclasses.replace(job, attempts=attempts)

    def _failed_attempts(self, job: Job) -> int:
        """Count the earlier attempts to merge a burst that ran out of memory or did not end."""
        entry = self.journal.entry(job.key)
        ran_out = entry is not None and entry.exit_code == OutOfMemoryError.exit_code
        unfinished = self.journal.attempts(job.key, job.inputs)
        if self.retry_failed and entry is not None and entry.state == "failed":
            unfinished = min(unfinished, MAX_ATTEMPTS - 1)
        return max(unfinished, int(ran_out))

    def _risk_key(self, job: Job) -> tuple[int, bool]:
        """Return a sort key: the number of attempts, then True if merging had begun."""
        entry = self.journal.entry(job.key)
        return job.attempts, entry is not None and entry.state == "running"

    def _is_settled(self, job: Job) -> bool:
        """Return True if an earlier run merged the burst, or failed, with the same inputs and settings."""
        entry = self._entry_of(job)
        if entry is None or entry.inputs != job.inputs or entry.settings != self._settings_hash:
            return False
        name = self._name(job)
        if entry.state == "done" and self.output.has_picture(entry.output):
            if name not in (*self.report.done, *self.report.skipped):
                self.report.skipped.append(name)
            self._emit("skipped", {"name": name, "output": entry.output})
            return True
        if entry.state == "failed" and not self.retry_failed:
            self.report.failed[name] = entry.error or ""
            self._emit("skipped", {"name": name, "error": entry.error})
            return True
        return False

    def _entry_of(self, job: Job) -> Entry | None:
        """Return the entry of a burst, even if its files have moved (such as a card mounted elsewhere)."""
        entry = self.journal.entry(job.key)
        if entry is None:
            moved = self.journal.same_inputs(job.inputs, self._settings_hash)
            if moved and not Path(moved.frames[0]).exists():
                self.journal.rename(moved.key, job.key)
                entry = self.journal.entry(job.key)
        return entry

    def _start(self, job: Job) -> None:
        """Check that the picture may be written, and record that the job is running."""
        self._check_target(job)
        self._record_start(job)
        self._emit("started", {"name": self._name(job), "frames": len(job.burst.paths), "output": job.output})

    def _name(self, job: Job) -> str:
        """Return the unique name of a burst in the report."""
        name = job.burst.name
        return name if self._names.setdefault(name, job.key) == job.key else job.key

    def _record_start(self, job: Job) -> None:
        entry = self.journal.entry(job.key)
        if entry and entry.output != job.output:
            # The name depends on the frames of the burst. The earlier picture and its entry in the journal
            # stay.
            if self.output.has_picture(entry.output) and (entry.stamp or entry.state == "running"):
                self.journal.rename(entry.key, superseded_key(entry.key, entry.output))
            self.journal.rename(superseded_key(job.key, job.output), job.key)  # if it had this name before
        self.journal.start(
            job.key,
            name=job.burst.name,
            inputs=job.inputs,
            settings=self._settings_hash,
            layout=self.settings.layout,
            output=job.output,
            frames=[str(path) for path in job.burst.paths],
        )

    def _check_target(self, job: Job) -> None:
        """Refuse to replace a raw, a file that is not from this batch, or a picture that was changed later.

        Raises:
            OutputError: Such a file exists under the name of the picture.
        """
        path = self.output.picture(job.output)
        if not path.exists():
            return
        refuse_raw(path, job.burst.paths)
        if self.settings.overwrite:
            return
        entry = self.journal.entry(job.key)
        if entry is None or entry.output != job.output:
            entry = self.journal.entry(superseded_key(job.key, job.output))
        if entry:
            if is_unchanged(entry, path):
                return
            if entry.stamp:
                raise OutputError(f"{path}: was changed after it was written; move it, or add --overwrite")
        raise OutputError(f"{path}: already exists and is not from this batch; move it, or add --overwrite")

    def _finish(self, outcome: Outcome) -> None:
        """Move a finished picture to its place and record it, or record the failure."""
        job = outcome.job
        name = self._name(job)
        if not outcome.error:
            try:
                if job.settings.report:
                    self.output.move_in(job.staged_page, page_of(job.output))
                path = self.output.move_in(job.staging, job.output)
                self.journal.finish(job.key, stamp=file_stamp(path), result=outcome.result)
            except OSError as error:
                reason = OutputError(f"{job.output}: cannot be written ({error.strerror})")
                outcome = dataclasses.replace(failure(job, reason), disk_full=is_disk_full(error))
            except JournalError:  # not a failure of this burst, which the next run continues
                raise
            except OutputError as error:
                outcome = failure(job, error)
        if outcome.disk_full:
            # The burst stays "running", so that the next run merges it again.
            raise OutputError(
                f"{self.output.path}: the disk is full ({outcome.error}); "
                "free some space and run again to continue"
            )
        if outcome.error:
            job.staging.unlink(missing_ok=True)
            job.staged_page.unlink(missing_ok=True)
            self._record_failure(job, outcome)
            self.report.failed[name] = outcome.error
            log.error("%s: failed: %s", name, outcome.error)
            self._emit("failed", {"name": name, "error": outcome.error, "exit_code": outcome.exit_code})
            return
        self.journal.end_attempts(job.key)
        self.report.failed.pop(name, None)
        if name not in self.report.done:
            self.report.done.append(name)
        result = {key: value for key, value in outcome.result.items() if key != "thumb"}
        log.info("%s: %s", name, json.dumps(result))
        folder = str(job.burst.paths[0].parent)
        page = page_of(job.output) if job.settings.report else None
        self._emit("done", {"name": name, "output": job.output, "report": page, "folder": folder, **result})

    def _record_failure(self, job: Job, outcome: Outcome) -> None:
        # A "running" burst may replace the picture of its name. The transaction ensures that a burst that
        # failed before its start never appears as "running".
        with self.journal.transaction():
            self._record_start(job)
            self.journal.fail(job.key, error=outcome.error, exit_code=outcome.exit_code)
            self.journal.end_attempts(job.key)

    def _progress(self, job: Job, stage: str, done: int, total: int) -> None:
        if self.on_progress:
            call(self.on_progress, self._name(job), stage, done, total)

    def _scan_progress(self, stage: str, done: int, total: int) -> None:
        if self.on_progress:
            call(self.on_progress, "", stage, done, total)

    def _emit(self, kind: EventKind, data: dict[str, Any]) -> None:
        if self.on_event:
            call(self.on_event, Event(kind, data))


class _Queue:
    """Queue that sets aside the jobs that may have run out of memory in an earlier run."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self.risky: list[Job] = []

    def ordinary(self) -> Iterator[Job]:
        """Yield the jobs without risk; collect the others in `risky`."""
        for job in self._jobs:
            if job.attempts:
                self.risky.append(job)
            else:
                yield job


def _too_many_attempts(attempts: int) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"{attempts} runs were killed while they merged this burst, probably for lack of memory; "
        "free memory or set a lower --max-memory, then try again with --retry-failed"
    )


def settings_hash(settings: BatchSettings) -> str:
    """Return a hash of all settings that change the pictures."""
    values = settings.result_settings()
    for name in ("model", "noise_profiles", "look"):
        # Hash the content of a file, but the name of a built-in model or look.
        if values[name] and Path(values[name]).is_file():
            values[name] = hash_file(Path(values[name]))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
