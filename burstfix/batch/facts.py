"""What grouping needs to know of a raw: a small record of its metadata, and a tiny picture of its content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from burstfix.errors import InputError
from burstfix.io import read_frame, read_metadata
from burstfix.io.write.picture_tags import is_merged
from burstfix.types import FrameMetadata

_SERIAL = 42033  # EXIF BodySerialNumber
_THUMB = 24  # cells on the long side of the tiny picture
_MIN_CELL = 4  # sensor pixels; smaller cells would show noise, not content
_REACH = 3  # cells that the content may have moved between two frames
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A readable raw, without its pixels.

    Attributes:
        path: The file, absolute.
        make, model, serial, lens: The camera, "" where unknown.
        height, width, cfa: The mosaic.
        iso: ISO speed; exposure_time in seconds; aperture as f-number; None where unknown.
        time: Capture time without its zone (the camera's own clock); None where unknown.
        is_merged: Whether it is a DNG that burstfix has merged.
    """

    path: Path
    make: str
    model: str
    serial: str
    lens: str
    height: int
    width: int
    cfa: str
    iso: float | None
    exposure_time: float | None
    aperture: float | None
    time: datetime | None
    is_merged: bool = False

    @property
    def camera(self) -> str:
        """Make and model, as people say it."""
        joined = self.model if self.model.startswith(self.make) else f"{self.make} {self.model}"
        return joined.strip() or "unknown camera"


def facts_of(metadata: FrameMetadata, path: Path) -> FileFacts:
    """The part of the metadata that grouping looks at."""
    return FileFacts(
        path=path,
        make=metadata.make,
        model=metadata.model,
        serial=str(metadata.exif.exif.get(_SERIAL, "")),
        lens=metadata.lens,
        height=metadata.height,
        width=metadata.width,
        cfa=metadata.cfa,
        iso=metadata.iso,
        exposure_time=metadata.exposure_time,
        aperture=metadata.aperture,
        time=metadata.time.replace(tzinfo=None) if metadata.time else None,
        is_merged=is_merged(metadata.exif),
    )


class Store(Protocol):
    """Keeps what was read from files, so that a second run need not read them again."""

    def recall(self, path: Path, stamp: str, kind: str) -> str | None:
        """What was kept for this file with this stamp, or None."""
        ...

    def keep(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Keeps a value; one for each path and kind."""
        ...


class MemoryStore:
    """A store for as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[tuple[Path, str], tuple[str, str]] = {}

    def recall(self, path: Path, stamp: str, kind: str) -> str | None:
        """What was kept for this file with this stamp, or None."""
        kept = self._values.get((path, kind))
        return kept[1] if kept and kept[0] == stamp else None

    def keep(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Keeps a value; one for each path and kind."""
        self._values[path, kind] = (stamp, value)


class FactReader:
    """Reads metadata, content and hashes of files, each once for as long as the file stays the same.

    What cannot be read is tried anew each time: permissions, drives and memory change without the file.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or MemoryStore()

    def facts(self, path: Path) -> FileFacts:
        """A file's facts.

        Raises:
            InputError: It cannot be read.
        """
        values = json.loads(self._once(path, "facts", lambda: _facts_text(path)))
        time = values.pop("time")
        return FileFacts(path=path, time=datetime.fromisoformat(time) if time else None, **values)

    def thumb(self, path: Path) -> NDArray[np.float32]:
        """float32 (rows, cols): the tiny picture.

        Raises:
            InputError: The pixels cannot be read.
        """
        return np.array(json.loads(self._once(path, "thumb", lambda: _thumb_text(path))), np.float32)

    def content_hash(self, path: Path) -> str:
        """sha256 of the whole file, in hexadecimal.

        Raises:
            InputError: It cannot be read.
        """
        return self._once(path, "sha256", lambda: hash_file(path))

    def _once(self, path: Path, kind: str, read: Callable[[], str]) -> str:
        try:
            stamp = stamp_of(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        value = self._store.recall(path, stamp, kind)
        if value is None:
            value = read()
            self._store.keep(path, stamp, kind, value)
        return value


def stamp_of(path: Path) -> str:
    """Changes whenever the file does, as far as the file system tells without reading it."""
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


def hash_file(path: Path) -> str:
    """sha256 of a file in hexadecimal; `InputError` when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _facts_text(path: Path) -> str:
    facts = facts_of(read_metadata(path), path)
    values: dict[str, Any] = asdict(facts)
    del values["path"]
    values["time"] = facts.time.isoformat() if facts.time else None
    return json.dumps(values)


def _thumb_text(path: Path) -> str:
    return json.dumps(np.round(tiny_picture(read_frame(path).mosaic), 2).tolist())


def tiny_picture(mosaic: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The mosaic averaged over cells, of which the long side has at most 24; square root of DN."""
    height, width = mosaic.shape[:2]
    cell = max(_MIN_CELL, -(-max(height, width) // _THUMB))
    rows, cols = max(1, height // cell), max(1, width // cell)
    cut = mosaic[: rows * cell, : cols * cell]
    if height < cell or width < cell:
        return np.sqrt(np.full((1, 1), mosaic.mean(), np.float32))
    sums = np.add.reduceat(
        cut.reshape(cut.shape[0], -1).astype(np.uint32), np.arange(0, rows * cell, cell), 0
    )
    blocks = sums.reshape(rows, cols, -1).mean(axis=2) / cell
    return np.sqrt(blocks).astype(np.float32)


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """How far two tiny pictures show the same scene: correlation (-1 to 1) at the best of small shifts.

    Pictures without content (a dark room, a lens cap) are alike: there is nothing to tell them apart by.
    """
    if a.shape != b.shape:
        return -1.0
    best = -1.0
    flat_a, flat_b = _contrast(a) < _FLAT, _contrast(b) < _FLAT
    if flat_a or flat_b:
        return 1.0 if flat_a and flat_b else 0.0
    reach_y, reach_x = (min(_REACH, side // 4) for side in a.shape)
    for dy in range(-reach_y, reach_y + 1):
        for dx in range(-reach_x, reach_x + 1):
            one, other = _overlap(a, dy, dx), _overlap(b, -dy, -dx)
            best = max(best, _correlation(one, other))
    return best


_FLAT = 0.01  # standard deviation over mean, under which a tiny picture is noise


def _contrast(thumb: NDArray[np.float32]) -> float:
    return float(thumb.std() / max(float(thumb.mean()), 1e-6))


def _overlap(thumb: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    rows = thumb[dy:] if dy >= 0 else thumb[:dy]
    return rows[:, dx:] if dx >= 0 else rows[:, :dx]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0
