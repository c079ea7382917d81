"""Kernels of kpn, predicted and applied in compiled code; see kernels.inc."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.native.library import in_threads, lanes, library

_MAX_TAPS = 128  # MAX_TAPS of loops.c
_ROWS = 24  # the number of outputs is padded to a multiple of this
_BLOCK = 48  # maximum number of samples that are read beyond the end of a row

Taps = tuple[tuple[int, int], ...]
"""Displacements (dy, dx) in sensor pixels, all even or all odd in each direction."""


class _Arguments(ctypes.Structure):
    """Arguments of the library: `struct filter` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("features", "samples", "weights", "bias")),
        *((name, ctypes.c_void_p) for name in ("offsets", "parity_taps", "color_sources")),
        *((name, ctypes.c_void_p) for name in ("mosaic", "color", "frames_used")),
        *((name, ctypes.c_int) for name in ("frames", "rows", "columns", "channels")),
        *((name, ctypes.c_int) for name in ("outputs", "taps", "parities", "is_signed", "features_bf16")),
        ("row_step", ctypes.c_int),
        ("logit_limit", ctypes.c_float),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class KernelLayer:
    """The 1x1 convolutions that predict kernels, and the meaning of their outputs.

    Attributes:
        positive: Weight (4 * taps, c, 1, 1) and bias (4 * taps,) of the logits. Channel 4 * tap + sub is the
            logit of a tap for pixel `sub` of a quad.
        signed: Weight and bias of the signed part, in the same order; None = kernels have no signed part.
        parities: Taps of each parity.
        color_sources: For each of 12 colours of a cell: the plane, and the two parities whose sums are added;
            empty = no colours are computed.
        logit_limit: Limit of the logits.
    """

    positive: tuple[Tensor, Tensor]
    signed: tuple[Tensor, Tensor] | None
    parities: tuple[Taps, ...]
    color_sources: tuple[tuple[int, int, int], ...]
    logit_limit: float


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """Result of `apply_kernels`.

    Attributes:
        mosaic: float32 (B, 4, h, w).
        color: float32 (B, 12, h, w): each colour at every sensor pixel of the cell; None if not computed.
        frames_used: float32 (B, h / 2, w / 2), effective number of frames.
    """

    mosaic: Tensor
    color: Tensor | None
    frames_used: Tensor


def can_apply_kernels(layer: KernelLayer, features: Tensor) -> bool:
    """Return True if `apply_kernels` supports these kernels on this processor. It has no gradients."""
    if torch.is_grad_enabled() or type(features) is not Tensor or features.device.type != "cpu":
        return False
    if not lanes() or features.dtype not in (torch.float32, torch.bfloat16) or features.shape[1] % 16:
        return False
    return max(len(taps) for taps in layer.parities) <= _MAX_TAPS and len(layer.parities) <= 4


