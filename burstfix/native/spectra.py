"""Averaging of windows, frequency by frequency, in compiled code; see spectra.inc."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from burstfix.native.library import in_threads, lanes, library

SIDE = 16
_MAX_PLANES = 4
_STEP = 128  # the parts of the threads are multiples of this many windows; fewer are not worth a thread
_BEGIN, _ADD, _FINISH = range(3)


class _Arguments(ctypes.Structure):
    """Arguments of the library: `struct spectra` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("frame", "variance")),
        *((name, ctypes.c_void_p) for name in ("dct", "dct_transposed", "pool", "pool_transposed")),
        *((name, ctypes.c_void_p) for name in ("spectrum", "difference", "weights", "squared_weights")),
        *((name, ctypes.c_void_p) for name in ("shares", "squared_shares")),
        *((name, ctypes.c_int) for name in ("planes", "rows", "columns", "content")),
        *((name, ctypes.c_float) for name in ("tolerance", "strength", "shrinkage")),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class MergedWindows:
    """Result of `merge_windows`.

    Attributes:
        windows: (C, rows, columns), the merged windows.
        shares: (ny, nx), sum of the frames' weights at low frequencies.
        squared_shares: (ny, nx), sum of their squares.
    """

    windows: Tensor
    shares: Tensor
    squared_shares: Tensor


def can_merge_windows(reference: Tensor, side: int) -> bool:
    """Return True if `merge_windows` supports these windows (C, rows, columns) on this processor."""
    if not lanes() or type(reference) is not Tensor or reference.device.type != "cpu":
        return False
    return side == SIDE and reference.dtype == torch.float32 and len(reference) <= _MAX_PLANES


def merge_windows(
    reference: Tensor,
    others: Iterable[Tensor],
    variance: Tensor,
    dct: Tensor,
    pool: Tensor,
    *,
    content: int,
    tolerance: float,
    strength: float,
    shrinkage: float,
) -> MergedWindows:
    """Merge windows that lie edge to edge; the arguments are those of `average._merge_windows`.

    Args:
        reference: float32 (C, rows, columns), windows of the reference.
        others: Windows of the other frames, in the same form.
        variance: (C, ny, nx), noise variance of each window.
        dct: (16, 16), matrix of the DCT.
        pool: (16, 16), matrix that averages neighbouring frequencies.
        content: Number of low frequencies in each direction that determine the share of a frame.
        tolerance: Largest energy of a difference, relative to that of noise, that does not reduce the weight.
        strength: Steepness with which the weight falls.
        shrinkage: Strength of the final filter; 0 = none.
    """
    loaded = library()
    assert loaded is not None
    version = lanes()
    planes, rows, columns = reference.shape
    windows = (rows // SIDE) * (columns // SIDE)
    reference, variance = reference.contiguous(), variance.float().contiguous()
    matrices = [each.float().contiguous() for each in (dct, dct.t(), pool, pool.t())]
    spectrum, difference = torch.empty_like(reference), torch.zeros_like(reference)
    weights, squared_weights = reference.new_ones(2, rows, columns)
    shares, squared_shares = reference.new_ones(2, rows // SIDE, columns // SIDE)
    state = (spectrum, difference, weights, squared_weights, shares, squared_shares)

    def run(step: int, frame: Tensor) -> None:
        frame = frame.float().contiguous()
        arguments = _Arguments(
            *(each.data_ptr() for each in (frame, variance, *matrices, *state)),
            planes,
            rows,
            columns,
            content,
            tolerance,
            strength,
            shrinkage,
        )
        at = ctypes.byref(arguments)
        in_threads(
            lambda first, last: loaded.burstfix_spectra(at, step, first, last, version), windows, _STEP
        )

    run(_BEGIN, reference)
    for other in others:
        run(_ADD, other)
    run(_FINISH, reference)
    return MergedWindows(difference, shares, squared_shares)
