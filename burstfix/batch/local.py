"""Works through bursts on this machine: the next are read while one is merged and the last is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from burstfix.batch.job import Job, Outcome, failure, loaded, model_of, timed_merge, timed_read, write
from burstfix.batch.journal import JournalError
from burstfix.batch.memory import Budget, burst_bytes
from burstfix.batch.settings import BatchSettings
from burstfix.engine.device import pick_precision
from burstfix.engine.select import select_device
from burstfix.errors import OutOfMemoryError
from burstfix.types import Burst

OnProgress = Callable[[Job, str, int, int], None]


@dataclass(slots=True)
class _Reading:
    job: Job
    size: int
    future: Future[tuple[Burst, float]]


@dataclass(slots=True)
class _Writing:
    job: Job
    size: int
    future: Future[dict[str, Any]]


class LocalWorker:
    """Loads the model once and merges bursts with it.

    Decoding happens in a process of its own and writing mostly in compression libraries, so both overlap with
    merging in threads.
    """

    def __init__(self, settings: BatchSettings) -> None:
        """Checks the device and loads the model.

        Raises:
            UsageError: There is no such device, precision or model.
            WeightsError: The weights are missing or damaged.
        """
        self._device = select_device(settings.device)
        pick_precision(settings.precision, self._device)
        loaded.cache_clear()  # weight files may have changed since an earlier batch of this process
        loaded(settings.model, self._device.type, settings.ensemble)
        self._jobs = settings.jobs
        self._budget = Budget(settings.max_memory)

    def run(
        self,
        jobs: Iterable[Job],
        starting: Callable[[Job], None] | None = None,
        progress: OnProgress | None = None,
    ) -> Generator[Outcome, None, None]:
        """Works through jobs.

        Args:
            jobs: Drawn from as work proceeds.
            starting: Called in this thread before a job writes anything.
            progress: Called with (job, stage, done, total) while a job is merged.

        Yields:
            What became of each job, as they end.
        """
        waiting = iter(jobs)
        upcoming: Job | None = next(waiting, None)
        reading: deque[_Reading] = deque()
        writing: deque[_Writing] = deque()
        readers = ThreadPoolExecutor(self._jobs, thread_name_prefix="read")
        writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        try:
            while upcoming or reading or writing:
                # One more than there are readers: a burst that is read and waits for the merge.
                while upcoming and len(reading) <= self._jobs:
                    size = burst_bytes(upcoming.burst)
                    if not self._budget.can_ever_fit(size):
                        yield failure(upcoming, self._too_large(upcoming, size))
                        upcoming = next(waiting, None)
                        continue
                    if not self._budget.fits(size):
                        break
                    self._budget.take(size)
                    reading.append(_Reading(upcoming, size, readers.submit(timed_read, upcoming)))
                    upcoming = next(waiting, None)
                if not reading:
                    if writing:  # else the last bursts were all too large
                        yield self._written(writing.popleft())
                    continue
                outcome = self._merge(reading.popleft(), writer, writing, starting, progress)
                if outcome:
                    yield outcome
                # One picture is written while the next is merged; more would pile up in memory.
                while writing and (len(writing) > 1 or writing[0].future.done()):
                    yield self._written(writing.popleft())
        finally:
            for pool in (readers, writer):
                pool.shutdown(wait=True, cancel_futures=True)

    def _merge(
        self,
        item: _Reading,
        writer: ThreadPoolExecutor,
        writing: deque[_Writing],
        starting: Callable[[Job], None] | None,
        progress: OnProgress | None,
    ) -> Outcome | None:
        """Merges a burst and hands it to the writer; an outcome only where that failed."""
        job = item.job
        try:
            burst, seconds = item.future.result()
            if starting:
                starting(job)
            model = model_of(job, burst)
            tile = self._budget.tile(model.info, len(burst.frames), self._device)

            def report(stage: str, done: int, total: int) -> None:
                self._budget.trim()  # tile by tile
                if progress:
                    progress(job, stage, done, total)

            linear, merging = timed_merge(job, burst, model, tile, report)
            future = writer.submit(write, job, burst, linear, seconds + merging)
            writing.append(_Writing(job, item.size, future))
        except JournalError:
            raise
        except Exception as error:
            self._budget.give_back(item.size)
            return failure(job, error)
        return None

    def _written(self, item: _Writing) -> Outcome:
        try:
            return Outcome(item.job, item.future.result())
        except Exception as error:
            return failure(item.job, error)
        finally:
            self._budget.give_back(item.size)

    def _too_large(self, job: Job, size: int) -> OutOfMemoryError:
        return OutOfMemoryError(
            f"{len(job.burst.paths)} frames of {job.burst.height * job.burst.width / 1e6:.0f} megapixels need"
            f" about {size / 1e9:.2f} GB, {self._budget.for_bursts / 1e9:.2f} GB are left of the limit; "
            "allow more with --max-memory, or cut bursts with --max-frames"
        )
