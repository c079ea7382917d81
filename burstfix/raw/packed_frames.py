"""Frames as packed float planes, whole or in parts; for the analysis of bursts, which knows no opcodes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.raw.cfa import pack, pad_to_rggb, rggb_padding
from burstfix.raw.levels import normalise
from burstfix.types import Frame


def packed_frame(frame: Frame, top: int = 0, bottom: int | None = None) -> Tensor:
    """float32 (4, h, w): rows top (even) to bottom of a frame, normalised and packed in RGGB order."""
    part = frame.mosaic[top:bottom]
    rows = torch.from_numpy(_as_mosaic(part) if part.ndim == 3 else np.ascontiguousarray(part))
    levels = normalise(rows, frame.metadata.levels, (top, 0))
    return pack(pad_to_rggb(levels, frame.metadata.cfa).mosaic)


def packed_size(frame: Frame) -> tuple[int, int]:
    """Height and width of `packed_frame`."""
    padding = rggb_padding(frame.metadata.cfa, *frame.mosaic.shape[:2])
    height, width = frame.mosaic.shape[:2]
    return (padding.top + height + padding.bottom) // 2, (padding.left + width + padding.right) // 2


def packed_window(frame: Frame, top: int, left: int, height: int, width: int) -> Tensor:
    """float32 (4, height, width): the part of `packed_frame` from packed row top and column left."""
    padding = rggb_padding(frame.metadata.cfa, *frame.mosaic.shape[:2])
    # Packed pixels begin before the picture where a row or column was added; inside they need none.
    first, start = max(2 * top - padding.top, 0), max(2 * left - padding.left, 0)
    part = frame.mosaic[first : 2 * (top + height) - padding.top, start : 2 * (left + width) - padding.left]
    rows = torch.from_numpy(_as_mosaic(part) if part.ndim == 3 else np.ascontiguousarray(part))
    levels = normalise(rows, frame.metadata.levels, (first, start))
    pad = (padding.left if left == 0 else 0, 0, padding.top if top == 0 else 0, 0)
    pad = (pad[0], -(levels.shape[1] + pad[0]) % 2, pad[2], -(levels.shape[0] + pad[2]) % 2)
    return pack(F.pad(levels[None], pad, mode="reflect")[0])


def _as_mosaic(picture: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """What a Bayer sensor would have seen of (H, W, 3): enough to compare frames and to measure noise."""
    mosaic = picture[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = picture[0::2, 0::2, 0], picture[1::2, 1::2, 2]
    return mosaic
