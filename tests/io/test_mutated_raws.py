"""Damaged files: reading any mutation of a raw returns a frame or raises `InputError`."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from burstfix.errors import InputError
from burstfix.io import read_frame, write_cfa_dng
from burstfix.io.read.decoder_client import shared_client
from burstfix.types import Levels
from tests.io.raw_files import entries, make_metadata, make_mosaic


def flip_bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 5, 50, 500])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def flip_header(data: bytearray, rng: random.Random) -> None:
    """Change directories and their values, which are at the end and before the pixels."""
    pixels = 48 * 64 * 2
    for _ in range(rng.choice([1, 3, 10])):
        place = rng.randrange(len(data) - pixels)
        data[place if rng.random() < 0.3 else len(data) - 1 - place % 1200] = rng.randrange(256)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def swap_tags(data: bytearray, rng: random.Random) -> None:
    """Swap the numbers of two tags, but not their values."""
    a, b = rng.sample(sorted(entries(data).values()), 2)
    data[a : a + 2], data[b : b + 2] = data[b : b + 2], data[a : a + 2]


def change_tag(data: bytearray, rng: random.Random) -> None:
    """Give a tag an extreme type, count or value."""
    place = rng.choice(sorted(entries(data).values()))
    what = rng.randrange(3)
    if what == 0:
        struct.pack_into("<H", data, place + 2, rng.choice([0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 99]))
    else:
        value = rng.choice([0, 1, 3, 255, 65535, 0x7FFFFFFF, 0xFFFFFFFF, rng.randrange(len(data)), 1 << 20])
        struct.pack_into("<L", data, place + (4 if what == 1 else 8), value)


MUTATIONS = (flip_bytes, flip_header, cut, swap_tags, change_tag)


def open_files() -> int:
    return psutil.Process().num_fds() if os.name == "posix" else psutil.Process().num_handles()


@pytest.mark.slow
def test_read_frame_when_raws_are_mutated_then_each_is_read_or_raises_input_error(tmp_path: Path):
    metadata = make_metadata(
        40, 50, levels=Levels(np.full((2, 2), 64, np.float32), 1023.0, black_cols=np.zeros(50, np.float32))
    )
    table = np.arange(1024, dtype=np.uint16)
    origin = write_cfa_dng(
        tmp_path / "origin.dng",
        make_mosaic(),
        metadata,
        active_area=(3, 5, 43, 55),
        linearization_table=table,
    ).read_bytes()
    rng = random.Random(20240506)
    path = tmp_path / "mutated.dng"
    read, refused = 0, 0
    handles = open_files()
    for number in range(300):
        data = bytearray(origin)
        for _ in range(rng.choice([1, 1, 2])):
            MUTATIONS[number % len(MUTATIONS)](data, rng)
            if len(data) < 2000:
                break
        path.write_bytes(data)
        start = time.monotonic()
        try:
            frame = read_frame(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error), number
        else:
            read += 1
            m = frame.metadata
            assert frame.mosaic.shape == (m.height, m.width), number
            assert float(m.levels.black.max()) < m.levels.white, number
            assert np.isfinite(m.color.color_matrix_1).all(), number
        assert time.monotonic() - start < 20, number
    # The test is only meaningful if some mutations are read and others rejected.
    assert read > 30 and refused > 30
    children = psutil.Process().children()
    assert [c.pid for c in children] == [shared_client().pid]
    assert open_files() <= handles + 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mutated.dng", "origin.dng"]
