"""Frames whose opcode lists can be applied."""

from __future__ import annotations

from burstfix.errors import InputError
from burstfix.io.read.frames import ReadFrames
from burstfix.opcodes import plan_opcodes
from burstfix.types import DroppedFrame, OpcodeMode


def drop_unusable_opcodes(read: ReadFrames, mode: OpcodeMode, skip_bad: bool) -> ReadFrames:
    """Return the frames whose opcode lists can be applied.

    Raises:
        InputError: A list cannot be applied and `skip_bad` is False, or no frame is left.
    """
    frames, dropped, warnings = [], list(read.dropped), list(read.warnings)
    for frame in read.frames:
        try:
            plan_opcodes(frame.metadata, mode)
            frames.append(frame)
        except InputError as error:
            if not skip_bad:
                raise
            path = frame.metadata.path
            dropped.append(DroppedFrame(path, str(error).removeprefix(f"{path}: ")))
            warnings.append(f"{path}: left out, {dropped[-1].reason}")
    if not frames:
        raise InputError(f"no frame is left; {warnings[0]}")
    return ReadFrames(tuple(frames), tuple(dropped), tuple(warnings))
