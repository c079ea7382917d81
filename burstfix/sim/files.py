"""Files of simulated bursts.

frame_001.dng ...     the frames
ground_truth.tif      16-bit linear camera RGB of the reference (65535 = white of the sensor)
simulation.json       true motion, camera, noise and settings
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from burstfix._version import __version__
from burstfix.errors import OutputError
from burstfix.io import write_cfa_dng, write_linear_tiff
from burstfix.sim.camera import RGB_TO_XYZ, Camera
from burstfix.sim.recording import Recording
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile

TRUTH, FACTS = "ground_truth.tif", "simulation.json"
MAKE, MODEL = "burstfix", "simulated camera"
FRAME_INTERVAL = 1 / 30  # seconds
_FIRST_FRAME = datetime(2025, 1, 1, 12, 0, 0)
# Noise of the sensor per ISO speed. ISO 6400 corresponds to the high level of the protocol.
SHOT_GAIN_PER_ISO, READ_STD_PER_ISO = 1e-6, 2e-2 / 6400
_D65_CODE = 21  # EXIF LightSource


def noise_at(iso: float) -> tuple[float, float]:
    """Return shot gain and read variance of a typical small sensor at an ISO speed.

    The shot gain is proportional to the ISO speed, the read variance to its square. ISO 6400 has the noise of
    the high level of the REDS4 protocol.
    """
    return SHOT_GAIN_PER_ISO * iso, (READ_STD_PER_ISO * iso) ** 2


def color_profile(camera: Camera) -> ColorProfile:
    """Return the DNG colour tags of a simulated camera: its matrix under D65 and the neutral 1 / gains."""
    neutral = 1 / camera.gains[0].double().numpy()
    matrix = neutral[:, None] * camera.rgb_to_camera[0].double().numpy() @ np.linalg.inv(np.array(RGB_TO_XYZ))
    return ColorProfile(
        color_matrix_1=matrix, as_shot_neutral=neutral / neutral.max(), illuminant_1=_D65_CODE
    )


def frame_metadata(recording: Recording, index: int, path: Path) -> FrameMetadata:
    """Return the metadata of a frame."""
    settings = recording.settings
    height, width = recording.mosaics.shape[1:]
    gain, read = settings.shot_gain, settings.read_variance
    return FrameMetadata(
        path=path,
        height=height,
        width=width,
        cfa=settings.cfa,
        levels=Levels(np.full((1, 1), settings.black, np.float32), float(settings.white)),
        color=color_profile(recording.camera),
        noise=NoiseProfile.uniform(gain, read, "file") if gain + read > 0 else None,
        make=MAKE,
        model=MODEL,
        iso=max(1.0, round(gain / SHOT_GAIN_PER_ISO)),
        # Without motion blur, any short exposure time is plausible.
        exposure_time=FRAME_INTERVAL * (settings.blur or 0.25),
        aperture=2.0,
        focal_length=5.0,
        time=_FIRST_FRAME + timedelta(seconds=index * FRAME_INTERVAL),
    )


def write_recording(
    recording: Recording, folder: Path, *, source: str = "", overwrite: bool = False
) -> list[Path]:
    """Write a simulated burst. The folder is written atomically.

    Args:
        recording: The burst.
        folder: Output folder. It must not exist, be empty, or (with `overwrite`) contain an earlier simulated
            burst.
        source: Name of the photograph or clip, for the JSON.
        overwrite: Replace an earlier simulated burst.

    Returns:
        Paths of the DNGs.

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    check_folder(folder, overwrite)
    names = [f"frame_{k + 1:03d}.dng" for k in range(len(recording.mosaics))]
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / "new"
            made.mkdir()
            for k, name in enumerate(names):
                write_cfa_dng(made / name, recording.mosaics[k], frame_metadata(recording, k, folder / name))
            write_linear_tiff(made / TRUTH, recording.truth.numpy(), facts={"color": "camera RGB"})
            text = json.dumps(facts(recording, names, source), indent=2, allow_nan=False)
            (made / FACTS).write_text(text + "\n", encoding="utf-8")
            if folder.exists():
                os.rename(folder, Path(temporary) / "old")  # removed with the temporary folder
            os.rename(made, folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return [folder / name for name in names]


def check_folder(folder: Path, overwrite: bool) -> None:
    """Check that `write_recording` may write to the folder.

    Raises:
        OutputError: The parent folder is missing, or the folder contains files that may not be replaced.
    """
    if not folder.parent.is_dir():
        raise OutputError(f"{folder}: its parent folder does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder")
    if not any(folder.iterdir()):
        return
    # Files that this module has not written are never removed.
    foreign = [p.name for p in folder.iterdir() if not _is_ours(p)]
    if foreign or not (folder / FACTS).is_file():
        shown = f" ({sorted(foreign)[0]})" if foreign else ""
        raise OutputError(f"{folder}: contains other files{shown}; choose a new folder")
    if not overwrite:
        raise OutputError(f"{folder}: already contains a simulated burst; add --overwrite to replace it")


def _is_ours(path: Path) -> bool:
    is_frame = path.name.startswith("frame_") and path.suffix == ".dng"
    return path.is_file() and (is_frame or path.name in (TRUTH, FACTS))


def facts(recording: Recording, names: list[str], source: str) -> dict[str, Any]:
    """Return the description of a recording as a JSON document."""
    settings = recording.settings
    motions, homographies, path = recording.motions(), recording.homographies, recording.object_path
    height, width = recording.mosaics.shape[1:]
    frames = []
    for k, name in enumerate(names):
        frame: dict[str, Any] = {"file": name}
        if motions is not None and homographies is not None:
            frame["motion"] = {"dy": motions[k].dy, "dx": motions[k].dx, "angle": motions[k].angle}
            frame["homography"] = homographies[k].tolist()
        if path is not None:
            frame["object"] = {"dy": float(path[k, 1]), "dx": float(path[k, 0])}
        frames.append(frame)
    values = {**asdict(settings), "reference": settings.reference_index, "black_level": settings.black}
    if homographies is None:
        for name in ("motion", "moving_object", "object_speed", "blur"):
            del values[name]  # has no effect on a clip
    return {
        "version": __version__,
        "source": source,
        "settings": values,
        "height": height,
        "width": width,
        "white_level": settings.white,
        "noise": {
            "shot_gain": settings.shot_gain,
            "read_variance": settings.read_variance,
            "model": "variance = shot_gain * x + read_variance, x from 0 (black) to 1 (white)",
        },
        "reference": {"index": settings.reference_index, "file": names[settings.reference_index]},
        "ground_truth": {"file": TRUTH, "content": "linear camera RGB, no white balance, 65535 = white"},
        "camera": {
            "linear_srgb_to_balanced_camera": recording.camera.rgb_to_camera[0].tolist(),
            "white_balance_gains": recording.camera.gains[0].tolist(),
        },
        "motion": "unknown: the clip's own"
        if homographies is None
        else (
            "content at (x, y) sensor pixels from the centre of the reference lies at homography * (x, y, 1) "
            "from the centre of the frame; the object moves by (dx, dy) within the scene"
        ),
        "frames": frames,
        "hot_pixels": recording.hot_pixels.tolist(),
    }
