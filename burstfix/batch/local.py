"""Merge in this process. While one burst is merged, the next are read and the previous one is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from burstfix.batch.job import Job, Outcome, cached_model, failure, model_of, timed_merge, timed_read, write
from burstfix.batch.journal import JournalError
from burstfix.batch.memory import Budget, burst_bytes
from burstfix.batch.settings import BatchSettings
from burstfix.engine.device import Device, pick_precision
from burstfix.engine.select import select_device
from burstfix.errors import OutOfMemoryError
from burstfix.types import Burst

OnStart = Callable[[Job], None]
OnProgress = Callable[[Job, str, int, int], None]

_POLL_SECONDS = 0.2  # interval at which the progress of reading is passed on


class _LastProgress:
    """The most recent progress of a reading thread, stored for the thread that merges."""

    def __init__(self) -> None:
        self.value: tuple[str, int, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.value = (stage, done, total)


@dataclass(slots=True)
class _Reading:
    job: Job
    size: int  # bytes taken from the budget
    future: Future[tuple[Burst, float]]
    progress: _LastProgress


@dataclass(slots=True)
class _Writing:
    job: Job
    size: int  # bytes taken from the budget
    future: Future[dict[str, Any]]


class LocalWorker:
    """Worker that loads the model once and merges bursts with it.

    Reading and writing run in threads in parallel with merging. This is efficient because raws are decoded in
    a separate process and compression releases the interpreter lock.
    """

    def __init__(self, settings: BatchSettings) -> None:
        """Check the device and load the model.

        Raises:
            UsageError: The device, precision or model does not exist.
            WeightsError: The weights are missing or damaged.
        """
        self._device = select_device(settings.device)
        pick_precision(settings.precision, self._device)
        cached_model.cache_clear()  # weight files may have changed since an earlier batch of this process
        cached_model(settings.model, self._device.type, settings.ensemble)
        self._readers = settings.jobs
        self._budget = Budget(settings.max_memory)

    def run(
        self,
        jobs: Iterable[Job],
        on_start: OnStart | None = None,
        on_progress: OnProgress | None = None,
    ) -> Generator[Outcome, None, None]:
        """Run jobs.

        Args:
            jobs: Iterator of jobs; the next job is requested when a reader is free.
            on_start: Called in this thread before a job writes anything.
            on_progress: Called with (job, stage, done, total) while a job is merged.

        Yields:
            The outcome of each job when the job ends.
        """
        work = _Work(self._device, self._budget, on_start, on_progress)
        waiting = iter(jobs)
        upcoming = next(waiting, None)
        readers = ThreadPoolExecutor(self._readers, thread_name_prefix="read")
        writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        try:
            while upcoming or work.reading or work.writing:
                # One burst more than there are readers, because one burst has been read and waits to be
                # merged.
                while upcoming and len(work.reading) <= self._readers:
                    size = burst_bytes(upcoming.burst, report=upcoming.settings.report)
                    if not self._budget.can_ever_fit(size):
                        yield failure(upcoming, self._too_large(upcoming, size))
                    elif self._budget.fits(size):
                        self._budget.take(size)
                        progress = _LastProgress()
                        future = readers.submit(timed_read, upcoming, progress)
                        work.reading.append(_Reading(upcoming, size, future, progress))
                    else:
                        break
                    upcoming = next(waiting, None)
                if work.reading:
                    yield from work.merge_next(writer)
                    # Only one picture is written while the next is merged; otherwise pictures would
                    # accumulate in memory.
                    yield from work.written(at_most=1)
                else:
                    yield from work.written(at_most=0)
        finally:
            for pool in (readers, writer):
                pool.shutdown(wait=True, cancel_futures=True)

    def _too_large(self, job: Job, size: int) -> OutOfMemoryError:
        return OutOfMemoryError(
            f"{len(job.burst.paths)} frames of {job.burst.height * job.burst.width / 1e6:.0f} megapixels need"
            f" about {size / 1e9:.2f} GB, but only {self._budget.for_bursts / 1e9:.2f} GB of the limit are "
            "left; increase it with --max-memory, or split bursts with --max-frames"
        )


class _Work:
    """Bursts that are being read or written."""

    def __init__(
        self, device: Device, budget: Budget, on_start: OnStart | None, on_progress: OnProgress | None
    ) -> None:
        self.reading: deque[_Reading] = deque()
        self.writing: deque[_Writing] = deque()
        self._device, self._budget = device, budget
        self._on_start, self._on_progress = on_start, on_progress

    def merge_next(self, writer: ThreadPoolExecutor) -> Iterator[Outcome]:
        """Merge the next burst and submit it to the writer; yield an outcome only if it failed."""
        item = self.reading.popleft()
        job = item.job
        try:
            burst, seconds = self._wait(item)
            if self._on_start:
                self._on_start(job)
            model = model_of(job, burst)
            tile = self._budget.tile(model.info, len(burst.frames), self._device, job.attempts)

            def report(stage: str, done: int, total: int) -> None:
                self._budget.trim()  # after each tile
                if self._on_progress:
                    self._on_progress(job, stage, done, total)

            linear, merging = timed_merge(job, burst, model, tile, report)
            future = writer.submit(write, job, burst, linear, seconds + merging)
            self.writing.append(_Writing(job, item.size, future))
            report("write", 0, 1)
        except JournalError:
            raise
        except Exception as error:
            self._budget.give_back(item.size)
            yield failure(job, error)

    def _wait(self, item: _Reading) -> tuple[Burst, float]:
        """Wait until a burst has been read, and report its progress."""
        while not item.future.done():
            if self._on_progress and item.progress.value:
                self._on_progress(item.job, *item.progress.value)
            wait([item.future], _POLL_SECONDS)
        return item.future.result()

    def written(self, at_most: int) -> Iterator[Outcome]:
        """Yield the outcomes of written pictures until at most this many are being written."""
        while self.writing and (len(self.writing) > at_most or self.writing[0].future.done()):
            item = self.writing.popleft()
            try:
                outcome = Outcome(item.job, item.future.result())
            except Exception as error:
                outcome = failure(item.job, error)
            finally:
                self._budget.give_back(item.size)
            yield outcome
