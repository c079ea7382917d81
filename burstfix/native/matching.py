"""Block matching in compiled code; see matching.inc."""

from __future__ import annotations

import ctypes

import torch.nn.functional as F
from torch import Tensor

from burstfix.native.library import in_threads, lanes, library

_SIDES = 16  # sides of windows must be multiples of this
_STEP = 512  # the parts of the threads are multiples of this many cells; fewer cells are not worth a thread


class _Match(ctypes.Structure):
    """Arguments of the library: `struct match` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("reference", "frame", "offsets", "costs")),
        *((name, ctypes.c_int) for name in ("height", "width", "grid_rows", "grid_columns")),
        *((name, ctypes.c_int) for name in ("cell", "candidates", "radius")),
        ("delta", ctypes.c_float),
    ]


class _Choice(ctypes.Structure):
    """Arguments of the library: `struct choice` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("offsets", "costs", "guess", "chosen")),
        *((name, ctypes.c_int) for name in ("grid_rows", "grid_columns", "candidates", "rounds")),
        *((name, ctypes.c_float) for name in ("weight", "limit")),
    ]


def can_match(frame: Tensor, cell: int) -> bool:
    """Return True if the functions of this module support these frames on this processor.

    Args:
        frame: Frame, or another tensor on the same device.
        cell: Side of a cell in pixels.
    """
    return bool(lanes()) and type(frame) is Tensor and frame.device.type == "cpu" and 2 * cell % _SIDES == 0


def window_costs(
    reference: Tensor, frame: Tensor, candidates: Tensor, radius: int, cell: int, delta: float
) -> Tensor:
    """Compute the Huber cost of each candidate and of all offsets within `radius` of it.

    Args:
        reference: float32 (B, h, w).
        frame: float32 (B, h, w).
        candidates: int64 (B, K, 2, gy, gx).
        radius: Search radius around every candidate.
        cell: Side of a cell in pixels; windows are twice as wide.
        delta: Difference beyond which the cost is linear.

    Returns:
        float32 (B, K * (2 * radius + 1)^2, gy, gx), summed over the window.
    """
    loaded = library()
    assert loaded is not None
    version = lanes()
    batch, count, _, gy, gx = candidates.shape
    height, width = frame.shape[-2:]
    window = 2 * cell
    references, frames = _continued(reference, window), _continued(frame, window + 2 * radius)
    offsets = candidates.contiguous()
    costs = frames.new_empty(batch, count * (2 * radius + 1) ** 2, gy, gx)
    for b in range(batch):
        arguments = _Match(
            references[b].data_ptr(),
            frames[b].data_ptr(),
            offsets[b].data_ptr(),
            costs[b].data_ptr(),
            height,
            width,
            gy,
            gx,
            cell,
            count,
            radius,
            delta,
        )
        at = ctypes.byref(arguments)
        in_threads(lambda first, last, at=at: loaded.burstfix_match(at, first, last, version), gy * gx, _STEP)
    return costs


def choose(
    candidates: Tensor,
    costs: Tensor,
    start: Tensor,
    guess: Tensor,
    *,
    weight: float,
    limit: float,
    rounds: int,
) -> Tensor:
    """Choose the candidate of lowest cost per cell; disagreement with neighbours adds to the cost.

    Args:
        candidates: int64 (B, K, 2, gy, gx).
        costs: float32 (B, K, gy, gx).
        start: (B, 2, gy, gx) offsets of the neighbours in the first round.
        guess: float32 (B, 2, gy, gx), to which offsets are relative when they are compared.
        weight: Cost of each pixel of disagreement with a neighbour.
        limit: Disagreement in pixels beyond which the cost does not grow.
        rounds: Number of rounds.

    Returns:
        float32 (B, 2, gy, gx): the chosen candidates minus `guess`.

    Raises:
        MemoryError: Memory ran out.
    """
    loaded = library()
    assert loaded is not None
    batch, count, _, gy, gx = candidates.shape
    candidates, costs, guess = candidates.contiguous(), costs.contiguous(), guess.float().contiguous()
    chosen = F.pad(start - guess, (1, 1, 1, 1)).contiguous()
    for b in range(batch):
        addresses = (each[b].data_ptr() for each in (candidates, costs, guess, chosen))
        arguments = _Choice(*addresses, gy, gx, count, rounds, weight, limit)
        if loaded.burstfix_choose(ctypes.byref(arguments), lanes()):
            raise MemoryError
    return chosen[..., 1:-1, 1:-1]


def _continued(plane: Tensor, border: int) -> Tensor:
    return F.pad(plane.float()[:, None], (border,) * 4, mode="replicate")[:, 0].contiguous()
