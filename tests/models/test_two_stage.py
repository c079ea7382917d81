"""The two-stage network that predicts kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from burstfix.engine.infer import merge_tiled
from burstfix.errors import UsageError
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.models.two_stage import GroupWarp, TwoStage, TwoStageConfig, encode
from tests.engine.bursts import make_burst

SHOT, READ = torch.full((1, 1, 4, 1, 1), 1e-3), torch.full((1, 1, 4, 1, 1), 1e-5)
SMALL = {"channels": 16, "head_channels": 16, "head_blocks": 1, "refine_channels": 0}


def small(seed: int = 0) -> TwoStage:
    torch.manual_seed(seed)
    return TwoStage(TwoStageConfig(**SMALL)).eval()


@pytest.mark.parametrize(("count", "reference"), [(1, 0), (2, 1), (5, 0), (9, 4)])
def test_forward_when_given_any_number_of_frames_then_the_picture_is_finite(
    count: int, reference: int
) -> None:
    frames = torch.rand(2, count, 4, 16, 24)
    with torch.no_grad():
        merged = small()(frames, SHOT, READ, reference)
    assert merged.rgb.shape == (2, 3, 32, 48) and torch.isfinite(merged.rgb).all()
    assert merged.mosaic is not None and merged.mosaic.shape == (2, 4, 16, 24)


def test_forward_when_trained_a_step_then_every_part_has_a_gradient() -> None:
    model = small().train()
    frames = torch.rand(1, 3, 4, 16, 16)
    merged = model(frames, SHOT, READ, 1)
    sum(x.square().mean() for x in (merged.rgb, *merged.extra.values())).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Levels with zero output initially pass gradients only to their last layer.
    assert all(name.startswith(("kernel_signed", "color_signed", "head_color")) for name in without), without


@pytest.mark.parametrize("part", ["warp.0", "warp.2", "gru", "encode_aligned"])
def test_forward_when_a_part_of_the_alignment_changes_then_the_picture_changes(part: str) -> None:
    frames = torch.rand(1, 3, 4, 16, 16)
    model = small()
    with torch.no_grad():
        before = model(frames, SHOT, READ, 1).rgb
        for parameter in model.get_submodule(part).parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        assert (model(frames, SHOT, READ, 1).rgb - before).abs().max() > 1e-6


def test_group_warp_when_the_displacement_is_one_pixel_then_features_move_by_it() -> None:
    warp = GroupWarp(8, 2, max_offset=4.0)
    x = torch.randn(1, 8, 12, 14)
    with torch.no_grad():
        warp.offset_mask.weight.zero_()
        bound = 4.0 * torch.atanh(torch.tensor(1 / 4.0))
        # Two groups: dx of both, dy of both, masks; sigmoid(0) * 2 = 1.
        warp.offset_mask.bias.copy_(torch.stack([bound, bound, -bound, -bound, bound * 0, bound * 0]))
        warp.join.weight.zero_()
        warp.join.weight[range(8), range(8), 1, 1] = 1.0
        warp.join.bias.zero_()
        moved = warp(x, torch.zeros_like(x))
    # dx = 1 reads one column to the right, dy = -1 one row above.
    torch.testing.assert_close(moved[..., 1:, :-1], x[..., :-1, 1:], atol=1e-5, rtol=0)


def test_group_warp_when_displacements_are_huge_then_they_stay_bounded() -> None:
    warp = GroupWarp(8, 2, max_offset=2.0)
    x = F.pad(torch.ones(1, 8, 1, 1), (10, 10, 10, 10))
    with torch.no_grad():
        warp.offset_mask.bias.fill_(1e3)
        moved = warp(x, torch.zeros_like(x)).abs().sum((0, 1)).nonzero()
    assert (moved - 10).abs().max() <= 2 + 1  # and the 3x3 convolution


def test_encode_when_signs_differ_then_it_is_odd_and_steeper_in_the_dark() -> None:
    x = torch.tensor([0.0, 1e-4, 0.01, 0.5])
    torch.testing.assert_close(encode(-x), -encode(x))
    slope = torch.diff(encode(x)) / torch.diff(x)
    assert (torch.diff(slope) < 0).all()


def test_config_when_sizes_do_not_fit_then_usage_error() -> None:
    with pytest.raises(UsageError, match="groups"):
        TwoStageConfig(channels=30)
    with pytest.raises(UsageError, match="max_offset"):
        TwoStageConfig(max_offset=0.0)


def test_kpn_when_it_has_no_second_alignment_then_its_result_is_unchanged() -> None:
    torch.manual_seed(1)
    model = Kpn(KpnConfig(**SMALL)).eval()
    assert model._aligned_features(torch.rand(1, 2, 4, 16, 16), torch.rand(1, 4, 16, 16), 0) is None


@pytest.mark.parametrize(("cfa", "frames", "reference"), [("GRBG", 2, 0), ("BGGR", 5, 2)])
def test_merge_tiled_when_tiles_have_another_size_then_the_picture_is_the_same(
    cfa: str, frames: int, reference: int
) -> None:
    model = small()
    burst = make_burst(141, 170, frames, cfa, reference=reference)
    whole = merge_tiled(burst, model, tile=1000, precision="float32").data
    assert np.isfinite(whole).all() and whole.std() > 0.01
    np.testing.assert_allclose(merge_tiled(burst, model, tile=96, precision="float32").data, whole, atol=1e-4)


def test_start_from_when_given_kpn_then_shared_parts_are_copied_and_the_others_stay() -> None:
    torch.manual_seed(1)
    kpn, model = Kpn(KpnConfig(**SMALL)), small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.start_from(kpn)
    theirs = kpn.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, theirs.get(name, before[name])), name
    with pytest.raises(UsageError, match="kpn cannot start"):
        kpn.start_from(model)
