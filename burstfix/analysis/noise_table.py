"""Noise profiles by camera and ISO in a small TOML table, for files that contain no NoiseProfile."""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from burstfix.atomic import atomic_path
from burstfix.errors import InputError
from burstfix.text_file import read_text
from burstfix.types import FrameMetadata, NoiseProfile, camera_key

_BEYOND = 4.0  # largest ratio to the nearest measured ISO up to which noise is extrapolated
_SMALLEST = 1e-12  # replaces 0 in logarithms


@dataclass(frozen=True, slots=True)
class NoiseTable:
    """Measured noise profiles.

    Attributes:
        cameras: For each camera (see `types.camera_key`), a mapping from ISO to profile.
        origin: The file, for messages.
    """

    cameras: Mapping[str, Mapping[float, NoiseProfile]] = field(default_factory=dict)
    origin: str = ""

    def find(self, metadata: FrameMetadata) -> NoiseProfile | None:
        """Return the noise of a frame, or None if the table lacks its camera or a similar ISO.

        Between two ISOs, shot gain and read variance are interpolated linearly in logarithms. Up to a factor
        of four beyond the first and last, shot gain is proportional to ISO, and read variance to its square.
        """
        known = self.cameras.get(camera_key(metadata.make, metadata.model))
        if not known or not metadata.iso:
            return None
        isos = sorted(known)
        iso = metadata.iso
        if isos[0] <= iso <= isos[-1]:
            above = bisect_left(isos, iso)
            low, high = isos[max(above - 1, 0)], isos[above]
            share = 0.0 if high == low else math.log(iso / low) / math.log(high / low)
            return _mixed(known[low], known[high], share)
        nearest = isos[0] if iso < isos[0] else isos[-1]
        ratio = iso / nearest
        if not 1 / _BEYOND <= ratio <= _BEYOND:
            return None
        profile = known[nearest]
        return NoiseProfile(
            _four([ratio * x for x in profile.shot_gain]),
            _four([ratio**2 * x for x in profile.read_variance]),
            "table",
        )

    def with_entry(self, camera: str, iso: float, profile: NoiseProfile) -> NoiseTable:
        """Return the table with one more entry, which replaces an entry for the same camera and ISO."""
        cameras = {name: dict(entries) for name, entries in self.cameras.items()}
        cameras.setdefault(camera, {})[float(iso)] = profile
        return replace(self, cameras=cameras)


def load_table(path: Path) -> NoiseTable:
    """Read a table.

    Raises:
        InputError: The file cannot be read, or an entry is invalid; the message names the entry.
    """
    try:
        document = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a noise table ({error})") from error
    if set(document) - {"camera"} or not isinstance(document.get("camera", []), list):
        raise InputError(f"{path}: is not a noise table; expected only [[camera]] entries")
    table = NoiseTable(origin=str(path))
    for number, entry in enumerate(document.get("camera", []), 1):
        try:
            table = table.with_entry(*_entry(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: entry {number} is invalid; each entry has name, iso, shot_gain and read_variance "
                "(four numbers each: R, Gr, Gb, B; Gr is green in the red rows)"
            ) from error
    return table


def save_table(table: NoiseTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table that `load_table` reads.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    import tomli_w

    entries = [
        {
            "name": camera,
            "iso": iso,
            "shot_gain": list(known[iso].shot_gain),
            "read_variance": list(known[iso].read_variance),
        }
        for camera, known in sorted(table.cameras.items())
        for iso in sorted(known)
    ]
    note = "# Noise by camera and ISO: variance = shot_gain * x + read_variance, x = 0 black, 1 white.\n"
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(note + tomli_w.dumps({"camera": entries}), encoding="utf-8")


def _entry(entry: Any) -> tuple[str, float, NoiseProfile]:
    """Convert an entry; raise KeyError, TypeError or ValueError if it is invalid."""
    if not isinstance(entry, dict) or set(entry) != {"name", "iso", "shot_gain", "read_variance"}:
        raise KeyError("names")
    iso = float(entry["iso"])
    profile = NoiseProfile(_numbers(entry["shot_gain"]), _numbers(entry["read_variance"]), "table")
    if not (isinstance(entry["name"], str) and math.isfinite(iso) and iso > 0):
        raise ValueError("name or iso")
    return entry["name"], iso, profile


def _numbers(values: Any) -> tuple[float, float, float, float]:
    numbers = [float(x) for x in values]
    if len(numbers) != 4 or not all(math.isfinite(x) and 0 <= x < 1 for x in numbers):
        raise ValueError("four numbers")
    return _four(numbers)


def _mixed(low: NoiseProfile, high: NoiseProfile, share: float) -> NoiseProfile:
    def mix(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float, float, float]:
        logs = [
            (1 - share) * math.log(max(a, _SMALLEST)) + share * math.log(max(b, _SMALLEST))
            for a, b in zip(first, second, strict=True)
        ]
        return _four([math.exp(x) for x in logs])

    return NoiseProfile(
        mix(low.shot_gain, high.shot_gain), mix(low.read_variance, high.read_variance), "table"
    )


def _four(values: list[float]) -> tuple[float, float, float, float]:
    return (values[0], values[1], values[2], values[3])
