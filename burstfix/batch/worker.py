"""Provide the worker of a batch: this process, or the machines of a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Protocol

from burstfix.batch.job import Job, Outcome
from burstfix.batch.local import LocalWorker, OnProgress, OnStart
from burstfix.batch.settings import BatchSettings


class Worker(Protocol):
    """Interface of workers."""

    def run(
        self, jobs: Iterable[Job], on_start: OnStart, on_progress: OnProgress | None
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each job when it ends; `on_start` is called before a job writes files."""
        ...


@contextmanager
def make_worker(settings: BatchSettings, cluster: str | None) -> Generator[Worker, None, None]:
    """Provide a worker while the body runs.

    Args:
        settings: Settings with the device, the model and the memory limit.
        cluster: Address of a Dask scheduler; "local" = start one on this machine; None = this process.

    Raises:
        UsageError: The device, model or scheduler does not exist, or versions do not match.
        WeightsError: The weights are missing or damaged.
    """
    if cluster is None:
        yield LocalWorker(settings)
        return
    from burstfix.batch.cluster import cluster_worker

    with cluster_worker(settings, cluster) as worker:
        yield worker
