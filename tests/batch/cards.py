"""Memory cards as cameras leave them, with tiny raws that show a scene each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from burstfix.io import write_cfa_dng
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

START = datetime(2024, 5, 31, 21, 0, 0)
HEIGHT, WIDTH = 64, 96
BLACK, WHITE = 64.0, 1023.0
SHOT, READ = 2e-3, 2e-5


@dataclass(frozen=True)
class Camera:
    make: str = "Acme"
    model: str = "One"
    lens: str = "50mm"
    cfa: str = "RGGB"
    height: int = HEIGHT
    width: int = WIDTH


ONE = Camera()
TWO = Camera(model="Two", cfa="GBRG")


def shoot(
    path: Path,
    seconds: float | None,
    *,
    scene: int = 0,
    camera: Camera = ONE,
    iso: float = 3200.0,
    exposure: float = 1 / 20,
    shift: int = 0,
) -> Path:
    """Writes one raw, taken so many seconds after START (None: its file does not say when)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = draw_scene(camera.height + 16, camera.width + 16, seed=scene)
    rgb = rgb[:, shift : shift + camera.height, : camera.width] * min(1.0, exposure * 20)
    # The sum of what was given: every frame has noise of its own, the same in every run of the test.
    seed = scene * 1000 + sum(map(ord, path.name))
    noisy = add_noise(mosaic_of(rgb, camera.cfa), SHOT, READ, seed).numpy()
    mosaic = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, WHITE).astype(np.uint16)
    matrix = np.array([[3.24, -1.54, -0.50], [-0.97, 1.88, 0.04], [0.06, -0.20, 1.06]])
    metadata = FrameMetadata(
        path,
        camera.height,
        camera.width,
        camera.cfa,
        Levels(np.full((2, 2), BLACK, np.float32), WHITE),
        ColorProfile(matrix, np.array([0.5, 1.0, 0.7])),
        noise=NoiseProfile((SHOT,) * 4, (READ,) * 4, "file"),
        make=camera.make,
        model=camera.model,
        lens=camera.lens,
        iso=iso,
        exposure_time=exposure,
        aperture=2.0,
    )
    if seconds is not None:
        metadata = replace(metadata, time=START + timedelta(seconds=seconds))
    return write_cfa_dng(path, mosaic, metadata)


def burst(
    folder: Path,
    first: int,
    count: int,
    start: float | None,
    *,
    step: float = 0.2,
    prefix: str = "IMG_",
    suffix: str = ".dng",
    **facts: object,
) -> list[Path]:
    """Frames IMG_first ... in a row; `scene` is the first number unless given."""
    facts.setdefault("scene", first)
    return [
        shoot(
            folder / f"{prefix}{first + k:04d}{suffix}",
            None if start is None else start + k * step,
            shift=k % 3,
            **facts,  # type: ignore[arg-type]
        )
        for k in range(count)
    ]
