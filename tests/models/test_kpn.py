"""Kernel prediction: any number of frames, kernels that sum to one, independence of tiles."""

from dataclasses import replace

import pytest
import torch

from burstfix.checkpoints import load_model
from burstfix.errors import UsageError
from burstfix.models import kpn
from burstfix.models.average import Average
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.sim import add_noise, mosaic_packed
from tests.scenes import draw_scene

SHOT, READ = torch.full((1, 1, 4, 1, 1), 6.4e-3), torch.full((1, 1, 4, 1, 1), 4e-4)
SMALL = KpnConfig(channels=16, head_channels=16, head_blocks=1, refine_channels=0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Kpn(SMALL).eval()


def burst(frames, side, seed=0):
    clean = mosaic_packed(draw_scene(2 * side, 2 * side, seed)[None])
    generator = torch.Generator().manual_seed(seed)
    return add_noise(clean[:, None].expand(1, frames, 4, side, side), SHOT, READ, generator)


@pytest.mark.parametrize("frames", [1, 2, 5, 9])
@pytest.mark.parametrize("reference", [0, -1])
def test_kpn_when_given_any_number_of_frames_then_it_returns_a_picture_and_a_mosaic(model, frames, reference):
    with torch.no_grad():
        merged = model(burst(frames, 32), SHOT, READ, reference % frames)
    assert merged.rgb.shape == (1, 3, 64, 64)
    assert merged.mosaic.shape == (1, 4, 32, 32)
    assert torch.isfinite(merged.rgb).all()


def test_kpn_when_frames_are_constant_then_kernels_return_the_constant(model):
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 1, 4, 1, 1)
    with torch.no_grad():
        mosaic = model(level.expand(1, 4, 4, 32, 32), SHOT, READ, 1).mosaic
    assert torch.allclose(mosaic, level[:, 0].expand_as(mosaic), atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_kpn_when_kernels_have_another_size_then_they_still_return_a_constant(kernel):
    frames = torch.full((1, 2, 4, 32, 32), 0.3)
    with torch.no_grad():
        mosaic = Kpn(replace(SMALL, kernel=kernel)).eval()(frames, SHOT, READ, 1).mosaic
    assert torch.allclose(mosaic, frames[:, 0], atol=1e-5)


def signed_model():
    torch.manual_seed(2)
    model = Kpn(SMALL).eval()
    with torch.no_grad():
        for part in (model.kernel_signed, model.color_signed):
            part.weight.normal_()
            part.bias.normal_()
    return model


def test_kpn_when_kernels_have_both_signs_then_they_still_sum_to_one():
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 1, 4, 1, 1)
    with torch.no_grad():
        mosaic = signed_model()(level.expand(1, 4, 4, 32, 32), SHOT, READ, 1).mosaic
    assert torch.allclose(mosaic, level[:, 0].expand_as(mosaic), atol=1e-5)


def test_kpn_when_a_colour_is_constant_then_its_kernels_return_it_at_every_pixel():
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 1, 4, 1, 1)
    color = signed_model().train()(level.expand(1, 4, 4, 32, 32), SHOT, READ, 1).extra["color"]
    expected = torch.tensor([0.1, 0.4, 0.7]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    assert torch.allclose(color, expected, atol=1e-5)


@pytest.mark.parametrize("signed", [False, True])
def test_kpn_when_a_single_pixel_is_bright_then_only_signed_kernels_fall_below_zero(model, signed):
    frames = torch.zeros(1, 2, 4, 32, 32)
    frames[..., 16, 16] = 1
    with torch.no_grad():
        mosaic = (signed_model() if signed else model)(frames, SHOT, READ, 0).mosaic
    assert (mosaic.min() < -1e-3) == signed


def test_kpn_when_other_frames_are_reordered_then_the_result_is_the_same(model):
    frames = burst(4, 32)
    with torch.no_grad():
        one = model(frames, SHOT, READ, 0).rgb
        other = model(frames[:, [0, 3, 1, 2]], SHOT, READ, 0).rgb
    assert torch.allclose(one, other, atol=1e-5)


def mixed_model():
    model = Kpn(replace(SMALL, deformable=True)).eval()
    kernel = model.deform.kernel
    with torch.no_grad():
        for part in (kernel.offset_out, kernel.weight_out, kernel.weight_signed, model.deform_share):
            part.weight.normal_(0, 0.3)
            part.bias.normal_()
    return model


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_kpn_when_mixed_with_a_deformable_kernel_then_constant_frames_are_returned(frames):
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 1, 4, 1, 1)
    with torch.no_grad():
        merged = mixed_model()(level.expand(1, frames, 4, 32, 32), SHOT, READ, frames - 1)
    assert torch.allclose(merged.mosaic, level[:, 0].expand_as(merged.mosaic), atol=1e-5)
    assert merged.frames_used.shape == (1, 16, 16)


@pytest.mark.parametrize("share", [-20.0, 20.0])
def test_kpn_when_the_share_of_the_deformable_kernel_is_known_then_the_mosaic_is_that_of_one_kernel(share):
    torch.manual_seed(3)
    mixed, plain = mixed_model().train(), Kpn(SMALL).train()
    with torch.no_grad():
        mixed.deform_share.weight.zero_()
        mixed.deform_share.bias.fill_(share)
        plain.load_state_dict({name: mixed.state_dict()[name] for name in plain.state_dict()})
        frames = burst(3, 32)
        merged = mixed(frames, SHOT, READ, 1)
        rigid, deformed = plain(frames, SHOT, READ, 1).mosaic, merged.extra["alone"].mean(1)
    assert not torch.allclose(rigid, deformed, atol=1e-3)
    assert torch.allclose(merged.mosaic, rigid if share < 0 else deformed, atol=1e-5)


