"""Maps of a merge: motion in the scene, and number of frames merged in each cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burstfix.align.blocks import CELL
from burstfix.align.global_motion import initial_offsets
from burstfix.engine.fields import scene_motion
from burstfix.engine.infer import merge_tiled
from burstfix.models.average import Average
from burstfix.models.base import BurstModel
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.types import GlobalMotion
from tests.engine.bursts import Mean, make_burst


def test_scene_motion_when_only_the_camera_moves_then_it_is_zero() -> None:
    motions = [GlobalMotion(), GlobalMotion(dy=6.0, dx=-10.0, angle=0.01)]
    fields = [initial_offsets(motion, 160, 200, CELL)[0].round().long() for motion in motions]
    assert scene_motion(fields, motions, 160, 200).max() == 0


def test_scene_motion_when_an_object_moves_then_it_is_the_displacement_in_sensor_pixels() -> None:
    field = torch.zeros(2, 20, 25, dtype=torch.long)
    field[1, 5:10, 8:14] = 4
    field[0, 15, 3] = 7  # a single cell that matched by chance
    motion = scene_motion([torch.zeros_like(field), field], [GlobalMotion()] * 2, 160, 200)
    assert motion[7, 10] == pytest.approx(2 * (4 - 0.75))
    assert motion[15, 3] == 0 and motion[0, 0] == 0


def small_kpn() -> Kpn:
    torch.manual_seed(0)
    config = KpnConfig(channels=16, head_channels=16, head_blocks=1, refine_channels=0)
    return Kpn(config).eval()


@pytest.mark.parametrize("model", [Average(), small_kpn()], ids=["average", "kpn"])
def test_frames_used_when_all_frames_show_the_same_scene_then_all_are_used(model: BurstModel) -> None:
    burst = make_burst(96, 128, 4)
    same = replace(burst, frames=(burst.frames[0],) * 4)
    used = merge_tiled(same, model).maps.frames_used
    assert used is not None and used.shape == (6, 8)
    np.testing.assert_allclose(used, 4.0, atol=0.05)


def test_frames_used_when_a_frame_shows_another_scene_then_it_does_not_count() -> None:
    burst = make_burst(128, 192, 3)
    other = replace(burst.frames[0], mosaic=np.full_like(burst.frames[0].mosaic, 900))
    used = merge_tiled(replace(burst, frames=(*(burst.frames[0],) * 2, other)), Average()).maps.frames_used
    assert used is not None and used.mean() < 2.2


def test_merge_tiled_when_tiles_are_small_then_the_maps_are_the_same() -> None:
    burst = make_burst(150, 170, 3, "GBRG")
    whole, tiled = (merge_tiled(burst, Average(), tile=tile) for tile in (0, 48))
    assert whole.maps.frames_used is not None and tiled.maps.frames_used is not None
    np.testing.assert_allclose(whole.maps.frames_used, tiled.maps.frames_used, atol=1e-4)
    np.testing.assert_array_equal(whole.maps.motion, tiled.maps.motion)
    np.testing.assert_array_equal(whole.data, merge_tiled(burst, Average()).data)


def test_merge_tiled_when_the_model_does_not_count_frames_then_frames_used_is_none() -> None:
    assert merge_tiled(make_burst(64, 64, 2), Mean()).maps.frames_used is None


def test_frames_used_when_there_is_one_frame_then_it_is_one() -> None:
    used = merge_tiled(make_burst(64, 64, 1), Average()).maps.frames_used
    assert used is not None and (used == 1).all()
