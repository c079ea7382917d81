"""Merge on the workers of a Dask scheduler; only this process writes the journal. See docs/cluster.md."""

# pyright: standard
# dask.distributed has no type annotations.

from __future__ import annotations

import dataclasses
import logging
import os
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstfix._version import __version__
from burstfix.batch import job as work
from burstfix.batch.job import Job, Outcome, failure
from burstfix.batch.memory import burst_bytes
from burstfix.batch.settings import BatchSettings
from burstfix.errors import OutOfMemoryError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

MEMORY, GPU = "MEMORY", "GPU"
"""Names of the resources that workers may declare: bytes of memory, and number of GPUs."""

_PROCESS_BYTES = 1_500_000_000  # memory of a worker without its burst: Python, torch, the decoder, tiles
_WAIT_SECONDS = 30
_JOBS_PER_WORKER = 2  # one is merged while the next one waits
_SCHEMES = ("tcp", "tls")
_INSTALL = "pip install 'burstfix[cluster]'"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker reports about itself.

    Attributes:
        versions: Versions of the packages that influence a picture.
        resources: Amount of each declared resource.
        sees_output: True if the worker finds a file that this process has just written to the output folder.
    """

    versions: Mapping[str, str]
    resources: Mapping[str, float]
    sees_output: bool


@contextmanager
def cluster_worker(settings: BatchSettings, address: str) -> Generator[ClusterWorker, None, None]:
    """Connect to a scheduler, or start one on this machine for "local".

    Raises:
        UsageError: dask.distributed is missing, the address is malformed, or no scheduler or worker answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(f"a cluster needs dask.distributed: {_INSTALL}") from error
    scheme, separator, _ = address.partition("://")
    # With an unknown scheme, dask reports an error but does not return.
    if separator and scheme not in _SCHEMES:
        known = " or ".join(f"{name}://HOST:PORT" for name in _SCHEMES)
        raise UsageError(f"{address}: is not the address of a Dask scheduler; use {known}, or local")
    cluster = _local_cluster(settings.jobs) if address == "local" else None
    try:
        client = Client(cluster or address, timeout=_WAIT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{address}: no Dask scheduler answers at this address ({error}); start one with dask scheduler"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=_WAIT_SECONDS)
        except TimeoutError as error:
            raise UsageError(
                f"{address}: the scheduler has no workers; start some with dask worker"
            ) from error
        yield ClusterWorker(client, settings)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _local_cluster(workers: int) -> LocalCluster:
    """Start a scheduler and workers that only this process can use.

    They listen on the loopback interface only and require a key that only this process and its workers have.
    Other users of the machine can connect, but cannot run code. No status pages are served.

    Raises:
        UsageError: The package that generates the key is missing.
    """
    from dask import config
    from distributed import LocalCluster
    from distributed.security import Security

    try:
        security = Security.temporary()
    except ImportError as error:
        raise UsageError(f"--cluster local needs cryptography: {_INSTALL}") from error
    no_pages = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with config.set(no_pages):
        return LocalCluster(
            n_workers=max(1, workers),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            security=security,
        )


class ClusterWorker:
    """Worker that runs jobs on a cluster."""

    def __init__(self, client: Client, settings: BatchSettings) -> None:
        self._client, self._settings = client, settings

    def run(
        self,
        jobs: Iterable[Job],
        on_start: Callable[[Job], None],
        on_progress: Callable[[Job, str, int, int], None] | None = None,
    ) -> Generator[Outcome, None, None]:
        """Submit jobs, at most two for each worker, and yield the outcome of each.

        If a worker is lost, another one repeats its job. `on_progress` is not called, because workers do not
        report stages.

        Raises:
            UsageError: A worker has other package versions, or cannot access the output folder.
        """
        from distributed import as_completed

        waiting = iter(jobs)
        first = next(waiting, None)
        if first is None:
            return
        workers = self._workers(first.staging.parent)
        limit = _JOBS_PER_WORKER * len(workers)
        pending: dict[Future, Job] = {}
        done = as_completed(loop=self._client.loop)
        upcoming: Job | None = first
        try:
            while upcoming or pending:
                while upcoming and len(pending) < limit:
                    job, upcoming = upcoming, next(waiting, None)
                    try:
                        needs = self._needs(job, workers)
                        on_start(job)
                    except Exception as error:
                        yield _failure_unless_fatal(job, error)
                        continue
                    future = self._client.submit(run_job, job, resources=needs, pure=False)
                    pending[future] = job
                    done.add(future)
                if pending:
                    future = next(done)
                    job = pending.pop(future)
                    error = future.exception()
                    yield future.result() if error is None else failure(job, error)
        finally:
            self._client.cancel(list(pending))

    def _workers(self, staging: Path) -> list[WorkerInfo]:
        """Return the information of all workers.

        Raises:
            UsageError: A worker cannot be used.
        """
        staging.mkdir(parents=True, exist_ok=True)
        probe = staging / f"probe-{uuid.uuid4().hex}"
        probe.touch()
        try:
            answers: Any = self._client.run(describe_worker, str(probe), on_error="return")
        finally:
            probe.unlink()
        ours = versions()
        for address, info in answers.items():
            if not isinstance(info, WorkerInfo):
                raise UsageError(
                    f"worker {address}: cannot run this version of burstfix ({info}); install {__version__} "
                    "on its machine"
                )
            for package, version in ours.items():
                if info.versions.get(package) != version:
                    raise UsageError(
                        f"worker {address}: has {package} {info.versions.get(package)}, this machine has "
                        f"{version}; install the same version on both"
                    )
            if not info.sees_output:
                raise UsageError(
                    f"worker {address}: cannot access {staging.parent}; share the input and output folders, "
                    "under the same path on all machines"
                )
        return list(answers.values())

    def _needs(self, job: Job, workers: list[WorkerInfo]) -> dict[str, float]:
        """Return how much a burst needs of each resource that the workers declare."""
        needs: dict[str, float] = {}
        memories = [w.resources[MEMORY] for w in workers if MEMORY in w.resources]
        if memories:
            needs[MEMORY] = burst_bytes(job.burst, report=job.settings.report) + _PROCESS_BYTES
            if needs[MEMORY] > max(memories):
                raise OutOfMemoryError(
                    f"needs about {needs[MEMORY] / 1e9:.1f} GB, but the largest worker has "
                    f"{max(memories) / 1e9:.1f} GB; split bursts with --max-frames"
                )
        have_gpu = [GPU in w.resources for w in workers]
        wants_gpu = self._settings.device not in ("auto", "cpu")
        if wants_gpu and not any(have_gpu):
            raise UsageError(f"no worker declares a GPU; start workers with --resources '{GPU}=1'")
        if wants_gpu or all(have_gpu):
            needs[GPU] = 1
        return needs


def run_job(job: Job) -> Outcome:
    """Merge one burst on a worker.

    Each attempt writes to a file of its own, because a worker that seems to be lost may still be writing.
    """
    staging = job.staging.with_name(f"{uuid.uuid4().hex}{job.staging.suffix}")
    job = dataclasses.replace(job, staging=staging)
    try:
        if job.version != __version__:
            raise UsageError(
                f"this worker has burstfix {__version__}, but the batch was started by {job.version}; "
                "install the same version on both"
            )
        burst, seconds = work.timed_read(job)
        linear, merging = work.timed_merge(job, burst, work.model_of(job, burst))
        return Outcome(job, work.write(job, burst, linear, seconds + merging))
    except Exception as error:
        return failure(job, error)


def versions() -> dict[str, str]:
    """Return the versions of the packages that influence a picture, without torch's build (+cpu, +cu128)."""
    import numpy
    import torch

    return {
        "burstfix": __version__,
        "torch": torch.__version__.split("+")[0],
        "numpy": numpy.__version__,
    }


def describe_worker(probe: str, dask_worker: Any = None) -> WorkerInfo:
    """Describe the worker on which this function runs; distributed fills in `dask_worker`."""
    return WorkerInfo(versions(), dict(dask_worker.state.total_resources), os.path.exists(probe))


def _failure_unless_fatal(job: Job, error: Exception) -> Outcome:
    from burstfix.batch.journal import JournalError

    if isinstance(error, (JournalError, UsageError)):
        raise error
    return failure(job, error)
