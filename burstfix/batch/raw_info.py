"""Information about raws for grouping: some metadata, and a thumbnail of the content."""

from __future__ import annotations

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
from burstfix.io.read.copies import hash_file
from burstfix.io.write.picture_tags import is_merged
from burstfix.types import FrameMetadata, camera_name

_BODY_SERIAL_NUMBER = 42033  # EXIF tag
_THUMBNAIL_SIZE = 24  # cells on the long side of a thumbnail
_MIN_CELL = 4  # sensor pixels; smaller cells would show noise instead of content
_MAX_SHIFT = 3  # maximum motion of the content between two frames, in cells
_FLAT_CONTRAST = 0.01  # standard deviation / mean; thumbnails with less contrast show only noise


@dataclass(frozen=True, slots=True)
class RawInfo:
    """Metadata of a readable raw.

    Attributes:
        path: Absolute path of the file.
        make, model, serial, lens: Camera and lens; "" if unknown.
        height, width, cfa: Size in sensor pixels and CFA pattern of the mosaic.
        iso: ISO speed; None if unknown.
        exposure_time: Exposure time in seconds; None if unknown.
        aperture: f-number; None if unknown.
        time: Capture time according to the camera's clock, without a time zone; None if unknown.
        is_merged: True for a DNG written by burstfix.
        raw_count: Number of raws in the file; a file with several raws (pixel shift) is a burst by itself.
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
    raw_count: int = 1

    @property
    def camera(self) -> str:
        """Make and model; the make is not repeated if the model contains it."""
        return camera_name(self.make, self.model)


def raw_info(metadata: FrameMetadata, path: Path) -> RawInfo:
    """Select the metadata that grouping uses."""
    return RawInfo(
        path=path,
        make=metadata.make,
        model=metadata.model,
        serial=str(metadata.exif.exif.get(_BODY_SERIAL_NUMBER, "")),
        lens=metadata.lens,
        height=metadata.height,
        width=metadata.width,
        cfa=metadata.cfa,
        iso=metadata.iso,
        exposure_time=metadata.exposure_time,
        aperture=metadata.aperture,
        time=metadata.time.replace(tzinfo=None) if metadata.time else None,
        is_merged=is_merged(metadata.exif),
        raw_count=metadata.raw_count,
    )


class Cache(Protocol):
    """Storage for values read from files, so that a second run does not read the files again."""

    def get_value(self, path: Path, stamp: str, kind: str) -> str | None:
        """Return the stored value of a file with this stamp, or None."""
        ...

    def put_value(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Store a value; it replaces an earlier value of the same path and kind."""
        ...


class MemoryCache:
    """A cache for the lifetime of the process."""

    def __init__(self) -> None:
        self._values: dict[tuple[Path, str], tuple[str, str]] = {}

    def get_value(self, path: Path, stamp: str, kind: str) -> str | None:
        """Return the stored value of a file with this stamp, or None."""
        kept = self._values.get((path, kind))
        return kept[1] if kept and kept[0] == stamp else None

    def put_value(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Store a value; it replaces an earlier value of the same path and kind."""
        self._values[path, kind] = (stamp, value)


class InfoReader:
    """Reader of metadata, thumbnails and hashes of files. It reads unchanged files only once.

    Failures are not stored, because their cause (permissions, drives, memory) may disappear while the file
    stays the same.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache or MemoryCache()

    def info(self, path: Path) -> RawInfo:
        """Return the metadata of a raw.

        Raises:
            InputError: The file cannot be read.
        """
        values = json.loads(self._cached(path, "facts", lambda: _info_text(path)))
        time = values.pop("time")
        return RawInfo(path=path, time=datetime.fromisoformat(time) if time else None, **values)

    def thumbnail(self, path: Path) -> NDArray[np.float32]:
        """Return the thumbnail of a raw, float32 (rows, columns); see `make_thumbnail`.

        Raises:
            InputError: The pixels cannot be read.
        """
        return np.array(json.loads(self._cached(path, "thumb", lambda: _thumbnail_text(path))), np.float32)

    def content_hash(self, path: Path) -> str:
        """Return the SHA-256 of a file in hexadecimal.

        Raises:
            InputError: The file cannot be read.
        """
        return self._cached(path, "sha256", lambda: hash_file(path))

    def _cached(self, path: Path, kind: str, read: Callable[[], str]) -> str:
        try:
            stamp = file_stamp(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        value = self._cache.get_value(path, stamp, kind)
        if value is None:
            value = read()
            self._cache.put_value(path, stamp, kind, value)
        return value


def file_stamp(path: Path) -> str:
    """Return size and modification time as text, which changes with the content of the file."""
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


def _info_text(path: Path) -> str:
    info = raw_info(read_metadata(path), path)
    values: dict[str, Any] = asdict(info)
    del values["path"]
    values["time"] = info.time.isoformat() if info.time else None
    return json.dumps(values)


def _thumbnail_text(path: Path) -> str:
    return json.dumps(np.round(make_thumbnail(read_frame(path).mosaic), 2).tolist())


def make_thumbnail(mosaic: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Average a mosaic over cells, at most 24 on the long side, and take the square root (in DN).

    Args:
        mosaic: uint16 (H, W), or (H, W, 3) for demosaicked raws.

    Returns:
        float32 (rows, columns).
    """
    height, width = mosaic.shape[:2]
    cell = max(_MIN_CELL, -(-max(height, width) // _THUMBNAIL_SIZE))
    rows, cols = max(1, height // cell), max(1, width // cell)
    cropped = mosaic[: rows * cell, : cols * cell]
    if height < cell or width < cell:
        return np.sqrt(np.full((1, 1), mosaic.mean(), np.float32))
    sums = np.add.reduceat(
        cropped.reshape(cropped.shape[0], -1).astype(np.uint32), np.arange(0, rows * cell, cell), 0
    )
    blocks = sums.reshape(rows, cols, -1).mean(axis=2) / cell
    return np.sqrt(blocks).astype(np.float32)


def thumbnail_similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the similarity of two thumbnails: their highest correlation over all small shifts.

    Two thumbnails without content (a dark room, a lens cap) have similarity 1.

    Returns:
        -1 to 1, where 1 means the same scene.
    """
    if a.shape != b.shape:
        return -1.0
    flat_a, flat_b = _contrast(a) < _FLAT_CONTRAST, _contrast(b) < _FLAT_CONTRAST
    if flat_a or flat_b:
        return 1.0 if flat_a and flat_b else 0.0
    best = -1.0
    reach_y, reach_x = (min(_MAX_SHIFT, side // 4) for side in a.shape)
    for dy in range(-reach_y, reach_y + 1):
        for dx in range(-reach_x, reach_x + 1):
            best = max(best, _correlation(_overlap(a, dy, dx), _overlap(b, -dy, -dx)))
    return best


def _contrast(thumbnail: NDArray[np.float32]) -> float:
    return float(thumbnail.std() / max(float(thumbnail.mean()), 1e-6))


def _overlap(thumbnail: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    rows = thumbnail[dy:] if dy >= 0 else thumbnail[:dy]
    return rows[:, dx:] if dx >= 0 else rows[:, :dx]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0
