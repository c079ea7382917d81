"""Measure the noise of cameras on bursts or flat frames, for `burstfix noise-profile`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.burst_noise import FALLBACK_NOISE
from burstfix.errors import InputError
from burstfix.io import read_frames, read_metadata
from burstfix.types import NoiseProfile, Progress, camera_key


@dataclass(frozen=True, slots=True)
class MeasuredNoise:
    """Noise measured for one camera and ISO.

    Attributes:
        camera: Key of the noise table.
        iso: ISO speed.
        frames: Number of frames measured.
        noise: Measured profile.
    """

    camera: str
    iso: float
    frames: int
    noise: NoiseProfile


def measure_noise(
    paths: Iterable[Path | str], *, progress: Progress | None = None
) -> tuple[MeasuredNoise, ...]:
    """Measure noise on bursts or flat frames, once per camera and ISO; ignore profiles stored in files.

    Args:
        paths: Raw files, from any number of cameras and ISO speeds.
        progress: Called with (stage, done, total).

    Raises:
        InputError: A file cannot be read, has no ISO, or is not suited to a measurement.
        BurstError: Frames of one camera and ISO do not belong together.
    """
    groups: dict[tuple[str, float], list[Path]] = {}
    for path in map(Path, paths):
        metadata = read_metadata(path)
        if metadata.iso is None:
            raise InputError(f"{path}: has no ISO, which is needed to look up noise")
        groups.setdefault((camera_key(metadata.make, metadata.model), metadata.iso), []).append(path)
    return tuple(_measured(camera, iso, group, progress) for (camera, iso), group in sorted(groups.items()))


def _measured(camera: str, iso: float, paths: list[Path], progress: Progress | None) -> MeasuredNoise:
    frames = [
        replace(frame, metadata=replace(frame.metadata, noise=None))
        for frame in read_frames(paths, opcodes="skip", progress=progress).frames
    ]
    burst = prepare_burst(frames, progress=progress)
    if burst.noise is FALLBACK_NOISE:
        raise InputError(f"{paths[0]}: its noise cannot be measured; give flat, well exposed frames")
    return MeasuredNoise(camera, iso, len(burst.frames), burst.noise)
