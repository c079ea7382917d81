"""Create memory cards with tiny raws of different scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from burstfix.io import write_cfa_dng
from burstfix.io.read.selection import natural_key
from burstfix.types import ColorProfile, FrameMetadata, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

START = datetime(2024, 5, 31, 21, 0, 0)
HEIGHT, WIDTH = 64, 96
BLACK, WHITE = 64.0, 1023.0
SHOT, READ = 2e-3, 2e-5
FILE_NOISE = NoiseProfile((SHOT, SHOT, SHOT, SHOT), (READ, READ, READ, READ), "file")


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
    noise: NoiseProfile | None = FILE_NOISE,
) -> Path:
    """Write one raw with a capture time in seconds after START; None = no capture time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = draw_scene(camera.height + 16, camera.width + 16, seed=scene)
    rgb = rgb[:, shift : shift + camera.height, : camera.width] * min(1.0, exposure * 20)
    # Frames differ in noise, but a frame has the same noise in every run of the test.
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
        noise=noise,
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
    **details: object,
) -> list[Path]:
    """Write consecutive frames starting at number `first`; by default, `scene` is this number."""
    details.setdefault("scene", first)
    return [
        shoot(
            folder / f"{prefix}{first + k:04d}{suffix}",
            None if start is None else start + k * step,
            shift=k % 3,
            **details,  # type: ignore[arg-type]
        )
        for k in range(count)
    ]


@dataclass(frozen=True)
class Card:
    """A card, and its expected groups in the order of a plan."""

    root: Path
    expected: tuple[tuple[str, str, int, str | None], ...]  # name, kind, frames, picture
    unreadable: frozenset[str]
    ignored: frozenset[str]


def full_card(root: Path) -> Card:
    """Write 40 bursts from three cameras, and other files that real cards contain."""
    expected: list[tuple[str, str, int, str | None]] = []

    def add(kind: str, paths: list[Path], picture: str | None = None) -> None:
        name = paths[0].relative_to(root).as_posix()
        if kind == "burst":
            picture = picture or f"{Path(name).parent}/{paths[0].stem}-{paths[-1].stem}.tif"
        expected.append((name, kind, len(paths), picture))

    a, b, tele = root / "DCIM" / "100ACME", root / "DCIM" / "101ACME", root / "tele"
    for k in range(16):  # a burst of 2 to 4 frames every 10 s
        add("burst", burst(a, 1 + 10 * k, 2 + k % 3, 10.0 * k))
    add("single", [shoot(a / "IMG_0190.dng", 200.0, scene=5)])
    bracket = [
        shoot(a / f"IMG_02{k:02d}.dng", 210 + 0.3 * k, exposure=1 / 20 * 4.0 ** (k - 1)) for k in range(3)
    ]
    add("bracket", bracket)
    # There are two bursts, because the scene changes without a pause.
    add("burst", burst(a, 301, 3, 400.0, scene=31))
    add("burst", burst(a, 304, 3, 400.6, scene=32))
    # There are two bursts, because the exposure changes without a pause, and a single frame at the end.
    add("burst", burst(a, 311, 2, 500.0, scene=33))
    add("burst", burst(a, 313, 2, 500.4, scene=33, iso=1600.0))
    add("single", burst(a, 315, 1, 500.8, scene=33, iso=800.0))
    # Another camera shoots at the same time into the same folder.
    for k in range(8):
        add("burst", burst(a, 1 + 10 * k, 2, 10.0 * k, prefix="TWO_", camera=TWO, scene=100 + k))
    # Another folder contains other photographs with the same names.
    for k in range(6):
        add("burst", burst(b, 1 + 10 * k, 2, 3000.0 + 10 * k, scene=200 + k))
    # A raw and its converted copy have the same stem. Each of them gets a picture.
    pair = burst(tele, 1, 2, 5000.0, scene=300, suffix=".dng")
    copies = []
    for path in pair:
        copies.append(path.with_suffix(".raw"))
        copies[-1].write_bytes(path.read_bytes() + b"\0")
    add("burst", pair)
    add("burst", copies, "tele/IMG_0001-IMG_0002_raw.tif")
    # One burst has no times; in another one, the clock is set back by two hours.
    lost, skewed = root / "lost", root / "skewed"
    add("burst", burst(lost, 1, 3, None, scene=400))
    add("burst", burst(lost, 11, 3, None, scene=401))
    first = burst(skewed, 1, 2, 9000.0, scene=402)
    add("burst", first + burst(skewed, 3, 2, 9000.6 - 7200, scene=402), "skewed/IMG_0001-IMG_0004.tif")
    add("burst", burst(skewed, 5, 2, 9100.0 - 7200, scene=403))

    # Some files are not raws, and some are copies.
    (a / "IMG_0001.JPG").write_bytes(b"\xff\xd8 a camera's picture")
    (a / "IMG_0001.xmp").write_text("<x:xmpmeta/>")
    (a / "._IMG_0001.dng").write_bytes(b"Mac OS X")
    (root / "backup").mkdir()
    (root / "backup" / "IMG_0001.dng").write_bytes((a / "IMG_0001.dng").read_bytes())
    ignored = {"DCIM/100ACME/IMG_0001.JPG", "DCIM/100ACME/IMG_0001.xmp", "DCIM/100ACME/._IMG_0001.dng"}
    # backup/ is searched after DCIM, so the file in backup/ counts as the copy.
    ignored.add("backup/IMG_0001.dng")
    # Damaged files: empty, truncated, random bytes.
    (b / "IMG_0090.dng").write_bytes(b"")
    (b / "IMG_0091.dng").write_bytes((b / "IMG_0001.dng").read_bytes()[:3000])
    (b / "IMG_0092.dng").write_bytes(bytes(range(256)) * 40)
    unreadable = {f"DCIM/101ACME/IMG_009{k}.dng" for k in range(3)}

    order = sorted(expected, key=lambda e: (str((root / e[0]).parent), natural_key(root / e[0])))
    return Card(root, tuple(order), frozenset(unreadable), frozenset(ignored))
