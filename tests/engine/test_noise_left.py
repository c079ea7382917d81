"""Remaining noise after a merge, compared with the difference of two merges of the same scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from burstfix.engine.noise_left import _fit, _plane
from burstfix.pipeline import merge_burst, read_burst, write_dng
from burstfix.types import LinearImage
from tests.merged_raws import burst_of, tags_of


def merged(folder: Path, seed: int, **options: object) -> LinearImage:
    folder.mkdir(exist_ok=True)
    burst = read_burst(burst_of(folder, 4, 192, 256, seed=seed), reference=1)
    return merge_burst(burst, device="cpu", measure_noise=True, **options)  # type: ignore[arg-type]


def plane(image: LinearImage, k: int) -> np.ndarray:
    """Return packed plane k (R, Gr, Gb or B) of a picture or of an RGGB mosaic."""
    return image.data[(0, 1, 1, 2)[k]] if len(image.data) == 3 else image.data[0, k // 2 :: 2, k % 2 :: 2]


@pytest.mark.parametrize(
    ("model", "mosaic"),
    [
        ("average", False),
        ("average", True),
        pytest.param("kpn", False, marks=pytest.mark.slow),
        pytest.param("kpn", True, marks=pytest.mark.slow),
    ],
)
def test_merge_burst_when_noise_is_measured_then_it_is_the_remaining_noise(
    tmp_path: Path, model: str, mosaic: bool
):
    images = [merged(tmp_path / str(seed), seed, model=model, mosaic=mosaic) for seed in (0, 100)]
    noise = images[0].noise
    assert noise is not None
    ratios = []
    for k in range(4):
        first, second = (plane(image, k) for image in images)
        level, left = (first + second) / 2, (first - second) ** 2 / 2
        shown = (level > 0.02) & (level < 0.6)
        stated = noise.shot_gain[k] * level[shown] + noise.read_variance[k]
        ratios.append(float(stated.mean() / left[shown].mean()))
    print(model, "mosaic" if mosaic else "linear", np.round(ratios, 2))  # noqa: T201
    assert ratios == pytest.approx([1] * 4, abs=0.3)


def test_write_dng_when_noise_was_measured_then_the_file_contains_it(tmp_path: Path):
    image = merged(tmp_path / "burst", 0, model="average")
    assert image.noise is not None
    tags = tags_of(write_dng(image, tmp_path / "a.dng"))
    stated = [float(x) for x in tags["NoiseProfile"].split()]
    assert stated[:2] == pytest.approx([image.noise.shot_gain[0], image.noise.read_variance[0]])


def test_merge_burst_when_noise_is_measured_twice_then_both_results_are_the_same(tmp_path: Path):
    paths = burst_of(tmp_path, 2, 96, 128)
    first, second = (
        merge_burst(read_burst(paths), model="average", device="cpu", measure_noise=True) for _ in range(2)
    )
    assert first.noise is not None and first.noise == second.noise
    assert merge_burst(read_burst(paths), model="average", device="cpu").noise is None


def test_plane_when_the_picture_is_a_mosaic_then_each_plane_has_the_pixels_of_one_position() -> None:
    mosaic = np.tile(np.array([[0, 1], [2, 3]], np.float32), (3, 4))[None]
    for k in range(4):
        assert _plane(mosaic, k).shape == (3, 4) and (_plane(mosaic, k) == k).all()


@pytest.mark.parametrize(("gain", "read"), [(1e-3, 1e-5), (1e-3, 0.0), (0.0, 1e-4)])
def test_fit_when_variances_lie_on_a_line_then_its_gain_and_read_variance_are_found(gain, read) -> None:
    level = np.random.default_rng(0).uniform(0.01, 0.8, 40_000)
    found = _fit(level, gain * level + read)
    assert found is not None and found == pytest.approx((gain, read), rel=0.02, abs=2e-6)


@pytest.mark.parametrize(("gain", "read"), [(-1e-3, 1e-3), (1e-3, -5e-6)])
def test_fit_when_a_part_of_the_line_is_negative_then_it_is_zero_and_the_mean_is_kept(gain, read) -> None:
    level = np.random.default_rng(0).uniform(0.01, 0.8, 40_000)
    found = _fit(level, gain * level + read)
    assert found is not None and min(found) == 0
    assert found[0] * level.mean() + found[1] == pytest.approx(gain * level.mean() + read, rel=0.01)
