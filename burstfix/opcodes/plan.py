"""Which opcodes of a frame are applied, where, and in which order; what cannot be is refused or reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from burstfix.errors import InputError
from burstfix.opcodes.parse import parse_list
from burstfix.opcodes.records import (
    BadPixelList,
    BadPixelValue,
    GainMap,
    LineValues,
    Opcode,
    Polynomial,
    Table,
    Trim,
    Vignette,
    Warp,
    WarpFisheye,
    WarpRectilinear,
    WarpRectilinear2,
)
from burstfix.types import LINEAR, FrameMetadata, OpcodeMode

_POINTWISE = (GainMap, Table, Polynomial, LineValues, Trim)
_BAD_PIXELS = (BadPixelValue, BadPixelList)
_LENS = (WarpRectilinear, WarpRectilinear2, WarpFisheye, Vignette)
# Bad pixels are a mosaic's, lenses are corrected once there are colours at every pixel.
_SUITABLE = {1: _POINTWISE + _BAD_PIXELS, 2: _POINTWISE + _BAD_PIXELS, 3: _POINTWISE + _LENS}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One opcode and the picture that it counts in.

    Attributes:
        opcode: What to do.
        origin: Row and column of that picture's first pixel, seen from the visible area's.
        height, width: Of that picture.
    """

    opcode: Opcode
    origin: tuple[int, int]
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class OpcodePlan:
    """What becomes of a frame's opcodes.

    Attributes:
        sensor: List 1: before black is subtracted, values 0..1 for 0..65535.
        mosaic: List 2: on normalised values.
        picture: List 3: on the merged picture once it is cropped to `crop`; the origin is that crop's.
        crop: Top, left, bottom, right of what lists 1 and 2 leave of the visible area.
        applied: Names, each as "GainMap x4 (list 2)".
        skipped: Names of optional opcodes that are passed over.
    """

    sensor: tuple[Step, ...]
    mosaic: tuple[Step, ...]
    picture: tuple[Step, ...]
    crop: tuple[int, int, int, int]
    applied: tuple[str, ...]
    skipped: tuple[str, ...]


def plan_opcodes(metadata: FrameMetadata, mode: OpcodeMode = "apply") -> OpcodePlan:
    """Parses a frame's opcode lists and decides what is done; with "skip" that is nothing.

    Raises:
        InputError: A list is malformed, or holds an opcode that must be applied and cannot be.
    """
    height, width = metadata.height, metadata.width
    lists = metadata.opcodes
    crop = (0, 0, height, width)
    if lists is None or mode == "skip":
        return OpcodePlan((), (), (), crop, (), ())
    where = str(metadata.path)
    applied: list[str] = []
    skipped: list[str] = []
    chosen: dict[int, list[Opcode]] = {}
    for number, data in enumerate((lists.first, lists.second, lists.third), 1):
        chosen[number] = []
        for opcode in parse_list(data, number, where):
            reason = _cannot(opcode, number, metadata)
            named = f"{opcode.header.name} (list {number})"
            if reason is None:
                chosen[number].append(opcode)
                applied.append(named)
            elif opcode.header.optional:
                skipped.append(named)
            else:
                raise InputError(
                    f"{where}: OpcodeList{number} asks for {opcode.header.name}, which {reason}; its colours "
                    "or its geometry would be wrong (--opcodes skip merges it all the same)"
                )
    sensor, first_crop = _steps(
        chosen[1], (-lists.top, -lists.left), lists.sensor_height, lists.sensor_width, where
    )
    if not sensor:
        first_crop = crop  # the sensor's size counts only where list 1 does
    mosaic, second_crop = _steps(chosen[2], (0, 0), height, width, where)
    crop = (
        max(0, first_crop[0], second_crop[0]),
        max(0, first_crop[1], second_crop[1]),
        min(height, first_crop[2], second_crop[2]),
        min(width, first_crop[3], second_crop[3]),
    )
    if crop[2] - crop[0] < 2 or crop[3] - crop[1] < 2:
        raise InputError(f"{where}: TrimBounds leaves nothing of the picture")
    picture, _ = _steps(chosen[3], (0, 0), crop[2] - crop[0], crop[3] - crop[1], where)
    return OpcodePlan(sensor, mosaic, picture, crop, _counted(applied), _counted(skipped))


def summary(metadata: FrameMetadata, mode: OpcodeMode) -> dict[str, Any]:
    """What becomes of a frame's opcodes, for people: "mode", and the names "applied" and "skipped"."""
    if mode == "apply":
        plan = plan_opcodes(metadata)
        return {"mode": mode, "applied": list(plan.applied), "skipped": list(plan.skipped)}
    try:
        plan = plan_opcodes(metadata)
        skipped = [*plan.applied, *plan.skipped]
    except InputError as error:
        skipped = [str(error).removeprefix(f"{metadata.path}: ")]
    return {"mode": mode, "applied": [], "skipped": skipped}


def _cannot(opcode: Opcode, number: int, metadata: FrameMetadata) -> str | None:
    """Why an opcode cannot be applied, or None."""
    lists = metadata.opcodes
    if isinstance(opcode, _BAD_PIXELS + _LENS + _POINTWISE):
        if not isinstance(opcode, _SUITABLE[number]):
            return f"has no meaning in list {number}"
        if isinstance(opcode, _BAD_PIXELS) and metadata.cfa == LINEAR:
            return "is for sensors with a colour mosaic"
        if isinstance(opcode, Warp) and len(opcode.coefficients) == 2:
            return "is for two planes, which is neither one for all nor one for each"
        linearised = lists is not None and lists.linearised
        if number == 1 and linearised and not isinstance(opcode, (BadPixelList, Trim)):
            return "works on values from before the linearisation table, which the decoder does not give"
        return None
    return "burstfix does not know"


def _steps(
    opcodes: list[Opcode], origin: tuple[int, int], height: int, width: int, where: str
) -> tuple[tuple[Step, ...], tuple[int, int, int, int]]:
    """The steps, and the bounds that their trims leave, seen from the visible area."""
    steps = []
    for opcode in opcodes:
        steps.append(Step(opcode, origin, height, width))
        if isinstance(opcode, Trim):
            if opcode.bottom > height or opcode.right > width:
                raise InputError(
                    f"{where}: TrimBounds to rows {opcode.top} to {opcode.bottom}, columns {opcode.left} to "
                    f"{opcode.right} of a picture of {height}x{width}"
                )
            origin = (origin[0] + opcode.top, origin[1] + opcode.left)
            height, width = opcode.bottom - opcode.top, opcode.right - opcode.left
    return tuple(steps), (origin[0], origin[1], origin[0] + height, origin[1] + width)


def _counted(names: list[str]) -> tuple[str, ...]:
    """Each name once, with how often it came."""
    counted = []
    for name in dict.fromkeys(names):
        times = names.count(name)
        counted.append(name if times == 1 else name.replace(" (", f" x{times} (", 1))
    return tuple(counted)
