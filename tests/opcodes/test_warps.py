"""Warps, compared with slow, direct implementations of the specification."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.opcodes import OpcodeLists
from burstfix.raw import picture_opcodes
from burstfix.raw.picture_opcodes import apply_to_picture
from tests.io.raw_files import make_metadata
from tests.opcodes import lists as make

H, W = 13, 17  # odd, so that there is a pixel in the middle
PICTURE = np.random.default_rng(8).uniform(-0.1, 1.2, (3, H, W)).astype(np.float32)

Move = Callable[[Sequence[float], float, float], tuple[float, float]]


def rectilinear(k: Sequence[float], x: float, y: float) -> tuple[float, float]:
    r = math.hypot(x, y)
    f = k[0] + k[1] * r**2 + k[2] * r**4 + k[3] * r**6
    return (
        f * x + k[4] * 2 * x * y + k[5] * (r**2 + 2 * x**2),
        f * y + k[5] * 2 * x * y + k[4] * (r**2 + 2 * y**2),
    )


def rectilinear_2(k: Sequence[float], x: float, y: float, reciprocal: bool) -> tuple[float, float]:
    r = math.hypot(x, y)
    limited = min(max(r, k[17]), k[18])
    f = sum(k[i] * limited**i for i in range(15))
    if reciprocal:
        f = 1 / f
    return (
        f * x + k[15] * 2 * x * y + k[16] * (r**2 + 2 * x**2),
        f * y + k[16] * 2 * x * y + k[15] * (r**2 + 2 * y**2),
    )


def fisheye(k: Sequence[float], x: float, y: float) -> tuple[float, float]:
    r = math.hypot(x, y)
    t = math.atan(r)
    f = (k[0] * t + k[1] * t**3 + k[2] * t**5 + k[3] * t**7) / r if r else k[0]
    return f * x, f * y


def keys(t: float) -> float:
    """Return the weight of Keys' cubic convolution with a = -1/2."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def value_at(plane: np.ndarray, y: float, x: float) -> float:
    """Interpolate the picture at a fractional position. Outside the picture, edge pixels are repeated."""
    total = 0.0
    for row in range(math.floor(y) - 1, math.floor(y) + 3):
        for col in range(math.floor(x) - 1, math.floor(x) + 3):
            sample = plane[min(max(row, 0), H - 1), min(max(col, 0), W - 1)]
            total += keys(y - row) * keys(x - col) * float(sample)
    return total


def slowly(planes: Sequence[Sequence[float]], center: tuple[float, float], move: Move) -> np.ndarray:
    cx, cy = center[0] * (W - 1), center[1] * (H - 1)
    m = max(math.hypot(x - cx, y - cy) for x in (0, W - 1) for y in (0, H - 1))
    out = np.empty_like(PICTURE)
    for c in range(3):
        k = planes[c if len(planes) == 3 else 0]
        for y in range(H):
            for x in range(W):
                dx, dy = move(k, (x - cx) / m, (y - cy) / m)
                out[c, y, x] = value_at(PICTURE[c], cy + m * dy, cx + m * dx)
    return out


def applied(opcode: bytes) -> np.ndarray:
    lists = OpcodeLists(third=make.opcode_list(opcode))
    return apply_to_picture(PICTURE.copy(), make_metadata(H, W, opcodes=lists).plan_opcodes())


def numbers(count: int, limit: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-limit, limit), min_size=count, max_size=count)


centers = st.tuples(st.floats(0, 1), st.floats(0, 1)) | st.just((0.5, 0.5))
counts = st.sampled_from([1, 3])


@settings(max_examples=25, deadline=None)
@given(st.data(), counts, centers)
def test_warp_rectilinear_when_applied_then_every_pixel_follows_the_specification(data, count, center):
    planes = [
        [data.draw(st.floats(0.7, 1.3)), *data.draw(numbers(3, 0.4)), *data.draw(numbers(2, 0.2))]
        for _ in range(count)
    ]
    got = applied(make.warp(planes, center))
    np.testing.assert_allclose(got, slowly(planes, center, rectilinear), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.data(), counts, centers, st.booleans())
def test_warp_rectilinear_2_when_applied_then_every_pixel_follows_the_specification(
    data, count, center, reciprocal
):
    planes = []
    for _ in range(count):
        least = data.draw(st.floats(0, 0.5))
        planes.append(
            [
                data.draw(st.floats(0.8, 1.2)),
                *data.draw(numbers(14, 0.05)),
                *data.draw(numbers(2, 0.2)),
                least,
                data.draw(st.floats(least + 0.1, 1)),
            ]
        )
    got = applied(make.warp_2(planes, center, int(reciprocal)))
    want = slowly(planes, center, lambda k, x, y: rectilinear_2(k, x, y, reciprocal))
    np.testing.assert_allclose(got, want, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.data(), counts, centers)
def test_warp_fisheye_when_applied_then_every_pixel_follows_the_specification(data, count, center):
    planes = [[data.draw(st.floats(0.7, 1.3)), *data.draw(numbers(3, 0.4))] for _ in range(count)]
    got = applied(make.fisheye(planes, center))
    np.testing.assert_allclose(got, slowly(planes, center, fisheye), atol=1e-5)


def test_warp_when_strips_are_small_then_the_picture_is_the_same(monkeypatch: pytest.MonkeyPatch):
    opcode = make.warp([[0.95, 0.03, -0.02, 0.01, 0.002, -0.003]], (0.45, 0.55))
    whole = applied(opcode)
    monkeypatch.setattr(picture_opcodes, "_STRIP_PIXELS", 2 * W)
    np.testing.assert_array_equal(applied(opcode), whole)


@pytest.mark.parametrize(
    "opcode",
    [
        make.warp([[1e6, 1e6, -1e6, 1e6, 0, 0]]),
        make.warp([[-50.0, 0, 0, 0, 0, 0]]),
        make.warp_2([[1e-3] + [0.0] * 16 + [0, 1]], reciprocal=1),
    ],
)
def test_warp_when_it_points_far_outside_then_edge_pixels_are_used(opcode: bytes):
    got = applied(opcode)
    assert np.isfinite(got).all()
    edges = np.concatenate([PICTURE[:, [0, -1]].reshape(3, -1), PICTURE[:, :, [0, -1]].reshape(3, -1)], 1)
    got[:, H // 2, W // 2] = edges[:, 0]  # the middle may keep its position
    for channel in range(3):
        assert np.abs(got[channel].ravel()[:, None] - edges[channel]).min(1).max() < 1e-6


LARGE = """
import resource
import numpy as np
import torch
from burstfix.opcodes.records import Header, WarpRectilinear
from burstfix.raw.picture_opcodes import warp
picture = torch.rand(3, 1500, 2000)
opcode = WarpRectilinear(Header("WarpRectilinear", False), np.array([[1.01, 0, 0, 0, 0, 0.0]]), (0.5, 0.5))
warp(picture[:, :100, :100].clone(), opcode)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
warp(picture, opcode)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / picture.nbytes)
"""


def test_warp_when_the_picture_is_large_then_it_takes_less_memory_than_the_picture():
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.8  # the copy of one channel takes a third of the picture