def test_kpn_when_mixed_with_a_deformable_kernel_then_it_starts_from_kpn_and_every_weight_gets_a_gradient():
    model = mixed_model().train()
    model.start_from(Kpn(SMALL))
    merged = model(burst(3, 16), SHOT, READ, 1)
    sum(x.square().mean() for x in (merged.rgb, *merged.extra.values())).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


def test_kpn_when_blind_then_the_noise_profile_does_not_matter():
    torch.manual_seed(0)
    blind, frames = Kpn(replace(SMALL, noise_map=False)).eval(), burst(3, 32)
    with torch.no_grad():
        assert torch.equal(blind(frames, SHOT, READ, 1).rgb, blind(frames, 0.1 * SHOT, READ, 1).rgb)


def test_kpn_when_untrained_then_the_mosaic_is_less_noisy_than_a_frame(model):
    frames = burst(5, 64)
    clean = mosaic_packed(draw_scene(128, 128, 0)[None])
    with torch.no_grad():
        mosaic = model(frames, SHOT, READ, 2).mosaic
    assert (mosaic - clean).square().mean() < 0.8 * (frames[:, 2] - clean).square().mean()


def test_kpn_when_kernels_are_applied_in_strips_then_the_result_equals_that_of_all_rows_at_once(
    model, monkeypatch
):
    frames = burst(2, 32)
    with torch.no_grad():
        whole = model(frames, SHOT, READ, 1)
        monkeypatch.setattr(kpn, "STRIP", 7 * 32)  # six rows, which do not divide 32
        strips = model(frames, SHOT, READ, 1)
    torch.testing.assert_close(strips.mosaic, whole.mosaic, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(strips.rgb, whole.rgb, atol=1e-6, rtol=1e-5)


def test_kpn_when_it_has_no_noise_map_then_the_noise_profile_has_no_influence(model):
    blind = Kpn(replace(SMALL, noise_map=False)).eval()
    blind.load_state_dict(model.state_dict())
    frames = burst(3, 32)
    with torch.no_grad():
        assert torch.equal(blind(frames, SHOT, READ, 1).rgb, blind(frames, 3 * SHOT, 9 * READ, 1).rgb)
        assert not torch.equal(model(frames, SHOT, READ, 1).rgb, model(frames, 3 * SHOT, 9 * READ, 1).rgb)


@pytest.mark.parametrize(("refine", "coarse"), [(0, 0), (16, 0), (16, 24)])
def test_kpn_when_training_then_every_weight_gets_a_gradient(refine, coarse):
    torch.manual_seed(1)
    config = replace(SMALL, refine_channels=refine, refine_blocks=1, coarse_channels=coarse, coarse_blocks=1)
    model = Kpn(config).train()
    for level in (model.refine, model.refine and model.refine.below):
        if level is not None:
            torch.nn.init.normal_(level.up.weight, std=0.1)  # as after the first step
    merged = model(burst(3, 16), SHOT, READ, 1)
    sum(x.square().mean() for x in (merged.rgb, *merged.extra.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("part", ["refine.up.weight", "kernel_signed.weight", "head_color.weight"])
def test_start_from_when_the_network_has_a_new_part_then_the_picture_is_the_same_at_first(part):
    small = Kpn(replace(SMALL, signed=False, color=False)).eval()
    grown = Kpn(replace(SMALL, refine_channels=24, refine_blocks=1)).eval()
    grown.start_from(small)
    frames = burst(3, 32)
    with torch.no_grad():
        assert torch.equal(grown(frames, SHOT, READ, 1).rgb, small(frames, SHOT, READ, 1).rgb)
        grown.get_parameter(part).normal_(0, 0.1)
        assert not torch.equal(grown(frames, SHOT, READ, 1).rgb, small(frames, SHOT, READ, 1).rgb)


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (replace(SMALL, channels=24), "has a different shape or is missing"),
        (replace(SMALL, head_blocks=0), r"head_blocks.0.first.weight has a different shape or is missing"),
    ],
)
def test_start_from_when_sizes_differ_then_the_error_names_the_part(model, own, why):
    with pytest.raises(UsageError, match=why):
        Kpn(own).start_from(model)


def test_start_from_when_the_other_is_another_network_then_usage_error(model):
    with pytest.raises(UsageError, match="another kind of network"):
        model.start_from(Average())


@pytest.mark.slow
def test_kpn_when_shipped_weights_process_a_part_with_halo_then_the_result_equals_the_whole():
    model = load_model("kpn").eval()
    frames, halo = burst(3, 160, seed=3), model.info.halo
    first, size = 64, 32
    with torch.no_grad():
        whole = model(frames, SHOT, READ, 1).rgb
        near = slice(first - halo, first + size + halo)
        part = model(frames[..., near, near], SHOT, READ, 1).rgb
    inside = slice(2 * halo, 2 * (halo + size))
    expected = whole[..., 2 * first : 2 * (first + size), 2 * first : 2 * (first + size)]
    assert (part[..., inside, inside] - expected).abs().max() < 1e-4
