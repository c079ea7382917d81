"""Opcode lists of DNGs as records: what a camera wants done to its pixels, parsed but not yet done.

Applying them to tensors is the work of `burstfix.raw.mosaic_opcodes` (lists 1 and 2) and
`burstfix.raw.picture_opcodes` (list 3). Numpy only.
"""

from burstfix.opcodes.parse import parse_list, without_polynomials
from burstfix.opcodes.plan import OpcodePlan, plan_opcodes
from burstfix.opcodes.records import (
    Area,
    BadPixelList,
    BadPixelValue,
    GainMap,
    LineValues,
    Opcode,
    OpcodeLists,
    OpcodeMode,
    Polynomial,
    Table,
    Trim,
    Unsupported,
    Vignette,
    WarpFisheye,
    WarpRectilinear,
    WarpRectilinear2,
)

__all__ = [
    "Area",
    "BadPixelList",
    "BadPixelValue",
    "GainMap",
    "LineValues",
    "Opcode",
    "OpcodeLists",
    "OpcodeMode",
    "OpcodePlan",
    "Polynomial",
    "Table",
    "Trim",
    "Unsupported",
    "Vignette",
    "WarpFisheye",
    "WarpRectilinear",
    "WarpRectilinear2",
    "parse_list",
    "plan_opcodes",
    "without_polynomials",
]
