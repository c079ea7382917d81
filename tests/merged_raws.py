"""Bursts to merge into raws, and the tags of a file as read by exiftool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burstfix.io import write_cfa_dng
from burstfix.types import ExifTags, Levels, NoiseProfile
from tests.io.raw_files import make_metadata
from tests.opcodes import lists as make
from tests.scenes import add_noise, draw_scene, mosaic_of

GAIN, READ = 4e-4, 4e-6
NEUTRAL = np.array([0.5, 1.0, 0.7])
WARP = make.opcode_list(make.warp([[1.0, 0.01, 0, 0, 0, 0]]))


def burst_of(
    folder: Path, count: int = 3, height: int = 256, width: int = 320, *, seed: int = 0, **changes
) -> list[Path]:
    """Write frames of a synthetic still scene with little noise as DNGs."""
    scene = draw_scene(height, width, seed=3) * 0.8
    camera = scene * scene.new_tensor(NEUTRAL)[:, None, None]
    paths = []
    for k in range(count):
        noisy = add_noise(mosaic_of(camera, changes.get("cfa", "RGGB")), GAIN, READ, seed=seed + k).numpy()
        mosaic = np.clip(np.rint(1024 + noisy * (16383 - 1024)), 0, 16383).astype(np.uint16)
        metadata = make_metadata(
            height,
            width,
            **{
                "levels": Levels(np.full((2, 2), 1024, np.float32), 16383.0),
                "noise": NoiseProfile((GAIN,) * 4, (READ,) * 4, "file"),
                "exif": ExifTags(exif={37510: b"ASCII\0\0\0a note"}, gps={1: "N", 2: (47, 22, 30)}),
                **changes,
            },
        )
        paths.append(write_cfa_dng(folder / f"shot_{k}.dng", mosaic, metadata))
    return paths


def tags_of(path: Path, *options: str) -> dict[str, Any]:
    """Return tags by name; skip the test if exiftool is missing. `options` are passed to exiftool."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    run = subprocess.run(
        ["exiftool", "-j", "-a", "-n", *options, str(path)], capture_output=True, text=True, check=True
    )
    return {} if "-overwrite_original" in options else json.loads(run.stdout)[0]