def apply_kernels(frames: Tensor, features: list[Tensor], layer: KernelLayer) -> Filtered:
    """Predict the kernels of all frames and apply them, in float32.

    Args:
        frames: float32 (B, N, 4, h, w), aligned; h and w are even.
        features: For each frame, the input of the layer, (B, c, h / 2, w / 2).
        layer: The layer.
    """
    batch, _, _, h, w = frames.shape
    mosaic = frames.new_empty((batch, 4, h, w))
    color = frames.new_empty((batch, 12, h, w)) if layer.color_sources else None
    used = frames.new_empty((batch, h // 2, w // 2))
    features = [each.contiguous(memory_format=torch.channels_last) for each in features]
    reach = max(abs(shift) for taps in layer.parities for tap in taps for shift in tap)
    border = (reach + 1) // 2
    border += border % 2
    weights, bias = _joined(layer)
    for b in range(batch):
        samples = [_split_columns(frame, border) for frame in frames[b]]
        _, height, _, width = samples[0].shape
        offsets = _offsets(layer.parities, border, height, width)
        _run(
            [each[b] for each in features], samples, weights, bias, offsets, layer, mosaic[b],
            None if color is None else color[b], used[b],
        )  # fmt: skip
    return Filtered(mosaic, color, used)


def _run(
    features: list[Tensor],
    samples: list[Tensor],
    weights: Tensor,
    bias: Tensor,
    offsets: Tensor,
    layer: KernelLayer,
    mosaic: Tensor,
    color: Tensor | None,
    used: Tensor,
) -> None:
    """Call the library for one burst."""
    loaded = library()
    assert loaded is not None
    parity_taps = torch.tensor([len(taps) for taps in layer.parities], dtype=torch.int32, device="cpu")
    sources = torch.tensor(layer.color_sources, dtype=torch.int32, device="cpu")
    rows, columns = used.shape
    arguments = _Arguments(
        ctypes.cast(_addresses(features), ctypes.c_void_p),
        ctypes.cast(_addresses(samples), ctypes.c_void_p),
        weights.data_ptr(),
        bias.data_ptr(),
        offsets.data_ptr(),
        parity_taps.data_ptr(),
        sources.data_ptr() if color is not None else None,
        mosaic.data_ptr(),
        color.data_ptr() if color is not None else None,
        used.data_ptr(),
        len(features),
        rows,
        columns,
        weights.shape[1],
        weights.shape[0],
        sum(len(taps) for taps in layer.parities),
        len(layer.parities),
        layer.signed is not None,
        features[0].dtype == torch.bfloat16,
        4 * samples[0].shape[-1],
        layer.logit_limit,
    )
    at = ctypes.byref(arguments)
    version = lanes()
    work: Callable[[int, int], int] = lambda first, last: loaded.burstfix_filter(at, first, last, version)  # noqa: E731
    in_threads(work, rows, 1)


def _addresses(tensors: list[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _split_columns(frame: Tensor, border: int) -> Tensor:
    """Extend a frame (4, h, w), and separate even and odd columns: (4, h + 2 border, 2, columns)."""
    padded = F.pad(frame[None], [border] * 4, mode="replicate")[0]
    width = padded.shape[-1]
    columns = width // 2 + _BLOCK
    out = padded.new_zeros((*padded.shape[:2], 2, columns))
    out[..., : width // 2] = padded.unflatten(-1, (-1, 2)).transpose(-1, -2)
    return out


def _offsets(parities: tuple[Taps, ...], border: int, height: int, width: int) -> Tensor:
    """Return the position of the sample of each tap: int32 (taps, 4 planes, 4 pixels of a quad).

    Args:
        parities: Taps of each parity.
        border: Border of the frames in packed pixels.
        height, width: Sizes of the result of `_split_columns`.
    """
    shifts = [tap for taps in parities for tap in taps]
    taps = torch.tensor(shifts, device="cpu")[:, None, None, :]  # (dy, dx)
    plane = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], device="cpu")[:, None, :]  # position in a cell
    sub = plane[:, 0]  # position in a quad
    at = plane + taps
    source = at % 2
    y, x = (sub + torch.div(at - source, 2, rounding_mode="floor") + border).unbind(-1)
    source_plane = 2 * source[..., 0] + source[..., 1]
    return (((source_plane * height + y) * 2 + x % 2) * width + x // 2).int().contiguous()


def _joined(layer: KernelLayer) -> tuple[Tensor, Tensor]:
    """Return float32 weights (outputs, c) and bias (outputs,), padded with zeros to a multiple of `_ROWS`."""
    parts = [layer.positive] if layer.signed is None else [layer.positive, layer.signed]
    weight = torch.cat([weight.flatten(1) for weight, _ in parts]).float()
    bias = torch.cat([bias for _, bias in parts]).float()
    missing = -len(bias) % _ROWS
    return F.pad(weight, (0, 0, 0, missing)).contiguous(), F.pad(bias, (0, missing)).contiguous()
