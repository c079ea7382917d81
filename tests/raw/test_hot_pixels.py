from __future__ import annotations

import numpy as np
import torch

from burstfix.raw.hot_pixels import repair


def test_repair_when_a_pixel_is_replaced_then_it_comes_from_its_own_colour():
    mosaic = torch.zeros(2, 12, 14)
    mosaic[:, 0::2, 0::2], mosaic[:, 1::2, 1::2] = 5.0, 9.0
    broken = mosaic.clone()
    places = np.array([[4, 6], [5, 7], [0, 0], [11, 13], [40, 3]], np.int32)
    for y, x in places[:4]:
        broken[:, y, x] = 1000.0
    assert torch.equal(repair(broken, places), mosaic)
    assert broken[0, 4, 6] == 1000.0
