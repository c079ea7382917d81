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


def test_repair_when_neighbours_are_defects_too_then_they_do_not_count():
    mosaic = torch.arange(12.0)[:, None].expand(12, 14).contiguous()
    broken = mosaic.clone()
    broken[:, 6] = 500.0
    places = np.array([(row, 6) for row in range(12)], np.int32)
    fixed = repair(broken, places)
    # The result is the lower median of six neighbours: two in each of three rows.
    torch.testing.assert_close(fixed[2:-2], mosaic[2:-2])
    assert fixed.max() <= 11


def test_repair_when_all_neighbours_are_defects_then_their_median_is_used():
    mosaic = torch.full((8, 8), 3.0)
    places = np.argwhere(np.ones((8, 8), bool)).astype(np.int32)
    assert torch.equal(repair(mosaic, places), mosaic)
