"""Bursts at a border of the picture: patches equal the frames that the engine prepares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from burstfix.align.blocks import BlockField
from burstfix.align.gather import covered, gather_cells
from burstfix.models.base import BurstModel, Merged
from burstfix.models.losses import CHARBONNIER
from burstfix.raw.demosaic import bilinear
from burstfix.sim import SimulatedBurst, mosaic_packed
from burstfix.sim.camera import protocol_camera
from burstfix.training.aligned import Border, align_frames, draw_border, with_border
from burstfix.training.batches import training_batch
from burstfix.training.recipe import TrainSettings, recipe_from_dict

SIDE, MARGIN = 48, 8
SHIFT = 5  # packed pixels


def moving_burst(axis: int) -> SimulatedBurst:
    """Simulate two noise-free frames of texture. The second is displaced by SHIFT rows (or columns)."""
    scene = torch.rand(3, 2 * (SIDE + SHIFT), 2 * (SIDE + SHIFT), generator=torch.Generator().manual_seed(1))
    views = [scene.narrow(axis, start, 2 * SIDE) for start in (2 * SHIFT, 0)]
    other = -3 - axis  # crop the other axis to the same size
    clean = torch.stack([view.narrow(other, 0, 2 * SIDE) for view in views])[None]
    noise = torch.full((1, 1, 4, 1, 1), 1e-6)
    return SimulatedBurst(clean, mosaic_packed(clean), noise, noise, protocol_camera(1), 0)


class Knowing(BurstModel):
    """A model that matches every cell with the correct offset."""

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def match(self, reference: Tensor, frame: Tensor, initial: Tensor) -> BlockField:
        offsets = torch.zeros_like(initial, dtype=torch.int64)
        offsets[:, 2 + self.axis] = SHIFT
        return BlockField(offsets, 8)


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize(("first", "last"), [(MARGIN + 7, SIDE - 1), (0, SIDE - MARGIN - 8)])
def test_align_frames_when_at_a_border_then_frames_equal_those_of_the_engine(axis, first, last):
    burst = moving_burst(axis)
    border = Border(axis, first, last)
    frames = align_frames(Knowing(axis), burst, MARGIN, border)
    # As in the engine, the picture ends at the border, and cells are gathered from its inside.
    size = last - first + 1
    picture = burst.noisy[0].narrow(axis, first, size)
    height, width = picture.shape[-2:]
    origin = (-first, 0) if axis == -2 else (0, -first)
    cells = SIDE // 8
    inner = slice(MARGIN, SIDE - MARGIN)
    still = torch.zeros(2, cells, cells, dtype=torch.int64)
    anchor = gather_cells(picture[0], still, 8, origin=origin)
    moved = still.clone()
    moved[2 + axis] = SHIFT
    other = gather_cells(picture[1], moved, 8, origin=origin)
    expected = torch.where(covered(moved, 8, origin, height, width), other, anchor)
    torch.testing.assert_close(frames[0, 0], anchor[:, inner, inner])
    torch.testing.assert_close(frames[0, 1], expected[:, inner, inner])
    torch.testing.assert_close(
        mosaic_packed(with_border(burst, border).clean)[0, 0], anchor, msg="the truth is mirrored, too"
    )


class Copying(Knowing):
    """A model that returns the reference unchanged."""

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        anchor = frames[:, reference]
        return Merged(bilinear(anchor), anchor)


@pytest.mark.parametrize("step", range(4))
def test_training_batch_when_at_a_border_then_the_truth_matches_the_frames(step):
    recipe = recipe_from_dict(
        {"model": {"name": "kpn"}, "train": {"patch": 32, "margin": MARGIN, "border": 1.0, "steps": 4}}
    )
    assert draw_border(recipe.train, step) is not None
    model = Copying(-2)
    losses = model.losses(training_batch(model, moving_burst(-2), recipe, step))
    # The mosaic is exact everywhere, even outside the border. The tolerance covers demosaicking errors.
    assert losses["mosaic"].item() == pytest.approx(recipe.loss.mosaic * CHARBONNIER**0.5, rel=1e-3)
    assert torch.isfinite(torch.stack(list(losses.values()))).all()


def test_align_frames_when_there_is_no_border_then_frames_are_only_aligned():
    burst = moving_burst(-2)
    frames = align_frames(Knowing(-2), burst, MARGIN)
    torch.testing.assert_close(frames[0, 1], frames[0, 0])


def test_draw_border_when_given_a_share_of_steps_then_about_that_share_has_a_border():
    settings = TrainSettings(patch=64, margin=8, border=0.25)
    drawn = [draw_border(settings, step) for step in range(1000)]
    found = [border for border in drawn if border is not None]
    assert 200 < len(found) < 300
    assert drawn == [draw_border(settings, step) for step in range(1000)]
    assert {(border.axis, border.first == 0) for border in found} == {
        (axis, end) for axis in (-2, -1) for end in (False, True)
    }
    for border in found:
        beyond = border.first if border.first else 79 - border.last
        assert 2 <= beyond - 8 <= 16
    assert not any(draw_border(replace(settings, border=0.0), step) for step in range(100))
