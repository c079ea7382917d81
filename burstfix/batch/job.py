"""One burst of a batch: read, merge, write. The same steps wherever they run."""

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
from burstfix.batch.plan import FoundBurst
from burstfix.batch.settings import BatchSettings
from burstfix.checkpoints import load_model
from burstfix.engine.select import select_device
from burstfix.errors import BurstfixError
from burstfix.io.write.formats import format_of
from burstfix.models.base import BurstModel
from burstfix.models.ensemble import self_ensemble
from burstfix.pipeline import finish_picture, merge_burst, model_for, read_burst
from burstfix.types import Burst, LinearImage, Progress

_THUMB = 240  # pixels on the long side of what the contact sheet shows
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A burst to be merged.

    Attributes:
        key: In the journal.
        burst: What is merged.
        output: Of the picture, relative to the output folder.
        staging: Where the picture is written before it is moved into place; only this job writes there.
        settings: How.
        inputs: sha256 over the frames' content, from before they are read; "" where one could not be.
        version: Of the burstfix that planned it.
    """

    key: str
    burst: FoundBurst
    output: str
    staging: Path
    settings: BatchSettings
    inputs: str
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: facts for the summary, or an error.

    Attributes:
        job: The job.
        facts: What was merged how, as JSON holds it.
        error: A sentence for people, "" when all went well.
        exit_code: That `burstfix merge` would give.
        no_room: The disk is full: no other burst would fare better.
    """

    job: Job
    facts: dict[str, Any]
    error: str = ""
    exit_code: int = 0
    no_room: bool = False


@functools.lru_cache(maxsize=2)  # what "auto" is for mosaics, and what it is for frames without one
def loaded(model: str, device_type: str, ensemble: int) -> BurstModel:
    """A model by name, its weights read once for all bursts."""
    return self_ensemble(load_model(model, device_type), ensemble)


def model_of(job: Job, burst: Burst) -> BurstModel:
    """What merges a burst."""
    s = job.settings
    return loaded(model_for(burst, s.model), select_device(s.device).type, s.ensemble)


def read(job: Job) -> Burst:
    """The burst's frames, analysed."""
    return read_burst(job.burst.paths, **job.settings.reading())


def merge(job: Job, burst: Burst, model: BurstModel, tile: int, progress: Progress | None) -> LinearImage:
    """The merged picture."""
    s = job.settings
    row = format_of(job.output)
    return merge_burst(
        burst,
        model=model,
        device=s.device,
        tile=s.tile or tile,
        precision=s.precision,
        strength=s.strength,
        mosaic=s.dng == "mosaic" and row is not None and row.is_raw,
        progress=progress,
    )


def timed_read(job: Job) -> tuple[Burst, float]:
    """`read`, and the seconds it took."""
    started = time.perf_counter()
    return read(job), time.perf_counter() - started


def timed_merge(
    job: Job, burst: Burst, model: BurstModel, tile: int = 0, progress: Progress | None = None
) -> tuple[LinearImage, float]:
    """`merge`, and the seconds it took."""
    started = time.perf_counter()
    return merge(job, burst, model, tile, progress), time.perf_counter() - started


def write(job: Job, burst: Burst, linear: LinearImage, seconds: float) -> dict[str, Any]:
    """Writes the picture to the staging file; returns the facts for the summary.

    Args:
        job: The job.
        burst: What was merged.
        linear: The result.
        seconds: Spent on reading and merging.
    """
    started = time.perf_counter()
    s = job.settings
    job.staging.parent.mkdir(parents=True, exist_ok=True)
    finished = finish_picture(linear, job.staging, s, overwrite=True)
    return {
        "reference": burst.frames[burst.reference].metadata.path.name,
        "used": len(burst.frames),
        "left_out": [f"{frame.path.name}: {frame.reason}" for frame in burst.dropped],
        "noise": burst.noise.source,
        "model": linear.settings.get("model", s.model),
        "megapixels": round(finished.height * finished.width / 1e6, 3),
        "seconds": round(seconds + time.perf_counter() - started, 3),
        "version": __version__,
        "thumb": _thumb(finished.image.data),
    }


def failure(job: Job, error: BaseException) -> Outcome:
    """An exception as an outcome; it goes into the log with its traceback."""
    log.debug("%s: failed", job.burst.name, exc_info=error)
    if isinstance(error, BurstfixError):
        return Outcome(job, {}, " ".join(str(error).split()), error.exit_code, is_no_room(error))
    if isinstance(error, MemoryError):
        return Outcome(job, {}, "out of memory; try --max-frames or a smaller --tile", 6)
    text = " ".join(f"unexpected error: {type(error).__name__}: {error}".split())
    return Outcome(job, {}, text, 5 if is_no_room(error) else 1, is_no_room(error))


def is_no_room(error: BaseException | None) -> bool:
    """Whether an error came about because the disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        error = error.__cause__
    return False


def _thumb(data: NDArray[np.uint16]) -> str:
    """(H, W, 3) uint16 -> a small JPEG in base64."""
    step = max(1, max(data.shape[:2]) // (2 * _THUMB))
    picture = Image.fromarray((data[::step, ::step] >> 8).astype(np.uint8))
    picture.thumbnail((_THUMB, _THUMB))
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=85)
    return base64.b64encode(held.getvalue()).decode("ascii")
