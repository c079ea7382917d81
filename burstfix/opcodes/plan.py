"""Decide which opcodes of a frame to apply, where, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from burstfix.errors import InputError
from burstfix.opcodes.parse import SKIP_HINT, OpcodeCountError, parse_list
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
    Unsupported,
    Vignette,
    Warp,
    WarpFisheye,
    WarpRectilinear,
    WarpRectilinear2,
)

_POINTWISE = (GainMap, Table, Polynomial, LineValues, Trim)
_BAD_PIXELS = (BadPixelValue, BadPixelList)
_LENS = (WarpRectilinear, WarpRectilinear2, WarpFisheye, Vignette)
# Bad pixels are repaired in mosaics. Lens corrections need all colours at every pixel.
_SUITABLE: dict[int, tuple[type[Any], ...]] = {
    1: _POINTWISE + _BAD_PIXELS,
    2: _POINTWISE + _BAD_PIXELS,
    3: _POINTWISE + _LENS,
}

_MAX_WORK = 8  # maximum work, in lens corrections of the whole picture; camera files contain one or two


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An opcode and the picture to which its coordinates refer.

    Attributes:
        opcode: The opcode.
        origin: Row and column of the first pixel of the picture, relative to the visible area.
        height: Rows of the picture.
        width: Columns of the picture.
    """

    opcode: Opcode
    origin: tuple[int, int]
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class OpcodePlan:
    """Plan for the opcodes of one frame. The default plan does nothing.

    Attributes:
        sensor: Steps of list 1. They are applied before the black level is subtracted, to values scaled from
            0..65535 to 0..1.
        mosaic: Steps of list 2. They are applied to normalised values.
        picture: Steps of list 3. They are applied to the merged picture after it has been cropped to `crop`.
            Their origin is the corner of this crop.
        crop: Top, left, bottom, right of the part of the visible area that lists 1 and 2 keep; None = the
            whole area.
        applied: Names of the opcodes that are applied, for example "GainMap x4 (list 2)".
        skipped: Names of the opcodes that are not applied.
        warnings: Sentences for the user.
        mode: The requested mode.
    """

    sensor: tuple[Step, ...] = ()
    mosaic: tuple[Step, ...] = ()
    picture: tuple[Step, ...] = ()
    crop: tuple[int, int, int, int] | None = None
    applied: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    mode: OpcodeMode = "apply"

    def summary(self) -> dict[str, Any]:
        """Return "mode", "applied" and "skipped" as JSON values."""
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
    """Parse the opcode lists of a frame and decide which opcodes to apply.

    Args:
        lists: Opcode lists of the frame, or None.
        height: Rows of the visible area.
        width: Columns of the visible area.
        where: The file, for messages.
        has_mosaic: False for frames that are already demosaicked.
        mode: "apply", or "skip" to apply no opcodes. With "skip", the plan lists every opcode as skipped, or
            describes the error in the lists.

    Returns:
        The plan. A list with a wrong count is left out with a warning if all of its opcodes are optional.

    Raises:
        InputError: A list is malformed, contains a mandatory opcode that cannot be applied, or takes too long
            to apply. It is never raised in mode "skip".
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
    chosen = _choose(lists, where, has_mosaic)
    full = (0, 0, height, width)
    sensor = _in_order(
        chosen.opcodes[0], (-lists.top, -lists.left), lists.sensor_height, lists.sensor_width, where
    )
    mosaic = _in_order(chosen.opcodes[1], (0, 0), height, width, where)
    # The size of the sensor is relevant only if list 1 contains opcodes.
    bounds = [full, mosaic.bounds, *([sensor.bounds] if sensor.steps else [])]
    top, left = max(box[0] for box in bounds), max(box[1] for box in bounds)
    bottom, right = min(box[2] for box in bounds), min(box[3] for box in bounds)
    if bottom - top < 2 or right - left < 2:
        raise InputError(f"{where}: TrimBounds removes the whole picture ({SKIP_HINT})")
    picture = _in_order(chosen.opcodes[2], (0, 0), bottom - top, right - left, where)
    for number, steps in enumerate((sensor.steps, mosaic.steps, picture.steps), 1):
        _check_work(steps, f"{where}: OpcodeList{number}")
    crop = (top, left, bottom, right)
    return OpcodePlan(
        sensor.steps,
        mosaic.steps,
        picture.steps,
        None if crop == full else crop,
        _with_counts(chosen.applied),
        _with_counts(chosen.skipped),
        tuple(chosen.warnings),
    )


@dataclass(slots=True)
class _Chosen:
    """Opcodes to apply, grouped by list; the names of all opcodes; and warnings."""

    opcodes: tuple[list[Opcode], list[Opcode], list[Opcode]] = field(default_factory=lambda: ([], [], []))
    applied: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])


def _choose(lists: OpcodeLists, where: str, has_mosaic: bool) -> _Chosen:
    """Parse the lists and decide which opcodes to apply."""
    chosen = _Chosen()
    for index, data in enumerate((lists.first, lists.second, lists.third)):
        number = index + 1
        try:
            opcodes = parse_list(data, number, where)
        except OpcodeCountError as error:
            if not error.optional:
                raise
            chosen.skipped.append(f"all (list {number})")
            chosen.warnings.append(f"{error}; the list is ignored, because all its opcodes are optional")
            continue
        for opcode in opcodes:
            reason = _reason_to_skip(opcode, number, has_mosaic, lists.linearised)
            name = f"{opcode.header.name} (list {number})"
            if reason is None:
                chosen.opcodes[index].append(opcode)
                chosen.applied.append(name)
            elif opcode.header.optional:
                chosen.skipped.append(name)
            else:
                raise InputError(
                    f"{where}: OpcodeList{number} contains {opcode.header.name}, which {reason}; colours or "
                    f"geometry would be wrong ({SKIP_HINT})"
                )
    return chosen


def _reason_to_skip(opcode: Opcode, number: int, has_mosaic: bool, linearised: bool) -> str | None:
    """Return the reason why an opcode cannot be applied, or None."""
    if isinstance(opcode, Unsupported):
        return "burstfix does not support"
    if not isinstance(opcode, _SUITABLE[number]):
        return f"has no meaning in list {number}"
    if isinstance(opcode, _BAD_PIXELS) and not has_mosaic:
        return "applies only to sensors with a colour mosaic"
    if isinstance(opcode, Warp) and len(opcode.coefficients) == 2:
        return "is for two planes; expected one plane for all colours, or one for each"
    if number == 1 and linearised and not isinstance(opcode, (BadPixelList, Trim)):
        return "applies to values before the linearisation table, which the decoder does not provide"
    return None


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps of a list, and the visible area (top, left, bottom, right) after its TrimBounds opcodes."""

    steps: tuple[Step, ...]
    bounds: tuple[int, int, int, int]


