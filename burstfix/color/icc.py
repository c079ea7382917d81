"""Small ICC profiles (version 4, matrix and curve) for the colour spaces of `spaces`."""

from __future__ import annotations

import functools
import hashlib
import struct

import numpy as np

from burstfix.color.chromatic import D50_XYZ, Matrix, adaptation
from burstfix.color.spaces import ColorSpace, TransferCurve, color_space

_VERSION_4_4 = 0x04400000
_DATE = (2024, 1, 1, 0, 0, 0)  # fixed, so that equal pictures have equal bytes


def _fixed(value: float) -> bytes:
    """Encode an s15Fixed16Number."""
    return struct.pack(">i", round(value * 65536))


def _text(text: str) -> bytes:
    """Encode a multiLocalizedUnicodeType with one English record."""
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _xyz(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _curve(curve: TransferCurve) -> bytes:
    numbers = (curve.gamma, curve.a, curve.b, curve.slope, curve.start)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, numbers))


def build_profile(space: ColorSpace) -> bytes:
    """Build the ICC profile (ICC.1:2022) of a display colour space: three colorants and one curve."""
    colorants = space.to_xyz_d50()
    # Rounding to 1/65536 must not tint white, so rounding errors are added to the green colorant.
    rounded = np.round(colorants * 65536) / 65536
    rounded[:, 1] += np.round(D50_XYZ * 65536) / 65536 - rounded.sum(axis=1)
    curve = _curve(space.curve)
    chad = b"sf32\0\0\0\0" + b"".join(map(_fixed, adaptation(space.white_xyz, D50_XYZ).ravel()))
    tags = {
        b"desc": _text(space.title),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(D50_XYZ),
        b"chad": chad,
        b"rXYZ": _xyz(rounded[:, 0]),
        b"gXYZ": _xyz(rounded[:, 1]),
        b"bXYZ": _xyz(rounded[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    start = 128 + 4 + 12 * len(tags)
    table, data, offsets = b"", b"", {}
    for signature, payload in tags.items():
        if payload not in offsets:  # the three curves share one copy
            offsets[payload] = start + len(data)
            data += payload + b"\0" * (-len(payload) % 4)
        table += struct.pack(">4sII", signature, offsets[payload], len(payload))
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sIIIQI12s4s16s28s",
        128 + len(body),
        b"\0\0\0\0",
        _VERSION_4_4,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        *_DATE,
        b"acsp",
        b"\0\0\0\0",
        0,
        0,
        0,
        0,
        0,  # perceptual intent
        b"".join(map(_fixed, D50_XYZ)),
        b"\0\0\0\0",
        b"\0" * 16,
        b"\0" * 28,
    )
    # The identifier is computed with flags, intent and identifier set to zero (7.2.18); here they are zero.
    identifier = hashlib.md5(header + body, usedforsecurity=False).digest()
    return header[:84] + identifier + header[100:] + body


@functools.cache
def icc_profile(name: str) -> bytes:
    """Return the ICC profile of a colour space by its name; raise UsageError if the name is unknown."""
    return build_profile(color_space(name))
