"""The steps for one burst of a batch: read, merge, write. Local and cluster workers run the same steps."""

from __future__ import annotations

import base64
import errno
import functools
import io
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from burstfix._version import __version__
from burstfix.batch.pages import write_page
from burstfix.batch.plan import FoundBurst
from burstfix.batch.settings import BatchSettings
from burstfix.checkpoints import load_model
from burstfix.engine.select import select_device
from burstfix.errors import BurstfixError, is_out_of_memory
from burstfix.io.write.formats import format_of
from burstfix.models.base import BurstModel
from burstfix.models.ensemble import self_ensemble
from burstfix.pipeline import finish_picture, merge_burst, model_for, read_burst
from burstfix.types import Burst, LinearImage, Progress

_THUMBNAIL_SIZE = 240  # pixels on the long side, for the contact sheet
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A burst to be merged.

    Attributes:
        key: Key of the burst in the journal.
        burst: The frames.
        output: Path of the picture, relative to the output folder.
        staging: Temporary file of this job; the finished picture is moved from it to `output`.
        settings: Settings of the merge.
        picture: Final path of the picture.
        inputs: SHA-256 of the content of the frames, computed before they are read; "" if a frame could not
            be read.
        attempts: Number of earlier attempts that ran out of memory or did not end; each halves the size of
            tiles.
        version: Version of burstfix that created the job.
        preview: True to reduce the frames to a quarter of their height and width.
    """

    key: str
    burst: FoundBurst
    output: str
    staging: Path
    settings: BatchSettings
    picture: Path
    inputs: str
    attempts: int = 0
    version: str = __version__
    preview: bool = False

    @property
    def staged_page(self) -> Path:
        """Temporary file of the report."""
        return self.staging.with_suffix(".html")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job, or an error.

    Attributes:
        job: The job.
        result: Details of the merge for the summary, as JSON values.
        error: Reason of a failure in one sentence; "" if there was no failure.
        exit_code: Exit code that `burstfix merge` would have returned.
        disk_full: True if the disk is full, so that other bursts would fail as well.
    """

    job: Job
    result: dict[str, Any]
    error: str = ""
    exit_code: int = 0
    disk_full: bool = False


@functools.lru_cache(maxsize=2)  # "auto" chooses one model for mosaics and another one for demosaicked frames
def cached_model(model: str, device_type: str, ensemble: int) -> BurstModel:
    """Load a model by name; its weights are read once for all bursts."""
    return self_ensemble(load_model(model, device_type), ensemble)


def model_of(job: Job, burst: Burst) -> BurstModel:
    """Return the model that merges a burst."""
    s = job.settings
    return cached_model(model_for(burst, s.model), select_device(s.device).type, s.ensemble)


def read(job: Job, progress: Progress | None = None) -> Burst:
    """Read and analyse the frames of a burst."""
    return read_burst(job.burst.paths, **job.settings.reading(), preview=job.preview, progress=progress)


def merge(job: Job, burst: Burst, model: BurstModel, tile: int, progress: Progress | None) -> LinearImage:
    """Merge a burst.

    Args:
        job: The job.
        burst: Its frames.
        model: The model.
        tile: Side of tiles in sensor pixels, unless the settings specify one; 0 = automatic.
        progress: Called with (stage, done, total).
    """
    s = job.settings
    row = format_of(job.output)
    is_raw = row is not None and row.is_raw
    return merge_burst(
        burst,
        model=model,
        device=s.device,
        tile=(min(s.tile, tile) if s.tile and tile and job.attempts else s.tile or tile),
        precision=s.precision,
        strength=s.strength,
        mosaic=s.dng == "mosaic" and is_raw,
        measure_noise=is_raw,
        progress=progress,
    )


def timed_read(job: Job, progress: Progress | None = None) -> tuple[Burst, float]:
    """Run `read`; return its result and its duration in seconds."""
    started = time.perf_counter()
    return read(job, progress), time.perf_counter() - started


def timed_merge(
    job: Job, burst: Burst, model: BurstModel, tile: int = 0, progress: Progress | None = None
) -> tuple[LinearImage, float]:
    """Run `merge`; return its result and its duration in seconds."""
    started = time.perf_counter()
    return merge(job, burst, model, tile, progress), time.perf_counter() - started


def write(job: Job, burst: Burst, linear: LinearImage, seconds: float) -> dict[str, Any]:
    """Write the picture, and its report if wanted, to the staging files.

    Args:
        job: The job.
        burst: The frames that were merged.
        linear: The merged picture.
        seconds: Time spent on reading and merging.

    Returns:
        `Outcome.result`.
    """
    started = time.perf_counter()
    s = job.settings
    job.staging.parent.mkdir(parents=True, exist_ok=True)
    finished = finish_picture(linear, job.staging, s, overwrite=True)
    if s.report:
        write_page(job.staged_page, job.picture, burst, linear, finished, s)
    return {
        "reference": burst.frames[burst.reference].metadata.path.name,
        "used": len(burst.frames),
        "left_out": [f"{frame.path.name}: {frame.reason}" for frame in burst.dropped],
        "noise": burst.noise.source,
        "model": linear.settings.get("model", s.model),
        "megapixels": round(finished.height * finished.width / 1e6, 3),
        "seconds": round(seconds + time.perf_counter() - started, 3),
        "version": __version__,
        "thumb": _thumbnail(finished.image.data),
    }


def failure(job: Job, error: BaseException) -> Outcome:
    """Convert an exception to an outcome, and log its traceback."""
    log.debug("%s: failed", job.burst.name, exc_info=error)
    if isinstance(error, BurstfixError):
        return Outcome(job, {}, " ".join(str(error).split()), error.exit_code, is_disk_full(error))
    if is_out_of_memory(error):
        return Outcome(job, {}, "out of memory; try --max-frames or a smaller --tile", 6)
    text = " ".join(f"unexpected error: {type(error).__name__}: {error}".split())
    return Outcome(job, {}, text, 5 if is_disk_full(error) else 1, is_disk_full(error))


def is_disk_full(error: BaseException | None) -> bool:
    """Return True if a full disk or quota caused the error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        error = error.__cause__
    return False


def _thumbnail(data: NDArray[np.uint16]) -> str:
    """Encode uint16 (H, W, 3) as a small JPEG in base64."""
    step = max(1, max(data.shape[:2]) // (2 * _THUMBNAIL_SIZE))
    picture = Image.fromarray((data[::step, ::step] >> 8).astype(np.uint8))
    picture.thumbnail((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
