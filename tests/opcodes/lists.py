"""Pack opcode lists according to the specification, independently of the code under test."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np


def opcode(
    code: int, body: bytes, *, optional: bool = False, version: tuple[int, ...] = (1, 3, 0, 0)
) -> bytes:
    return struct.pack(">L4BLL", code, *version, int(optional), len(body)) + body


def opcode_list(*opcodes: bytes) -> bytes:
    return struct.pack(">L", len(opcodes)) + b"".join(opcodes)


def area(
    top: int, left: int, bottom: int, right: int, plane: int = 0, planes: int = 1, pitch=(1, 1)
) -> bytes:
    return struct.pack(">8L", top, left, bottom, right, plane, planes, *pitch)


def gain_map(where: bytes, gains: np.ndarray, origin=(0.0, 0.0), spacing=None, **kind) -> bytes:
    rows, cols, planes = gains.shape
    down, across = spacing or (1 / max(rows - 1, 1), 1 / max(cols - 1, 1))
    head = struct.pack(">LLddddL", rows, cols, down, across, *origin, planes)
    return opcode(9, where + head + gains.astype(">f4").tobytes(), **kind)


def table(where: bytes, values: Sequence[int]) -> bytes:
    return opcode(7, where + struct.pack(f">L{len(values)}H", len(values), *values))


def polynomial(where: bytes, coefficients: Sequence[float]) -> bytes:
    return opcode(8, where + struct.pack(f">L{len(coefficients)}d", len(coefficients) - 1, *coefficients))


def line_values(code: int, where: bytes, values: Sequence[float]) -> bytes:
    return opcode(code, where + struct.pack(f">L{len(values)}f", len(values), *values))


def bad_value(value: int) -> bytes:
    return opcode(4, struct.pack(">LL", value, 0))


def bad_list(points: Sequence[tuple[int, int]], boxes: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    flat = [x for point in points for x in point] + [x for box in boxes for x in box]
    return opcode(5, struct.pack(f">LLL{len(flat)}L", 0, len(points), len(boxes), *flat))


def trim(top: int, left: int, bottom: int, right: int) -> bytes:
    return opcode(6, struct.pack(">4L", top, left, bottom, right))


def warp(planes: Sequence[Sequence[float]], center=(0.5, 0.5)) -> bytes:
    flat = [x for plane in planes for x in plane]
    return opcode(1, struct.pack(f">L{len(flat)}d2d", len(planes), *flat, *center))


def warp_2(
    planes: Sequence[Sequence[float]], center=(0.5, 0.5), reciprocal: int = 0, version=(1, 6, 0, 0)
) -> bytes:
    """Pack for each plane 15 radial and 2 tangential coefficients, and the range of valid radii."""
    flat = [x for plane in planes for x in plane]
    body = struct.pack(f">L{len(flat)}d2dL", len(planes), *flat, *center, reciprocal)
    return opcode(14, body, version=version)


def fisheye(planes: Sequence[Sequence[float]], center=(0.5, 0.5)) -> bytes:
    flat = [x for plane in planes for x in plane]
    return opcode(2, struct.pack(f">L{len(flat)}d2d", len(planes), *flat, *center))


def vignette(coefficients: Sequence[float], center=(0.5, 0.5)) -> bytes:
    return opcode(3, struct.pack(">5d2d", *coefficients, *center))
