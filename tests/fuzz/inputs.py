"""Hostile inputs: generated files and their mutations. The random generator determines each input."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from burstfix.checkpoints.files import FORMAT_VERSION, NOISE_CONVENTION
from burstfix.io import write_cfa_dng
from burstfix.models.catalog import build
from burstfix.types import Levels, OpcodeLists
from tests.io.raw_files import entries, make_metadata, make_mosaic
from tests.opcodes import lists

HEIGHT, WIDTH = 48, 64
NUMBERS = (0, 1, 2, 3, 7, 255, 256, 1024, 1025, 65535, 65536, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e-7, 3.4e38, 1e308, -1e308, math.inf, -math.inf, math.nan)
TIFF_TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 99, 65535)

Mutation = Callable[[bytearray, random.Random], None]


def flip_bytes(data: bytearray, rng: random.Random) -> None:
    """Replace some bytes anywhere."""
    for _ in range(rng.choice([1, 5, 50, 500])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def flip_end(data: bytearray, rng: random.Random) -> None:
    """Replace bytes near the end, where our DNGs have their directories."""
    for _ in range(rng.choice([1, 3, 10])):
        data[len(data) - 1 - rng.randrange(min(len(data), 1500))] = rng.randrange(256)


def cut(data: bytearray, rng: random.Random) -> None:
    """Truncate the file."""
    del data[rng.randrange(1, len(data)) :]


def repeat(data: bytearray, rng: random.Random) -> None:
    """Insert a copy of a part of the file at another position."""
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice([1, 12, 100, 4000])]
    at = rng.randrange(len(data))
    data[at:at] = piece


def swap_tags(data: bytearray, rng: random.Random) -> None:
    """Exchange the numbers of two tags."""
    a, b = rng.sample(sorted(entries(data).values()), 2)
    data[a : a + 2], data[b : b + 2] = data[b : b + 2], data[a : a + 2]


def change_tag(data: bytearray, rng: random.Random) -> None:
    """Give a tag another type, count or value."""
    at = rng.choice(sorted(entries(data).values()))
    field = rng.randrange(3)
    if field == 0:
        struct.pack_into("<H", data, at + 2, rng.choice(TIFF_TYPES))
    else:
        value = rng.choice([*NUMBERS, rng.randrange(len(data))])
        struct.pack_into("<L", data, at + (4 if field == 1 else 8), value)


ANY_FILE: Sequence[Mutation] = (flip_bytes, cut, repeat)
DNG: Sequence[Mutation] = (*ANY_FILE, flip_end, swap_tags, change_tag, change_tag)


def mutated(original: bytes, rng: random.Random, mutations: Sequence[Mutation]) -> bytes:
    """Apply one to three mutations; skip mutations that earlier ones have made impossible."""
    data = bytearray(original)
    for _ in range(rng.choice([1, 1, 2, 3])):
        try:
            rng.choice(mutations)(data, rng)
        except (struct.error, ValueError, IndexError):
            break
    return bytes(data)


@cache
def _dng(folder: Path) -> bytes:
    levels = Levels(np.full((2, 2), 64, np.float32), 1023.0, black_cols=np.zeros(WIDTH - 8, np.float32))
    metadata = make_metadata(HEIGHT - 6, WIDTH - 8, levels=levels)
    return write_cfa_dng(
        folder / "origin.dng",
        make_mosaic(HEIGHT, WIDTH),
        metadata,
        active_area=(2, 4, HEIGHT - 4, WIDTH - 4),
        linearization_table=np.arange(1024, dtype=np.uint16),
        overwrite=True,
    ).read_bytes()


def dng(rng: random.Random, folder: Path) -> Path:
    """Write a damaged DNG."""
    path = folder / "shot.dng"
    path.write_bytes(mutated(_dng(folder), rng, DNG))
    return path


def _area(rng: random.Random) -> bytes:
    if rng.random() < 0.7:
        return lists.area(0, 0, HEIGHT, WIDTH, 0, 1, rng.choice([(1, 1), (2, 2)]))
    return lists.area(
        *(rng.choice(NUMBERS) for _ in range(6)), pitch=(rng.choice(NUMBERS), rng.choice(NUMBERS))
    )


def _floats(rng: random.Random, count: int) -> list[float]:
    hostility = rng.choice([0.0, 0.0, 0.2])
    return [rng.choice(FLOATS) if rng.random() < hostility else rng.uniform(0, 0.1) for _ in range(count)]


def _opcode(rng: random.Random) -> bytes:
    side = rng.choice([1, 2, 5, 17])
    values = [rng.randrange(65536) for _ in range(rng.choice([0, 1, 256, 65536]))]
    line = [x if abs(x) < 3e38 else 0.0 for x in _floats(rng, HEIGHT)]
    points = [(rng.choice(NUMBERS), rng.randrange(WIDTH)) for _ in range(rng.randrange(9))]
    unknown = rng.randbytes(rng.randrange(60))
    with np.errstate(all="ignore"):
        gains = np.array(_floats(rng, side * side), np.float32).reshape(side, side, 1)
    kinds: Sequence[Callable[[], bytes]] = (
        lambda: lists.gain_map(_area(rng), gains),
        lambda: lists.table(_area(rng), values),
        lambda: lists.polynomial(_area(rng), _floats(rng, rng.choice([1, 3, 9]))),
        lambda: lists.line_values(rng.choice([10, 11, 12, 13]), _area(rng), line),
        lambda: lists.bad_value(rng.choice(NUMBERS)),
        lambda: lists.bad_list(points),
        lambda: lists.trim(*(rng.choice([0, 1, HEIGHT, WIDTH, rng.choice(NUMBERS)]) for _ in range(4))),
        lambda: lists.warp([_floats(rng, 6) for _ in range(rng.choice([1, 3]))], _floats(rng, 2)),
        lambda: lists.warp_2([_floats(rng, 19) for _ in range(rng.choice([1, 3]))], _floats(rng, 2)),
        lambda: lists.fisheye([_floats(rng, 4) for _ in range(rng.choice([1, 3]))], _floats(rng, 2)),
        lambda: lists.vignette(_floats(rng, 5), _floats(rng, 2)),
        lambda: lists.opcode(rng.randrange(20), unknown, optional=rng.random() < 0.5),
    )
    return rng.choice(kinds)()


def opcode_lists(rng: random.Random, folder: Path) -> Path:
    """Write a valid DNG with hostile opcode lists."""

    def one() -> bytes:
        packed = lists.opcode_list(*(_opcode(rng) for _ in range(rng.choice([1, 1, 1, 2, 40]))))
        return mutated(packed, rng, ANY_FILE) if rng.random() < 0.2 else packed

    packed = [one() if rng.random() < 0.4 else b"" for _ in range(3)]
    metadata = replace(make_metadata(HEIGHT, WIDTH), opcodes=OpcodeLists(*packed))
    return write_cfa_dng(folder / "opcodes.dng", make_mosaic(HEIGHT, WIDTH), metadata, overwrite=True)


XMP = (
    '<?xpacket begin="" id="W5M0"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">'
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Title</rdf:li></rdf:Alt></dc:title>'
    "<dc:subject><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag></dc:subject>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def xmp(rng: random.Random, folder: Path) -> Path:
    """Write a valid DNG with a hostile sidecar."""
    text, many = XMP, rng.choice([10, 1000, 20000])
    kind = rng.randrange(5)
    if kind == 0:
        text = text.replace("<dc:title>", "<rdf:RDF>" * many + "<dc:title>", 1)
    elif kind == 1:
        entities = "".join(f'<!ENTITY a{k + 1} "{f"&a{k};" * 10}">' for k in range(9))
        text = text.replace("<x:xmpmeta", f'<!DOCTYPE x [<!ENTITY a0 "a">{entities}]><x:xmpmeta', 1)
        text = text.replace("Title", "&a9;", 1)
    elif kind == 2:
        text = text.replace("<rdf:li>one</rdf:li>", "<rdf:li>one</rdf:li>" * many, 1)
    elif kind == 3:
        text = text.replace(
            "Title", rng.choice(["&#0;", "\x1b[2J", "\u202e", "x" * 100 * many, "&lt;" * many]), 1
        )
    data = text.encode(rng.choice(["utf-8", "utf-8", "utf-16", "latin-1"]), "replace")
    path = folder / "titled.dng"
    if not path.exists():
        write_cfa_dng(path, make_mosaic(HEIGHT, WIDTH), make_metadata(HEIGHT, WIDTH))
    path.with_suffix(".xmp").write_bytes(mutated(data, rng, ANY_FILE) if rng.random() < 0.7 else data)
    return path


@cache
def _weights() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    torch.manual_seed(0)
    model = build("kpn", {"channels": 4, "head_channels": 4, "head_blocks": 1})
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return tensors, asdict(model.config)  # type: ignore[call-overload]


def weights(rng: random.Random, folder: Path) -> Path:
    """Write a weight file with a hostile configuration, hostile tensors or damage."""
    tensors, config = _weights()
    tensors, values = dict(tensors), dict(config)
    odd: Sequence[Any] = (*NUMBERS, -1, 10**9, 10**30, 0.5, None, True, "4", [4], {"a": 1}, math.nan)
    for _ in range(rng.choice([0, 1, 1, 3])):
        values[rng.choice([*values, "unknown"])] = rng.choice(odd)
    metadata = {
        "format_version": rng.choice([str(FORMAT_VERSION)] * 8 + ["99", "x"]),
        "model": rng.choice(
            ["kpn"] * 8 + ["average", "deformable-3d", "two-stage", "two-stage-paper", "os:system", "nothing"]
        ),
        "config": json.dumps(values)
        if rng.random() < 0.9
        else rng.choice(["", "[]", "{", "[" * 5000, "null"]),
        "noise_convention": rng.choice([NOISE_CONVENTION] * 8 + ["other"]),
    }
    if rng.random() < 0.5:
        _hurt_tensors(tensors, rng)
    data = _sorted_header(safetensors.torch.save(tensors, metadata))
    path = folder / "hostile.safetensors"
    path.write_bytes(mutated(data, rng, ANY_FILE) if rng.random() < 0.4 else data)
    return path


def _sorted_header(data: bytes) -> bytes:
    """Sort the header of a weight file, because the library writes it in random order."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _hurt_tensors(tensors: dict[str, torch.Tensor], rng: random.Random) -> None:
    name = rng.choice(sorted(tensors))
    kind = rng.randrange(4)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name] = torch.full_like(tensors[name].double(), rng.choice(FLOATS)).to(tensors[name].dtype)
    elif kind == 2:
        tensors[name] = tensors[name].reshape(-1)[: rng.randrange(1, 9)].clone()
    else:
        tensors[name] = tensors[name].to(rng.choice([torch.int64, torch.bool, torch.float64, torch.bfloat16]))
