"""3x3 convolutions in compiled code; see conv.inc."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from burstfix.native.library import in_threads, lanes, library

CHANNELS = 16
"""Numbers of channels must be multiples of this."""

# Tiles; the parts of the threads begin at multiples of this number. loops.c processes 24 or 48 tiles at once.
_BATCH = 24
_TILE = 4  # side of a tile of outputs
# Transform of a line of three weights (Lavin and Gray 2016, for F(4, 3)).
_TRANSFORM = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]


class _Arguments(ctypes.Structure):
    """Arguments of the library: `struct conv` of loops.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("input", "weights", "bias", "add", "out")),
        *((name, ctypes.c_int) for name in ("height", "width", "c_in", "c_out")),
        *((name, ctypes.c_int) for name in ("in_bf16", "add_bf16", "out_bf16")),
        ("slope", ctypes.c_float),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """Weights of a convolution in the order in which loops.c reads them.

    Attributes:
        version: Identifies the state of the weights: (address, number of changes) of weight and bias.
        originals: Weight and bias. As long as they exist, no other tensor can have their addresses.
        weights: float32 (panels, 36, c_in, channels of a panel).
        bias: float32 (c_out,).
    """

    version: tuple[int, ...]
    originals: tuple[Tensor, Tensor]
    weights: Tensor
    bias: Tensor


_prepared: WeakKeyDictionary[nn.Conv2d, _Prepared] = WeakKeyDictionary()


def can_convolve(conv: nn.Conv2d, x: Tensor) -> bool:
    """Return True if `convolve` supports this convolution and is faster than torch here.

    Gradients are not supported. With AMX, convolutions of torch in bfloat16 are several times faster.
    """
    if torch.is_grad_enabled() or type(x) is not Tensor or x.device.type != "cpu" or not lanes():
        return False
    if conv.in_channels % CHANNELS or conv.out_channels % CHANNELS or conv.bias is None:
        return False
    if conv.kernel_size != (3, 3) or conv.stride != (1, 1) or conv.padding != (1, 1):
        return False
    if conv.weight.is_inference() or conv.bias.is_inference():  # changes of their values are not counted
        return False
    dtype = _compute_dtype(x)
    if x.dtype not in (torch.float32, torch.bfloat16):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and not _has_amx())


def convolve(conv: nn.Conv2d, x: Tensor, *, add: Tensor | None = None, slope: float = 1.0) -> Tensor:
    """Convolve, add, and apply a leaky ReLU. Sums are float32; only the result is rounded.

    Args:
        conv: Convolution for which `can_convolve` is true.
        x: (B, c_in, h, w) float32 or bfloat16.
        add: (B, c_out, h, w), added before the activation.
        slope: Slope of the leaky ReLU below zero, 0 to 1; 1 = no activation.

    Returns:
        (B, c_out, h, w), channels last, in the data type in which autocast convolves.
    """
    loaded = library()
    assert loaded is not None
    version = lanes()
    x = x.contiguous(memory_format=torch.channels_last)
    prepared = _prepare(conv, version)
    batch, c_in, height, width = x.shape
    out = torch.empty(
        (batch, conv.out_channels, height, width),
        dtype=_compute_dtype(x),
        device=x.device,
        memory_format=torch.channels_last,
    )
    if add is not None:
        add = add if add.dtype == torch.bfloat16 else add.float()
        add = add.expand(out.shape).contiguous(memory_format=torch.channels_last)
    tiles = -(-height // _TILE) * -(-width // _TILE)
    for b in range(batch):
        arguments = _Arguments(
            x[b].data_ptr(),
            prepared.weights.data_ptr(),
            prepared.bias.data_ptr(),
            None if add is None else add[b].data_ptr(),
            out[b].data_ptr(),
            height,
            width,
            c_in,
            conv.out_channels,
            x.dtype == torch.bfloat16,
            add is not None and add.dtype == torch.bfloat16,
            out.dtype == torch.bfloat16,
            slope,
        )
        at = ctypes.byref(arguments)
        in_threads(lambda first, last, at=at: loaded.burstfix_conv(at, first, last, version), tiles, _BATCH)
    return out


def transformed(weight: Tensor, panel: int) -> Tensor:
    """Transform weights (c_out, c_in, 3, 3) to float32 (c_out / panel, 36, c_in, panel)."""
    line = torch.tensor(_TRANSFORM, dtype=torch.float64, device=weight.device)
    c_out, c_in = weight.shape[:2]
    products = torch.einsum("ay,oiyx,bx->aboi", line, weight.double(), line)
    panels = products.reshape(36, c_out // panel, panel, c_in).permute(1, 0, 3, 2)
    return panels.float().contiguous()


def _prepare(conv: nn.Conv2d, version: int) -> _Prepared:
    assert conv.bias is not None
    both = (conv.weight, conv.bias)
    state = (version, *(part for p in both for part in (p.data_ptr(), p._version)))
    found = _prepared.get(conv)
    if found is None or found.version != state:
        loaded = library()
        assert loaded is not None
        panel = loaded.burstfix_panel(conv.out_channels, version)
        weight, bias = (p.detach() for p in both)
        found = _Prepared(state, (weight, bias), transformed(weight, panel), bias.float())
        _prepared[conv] = found
    return found


def _compute_dtype(x: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


@cache
def _has_amx() -> bool:
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))
