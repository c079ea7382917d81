"""Convert sensor values (DN) to normalised values: 0 = black level, 1 = white level, unclipped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burstfix.types import Levels


def normalise(mosaic: Tensor, levels: Levels, origin: tuple[int, int] = (0, 0)) -> Tensor:
    """Normalise a mosaic or a part of one (DNG specification 1.7, chapter 5).

    Args:
        mosaic: (H, W) in DN, any dtype.
        levels: Levels of the whole frame.
        origin: Row and column of the visible area at which the mosaic begins.

    Returns:
        float32 (H, W); values below black are negative, values above white exceed 1.

    Example:
        >>> levels = Levels(black=np.array([[64, 60]], np.float32), white=1024.0)
        >>> normalise(torch.tensor([[544, 542, 1984, -422]]), levels).tolist()
        [[0.5, 0.5, 2.0, -0.5]]
    """
    height, width = mosaic.shape
    rows = np.arange(origin[0], origin[0] + height)
    cols = np.arange(origin[1], origin[1] + width)
    pattern_rows, pattern_cols = levels.black.shape
    black = levels.black[:, cols % pattern_cols]
    if levels.black_cols is not None:
        black = black + levels.black_cols[cols]
    if levels.black_rows is not None:
        black = black[rows % pattern_rows] + levels.black_rows[rows][:, None]
    elif np.ptp(black) > 0:
        black = black[rows % pattern_rows]
    else:
        black = black[:1, :1]  # scalar arithmetic takes half the time
    dark = torch.from_numpy(np.ascontiguousarray(black, np.float32)).to(mosaic.device)
    return (mosaic.to(torch.float32) - dark) / (levels.white - dark)
