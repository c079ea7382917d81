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
    OpcodeLists,
    OpcodeMode,
    Polynomial,
    Table,
    Trim,
    Vignette,
    Warp,
    WarpFisheye,
    WarpRectilinear,
    WarpRectilinear2,
)

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
    """How the opcodes of one frame are handled. The default plan does nothing.

    Attributes:
        sensor: Steps of list 1, applied before the black level is subtracted, to values scaled from
            0..65535 to 0..1.
        mosaic: Steps of list 2, applied to normalised values.
        picture: Steps of list 3, applied to the merged picture after it is cropped to `crop`; their origin
            is the corner of that crop.
        crop: Top, left, bottom, right of the part of the visible area that lists 1 and 2 keep; None for all
            of it.
        applied: Names of the opcodes that are applied, for example "GainMap x4 (list 2)".
        skipped: Names of the opcodes that are not applied.
        mode: The mode that was asked for.
    """

    sensor: tuple[Step, ...] = ()
    mosaic: tuple[Step, ...] = ()
    picture: tuple[Step, ...] = ()
    crop: tuple[int, int, int, int] | None = None
    applied: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    mode: OpcodeMode = "apply"

    def summary(self) -> dict[str, Any]:
        """Returns "mode", "applied" and "skipped" as values that JSON can hold."""
        return {"mode": self.mode, "applied": list(self.applied), "skipped": list(self.skipped)}


def plan_opcodes(
    lists: OpcodeLists | None,
    height: int,
    width: int,
    *,
    where: str,
    has_mosaic: bool = True,
    mode: OpcodeMode = "apply",
) -> OpcodePlan:
    """Parses the opcode lists of a frame and decides which opcodes are applied.

    Args:
        lists: Of the frame, or None.
        height: Rows of the visible area.
        width: Columns of the visible area.
        where: The file, for messages.
        has_mosaic: False for frames that are demosaiced already.
        mode: "skip" applies nothing; the plan then lists every opcode as skipped, or says what is wrong
            with the lists.

    Raises:
        InputError: A list is malformed, or contains a mandatory opcode that cannot be applied. Never
            raised in mode "skip".
    """
    if lists is None:
        return OpcodePlan(mode=mode)
    if mode == "apply":
        return _plan(lists, height, width, where, has_mosaic)
    try:
        plan = _plan(lists, height, width, where, has_mosaic)
        skipped = (*plan.applied, *plan.skipped)
    except InputError as error:
        skipped = (str(error).removeprefix(f"{where}: "),)
    return OpcodePlan(skipped=skipped, mode=mode)


def _plan(lists: OpcodeLists, height: int, width: int, where: str, has_mosaic: bool) -> OpcodePlan:
    applied: list[str] = []
    skipped: list[str] = []
    chosen: dict[int, list[Opcode]] = {}
    for number, data in enumerate((lists.first, lists.second, lists.third), 1):
        chosen[number] = []
        for opcode in parse_list(data, number, where):
            reason = _cannot(opcode, number, has_mosaic, lists.linearised)
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
    full = (0, 0, height, width)
    sensor, first_crop = _steps(
        chosen[1], (-lists.top, -lists.left), lists.sensor_height, lists.sensor_width, where
    )
    if not sensor:
        first_crop = full  # the sensor's size matters only if list 1 contains opcodes
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
    return OpcodePlan(
        sensor,
        mosaic,
        picture,
        None if crop == full else crop,
        _counted(applied),
        _counted(skipped),
    )


def _cannot(opcode: Opcode, number: int, has_mosaic: bool, linearised: bool) -> str | None:
    """Returns why an opcode cannot be applied, or None."""
    if isinstance(opcode, _BAD_PIXELS + _LENS + _POINTWISE):
        if not isinstance(opcode, _SUITABLE[number]):
            return f"has no meaning in list {number}"
        if isinstance(opcode, _BAD_PIXELS) and not has_mosaic:
            return "is for sensors with a colour mosaic"
        if isinstance(opcode, Warp) and len(opcode.coefficients) == 2:
            return "is for two planes, which is neither one for all nor one for each"
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
