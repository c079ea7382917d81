"""Gathering of squares from a frame in compiled code; see gather.inc."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from burstfix.native.library import in_threads, lanes, library

_ROWS = 8  # the parts of the threads are multiples of this many rows; fewer rows are not worth a thread


class _Arguments(ctypes.Structure):
    """Arguments of the library: `struct gather` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("source", "offsets", "substitute", "out")),
        *((name, ctypes.c_int) for name in ("planes", "height", "width", "grid_rows", "grid_columns")),
        *((name, ctypes.c_int) for name in ("side", "step", "origin_row", "origin_column")),
    ]


def can_gather(source: Tensor) -> bool:
    """Return True if `gather` supports this source (C, h, w) on this processor. It has no gradients."""
    if not lanes() or type(source) is not Tensor or source.device.type != "cpu" or source.dim() != 3:
        return False
    return source.dtype == torch.float32 and not (torch.is_grad_enabled() and source.requires_grad)


def gather(
    source: Tensor,
    offsets: Tensor,
    side: int,
    step: int,
    origin: tuple[int, int],
    substitute: Tensor | None = None,
) -> Tensor:
    """Copy squares of a frame and put them side by side.

    Args:
        source: float32 (C, h, w), continued by reflection.
        offsets: Integer (2, gy, gx), added to the positions of the squares.
        side: Side of a square in pixels.
        step: Distance of the squares before the offsets are added.
        origin: Row and column of the first square.
        substitute: (C, gy * side, gx * side), replaces pixels outside the source; None = they are reflected.

    Returns:
        float32 (C, gy * side, gx * side).
    """
    loaded = library()
    assert loaded is not None
    source, offsets = source.contiguous(), offsets.long().contiguous()
    planes, height, width = source.shape
    gy, gx = offsets.shape[-2:]
    out = source.new_empty(planes, gy * side, gx * side)
    if substitute is not None:
        substitute = substitute.expand(out.shape).float().contiguous()
    arguments = _Arguments(
        source.data_ptr(),
        offsets.data_ptr(),
        None if substitute is None else substitute.data_ptr(),
        out.data_ptr(),
        planes,
        height,
        width,
        gy,
        gx,
        side,
        step,
        *origin,
    )
    at = ctypes.byref(arguments)
    in_threads(lambda first, last: loaded.burstfix_gather(at, first, last), gy, _ROWS)
    return out
