"""Fit the colour table of `--wb auto`, or measure its error on photographs under simulated lights.

    python benchmarks/white_balance.py fit TRAIN_FOLDER burstfix/color/light_prior.npy
    python benchmarks/white_balance.py measure VAL_FOLDER

A folder contains photographs, or tar files with photographs. The photographs are assumed to be well balanced.
Each is recorded by two simulated cameras under lights from 2300 K to 9000 K, up to 0.012 Duv from the black
body locus. The error is the angle between the true and the estimated camera RGB of a grey object.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from burstfix.color.chromatic import D65_XY, adaptation, white_of, xy_to_xyz
from burstfix.color.dng import xy_to_neutral, xyz_to_camera
from burstfix.color.spaces import SPACES, SRGB_CURVE
from burstfix.color.white_balance import estimate_neutral, log_histogram
from burstfix.types import ColorProfile

SIZE = (96, 72)
LIGHTS = 4  # for each photograph and camera


def matrix(*numbers: float) -> NDArray[np.float64]:
    """Return a (3, 3) matrix."""
    return np.array(numbers, np.float64).reshape(3, 3)


CAMERAS = (
    ColorProfile(
        color_matrix_1=matrix(1.8331, -0.8166, -0.2478, 0.1391, 0.8961, -0.0367, 0.0822, 0.0662, 0.2597),
        illuminant_1=3,
        color_matrix_2=matrix(1.0344, -0.421, -0.062, -0.2315, 1.0625, 0.1948, 0.0093, 0.1058, 0.5541),
        illuminant_2=23,
        as_shot_neutral=None,
    ),
    ColorProfile(
        color_matrix_1=matrix(0.9, -0.3, -0.1, -0.4, 1.25, 0.15, -0.05, 0.2, 0.6), as_shot_neutral=None
    ),
)


def photographs(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield every photograph, reduced, as linear sRGB (3, h, w)."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for member in archive.getmembers():
                    if member.name.endswith((".jpg", ".png")):
                        file = archive.extractfile(member)
                        assert file is not None
                        yield _linear(Image.open(io.BytesIO(file.read())))
        elif path.suffix in (".jpg", ".png"):
            yield _linear(Image.open(path))


def _linear(image: Image.Image) -> NDArray[np.float32]:
    reduced = image.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    return SRGB_CURVE.decode(np.asarray(reduced) / 255).transpose(2, 0, 1).astype(np.float32)


def under_light(
    picture: NDArray[np.float32], camera: ColorProfile, light: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Simulate the camera RGB of a photograph under a light of this chromaticity, clipped at 1."""
    to_camera = xyz_to_camera(camera, light) @ adaptation(xy_to_xyz(D65_XY), xy_to_xyz(light))
    to_camera = to_camera @ SPACES["srgb"].to_xyz()
    to_camera /= to_camera.sum(axis=1).max()
    return np.clip(np.einsum("ij,jyx->iyx", to_camera, picture), 0, 1).astype(np.float32)


def errors(pictures: list[NDArray[np.float32]], seed: int = 1) -> NDArray[np.float64]:
    """Return the angles in degrees between the true and the estimated neutral."""
    rng = np.random.default_rng(seed)
    found = []
    for camera in CAMERAS:
        for picture in pictures:
            for _ in range(LIGHTS):
                kelvin, duv = (
                    2300 * (9000 / 2300) ** rng.random(),
                    np.clip(rng.normal(0.001, 0.004), -0.01, 0.012),
                )
                light = white_of(float(kelvin), float(duv))
                true = xy_to_neutral(camera, light)
                guess = estimate_neutral(camera, under_light(picture, camera, light))
                cosine = true @ guess / np.linalg.norm(true) / np.linalg.norm(guess)
                found.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(found)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit or measure the automatic white balance.")
    parser.add_argument("action", choices=["fit", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path, nargs="?", help="file to write")
    arguments = parser.parse_args()
    pictures = list(photographs(arguments.folder))
    if arguments.action == "fit":
        np.save(arguments.table, np.stack(log_histogram(pictures)).astype(np.float16))
        print(f"{len(pictures)} photographs, {arguments.table}")  # noqa: T201
    else:
        angles = errors(pictures)
        parts = [f"median {np.median(angles):.2f}", f"mean {angles.mean():.2f}"]
        parts.append(f"90% below {np.percentile(angles, 90):.1f} degrees")
        print(f"{len(pictures)} photographs, {angles.size} scenes: " + ", ".join(parts))  # noqa: T201


if __name__ == "__main__":
    main()
