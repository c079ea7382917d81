"""Parse and plan the opcode lists of DNGs: corrections that cameras store in the file.

`burstfix.raw.mosaic_opcodes` applies lists 1 and 2 to tensors, `burstfix.raw.picture_opcodes` list 3.
This package depends only on numpy.
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
