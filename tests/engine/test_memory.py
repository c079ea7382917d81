from __future__ import annotations

from pathlib import Path

import pytest
import torch

from burstfix.engine import memory
from burstfix.engine.memory import FLOOR, automatic_side, container_memory, free_memory
from burstfix.models.base import ModelInfo

CPU = torch.device("cpu")


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"memory.max": "max\n", "memory.current": "5\n"}, None),
        ({"memory.max": "1000\n", "memory.current": "700\n"}, 300),
        (
            {"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 7\ninactive_file 250\n"},
            350,
        ),
        ({"memory.max": "1000", "memory.current": "1100"}, 0),
        ({"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "400"}, 600),
    ],
)
def test_container_memory_when_the_kernel_shows_a_limit_then_it_is_what_is_left(tmp_path, files, expected):
    write(tmp_path, files)
    assert container_memory(tmp_path) == expected


def test_free_memory_when_in_a_small_container_then_its_limit_counts(tmp_path, monkeypatch):
    write(tmp_path, {"memory.max": "5000", "memory.current": "2000"})
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert free_memory(CPU) == 3000


@pytest.mark.parametrize("free", [0, 10**7, 10**8, 10**9, 10**12])
@pytest.mark.parametrize("frames", [1, 5, 50])
def test_automatic_side_whatever_is_free_then_the_tile_fits_or_is_the_smallest(free, frames, monkeypatch):
    info = ModelInfo("x", size_multiple=12, halo=24, bytes_per_pixel=200, bytes_per_pixel_fixed=900)
    monkeypatch.setattr(memory, "free_memory", lambda place: free)
    side = automatic_side(info, frames, CPU)
    assert side % info.size_multiple == 0
    smallest = FLOOR + info.size_multiple
    assert side < smallest or (side + 2 * info.halo) ** 2 * (200 * frames + 900) <= min(free / 2, 1e9)
    assert side >= FLOOR


def test_automatic_side_when_numbers_take_half_then_tiles_are_larger(monkeypatch):
    info = ModelInfo("x", size_multiple=8, halo=16, bytes_per_pixel=200)
    monkeypatch.setattr(memory, "free_memory", lambda place: 10**9)
    assert automatic_side(info, 5, CPU, torch.bfloat16) > automatic_side(info, 5, CPU, torch.float32)


def test_automatic_side_when_more_is_free_then_tiles_are_larger(monkeypatch):
    info = ModelInfo("x", size_multiple=8, halo=16, bytes_per_pixel=100)
    sides = []
    for free in (10**8, 10**9):
        monkeypatch.setattr(memory, "free_memory", lambda place, free=free: free)
        sides.append(automatic_side(info, 5, CPU))
    assert sides[0] < sides[1]