def _in_order(opcodes: list[Opcode], origin: tuple[int, int], height: int, width: int, where: str) -> _Steps:
    """Attach to each opcode the origin and size of the picture after the preceding TrimBounds opcodes."""
    steps: list[Step] = []
    for opcode in opcodes:
        steps.append(Step(opcode, origin, height, width))
        if isinstance(opcode, Trim):
            if opcode.bottom > height or opcode.right > width:
                raise InputError(
                    f"{where}: TrimBounds to rows {opcode.top} to {opcode.bottom}, columns {opcode.left} to "
                    f"{opcode.right} exceeds the picture of {height}x{width} ({SKIP_HINT})"
                )
            origin = (origin[0] + opcode.top, origin[1] + opcode.left)
            height, width = opcode.bottom - opcode.top, opcode.right - opcode.left
    return _Steps(tuple(steps), (origin[0], origin[1], origin[0] + height, origin[1] + width))


def _check_work(steps: tuple[Step, ...], title: str) -> None:
    """Check that applying a list does not take too long relative to the size of its picture."""
    work = sum(_work(step) for step in steps)
    if work > _MAX_WORK:
        raise InputError(
            f"{title} would take as much time as {work:.0f} lens corrections of the whole picture; at most "
            f"{_MAX_WORK} are allowed ({SKIP_HINT})"
        )


def _work(step: Step) -> float:
    """Estimate the time that a step takes, relative to a lens correction of the whole picture."""
    opcode = step.opcode
    if isinstance(opcode, Warp):
        return 1.0
    if isinstance(opcode, Vignette):
        return 0.2
    if isinstance(opcode, (GainMap, Table, Polynomial, LineValues)):
        area = opcode.area
        rows = -(-(min(area.bottom, step.height) - area.top) // area.row_pitch)
        cols = -(-(min(area.right, step.width) - area.left) // area.col_pitch)
        share = max(rows, 0) * max(cols, 0) / max(step.height * step.width, 1)
        return 0.005 + 0.05 * share
    return 0.05


def _with_counts(names: list[str]) -> tuple[str, ...]:
    """Return each name once; a repeated name also gets the number of its occurrences."""
    counted: list[str] = []
    for name in dict.fromkeys(names):
        times = names.count(name)
        counted.append(name if times == 1 else name.replace(" (", f" x{times} (", 1))
    return tuple(counted)
