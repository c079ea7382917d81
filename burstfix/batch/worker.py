"""Who merges: this process, or machines of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from burstfix.batch.job import Job, Outcome
from burstfix.batch.local import LocalWorker
from burstfix.batch.settings import BatchSettings

Starting = Callable[[Job], None]
OnProgress = Callable[[Job, str, int, int], None]


class Worker(Protocol):
    """Works through jobs."""

    def run(
        self, jobs: Iterable[Job], starting: Starting, progress: OnProgress | None
    ) -> Generator[Outcome, None, None]:
        """What became of each job, as they end; `starting` is called before a job may write."""
        ...


@contextmanager
def make_worker(settings: BatchSettings, cluster: str | None) -> Iterator[Worker]:
    """A worker for as long as the body runs.

    Args:
        settings: Device, model, memory.
        cluster: Address of a Dask scheduler, "local" for one made here, or None for this process.

    Raises:
        UsageError: No such device, model or scheduler, or versions that do not match.
        WeightsError: The weights are missing or damaged.
    """
    if cluster is None:
        yield LocalWorker(settings)
        return
    from burstfix.batch.cluster import cluster_worker

    with cluster_worker(settings, cluster) as worker:
        yield worker
