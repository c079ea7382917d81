"""The two-stage network: shapes, gradients, frames, independence of tiles, configs."""

import dataclasses

import pytest
import torch

from burstfix.errors import UsageError
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.models.layers import ConvGru
from burstfix.models.two_stage_paper import TwoStagePaper, TwoStagePaperConfig, frame_order
from burstfix.raw.cfa import pack
from tests.scenes import add_noise, draw_scene, mosaic_of

SMALL = TwoStagePaperConfig(channels=8, groups=2, feature_blocks=1, unet=(8, 12, 16))
LIGHT = TwoStagePaperConfig(
    channels=8,
    groups=2,
    stride=2,
    feature_convs=3,
    feature_blocks=1,
    unet=(8, 12, 16),
    unet_blocks=False,
    unet_scale=4,
    base="kernels",
    max_offset=4.0,
    coarse="blocks",
)
LIGHT_KERNELS = dataclasses.replace(LIGHT, refine_channels=16)
SHOT, READ = torch.full((1, 1, 4, 1, 1), 6.4e-3), torch.full((1, 1, 4, 1, 1), 4e-4)


def _burst(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Return (1, count, 4, side, side): a scene that moves by one or two sensor pixels, with high noise."""
    scene = draw_scene(2 * side, 2 * side, seed)
    frames = [
        add_noise(pack(mosaic_of(scene.roll((2 * i, -i), (1, 2)))), 6.4e-3, 4e-4, seed=seed + i)
        for i in range(count)
    ]
    return torch.stack(frames)[None]


def _lively(model: TwoStagePaper) -> TwoStagePaper:
    """Increase offsets and output, which are small before training."""
    with torch.no_grad():
        for layer in model.align.deform:
            layer.offset_mask.weight.mul_(20)  # type: ignore[union-attr]
        model.unet.head.convs[-1].weight.mul_(10)  # type: ignore[union-attr]
    return model


@pytest.mark.parametrize("count", range(1, 10))
def test_forward_when_frames_are_1_to_9_then_rgb_has_sensor_size(count):
    model = TwoStagePaper(SMALL)
    merged = model(_burst(count, 16), SHOT, READ, count // 3)
    assert merged.rgb.shape == (1, 3, 32, 32)
    assert merged.rgb.isfinite().all()
    assert ("interpolation" in merged.extra) == (count > 1)
    assert not model.eval()(_burst(count, 16), SHOT, READ, 0).extra


@pytest.mark.parametrize("count", [1, 2, 5])
def test_forward_when_the_base_is_predicted_by_kernels_then_a_mosaic_is_returned_too(count):
    model = TwoStagePaper(LIGHT_KERNELS).train()
    merged = model(_burst(count, 16), SHOT, READ, count // 2)
    assert merged.rgb.shape == (1, 3, 32, 32)
    assert merged.mosaic is not None and merged.mosaic.shape == (1, 4, 16, 16)


@pytest.mark.parametrize("base", ["average", "kernels"])
def test_forward_when_there_is_a_base_then_it_is_an_input(base):
    torch.manual_seed(0)
    model = _lively(TwoStagePaper(dataclasses.replace(LIGHT_KERNELS, base=base))).eval()
    model.unet.head.convs[-1].weight.data.normal_(0, 0.1)  # type: ignore[union-attr]
    frames, seen = _burst(3, 16), []
    assert model.unet.look is not None
    model.unet.look.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        rgb = model(frames, SHOT, READ, 1).rgb
        model.unet.look.weight.zero_()
        assert not torch.allclose(model(frames, SHOT, READ, 1).rgb, rgb)
    assert seen[0].shape == (1, 3 * 4**2, 8, 8)


def test_start_from_when_given_a_kernel_prediction_network_then_the_initial_picture_equals_its_picture():
    torch.manual_seed(0)
    kpn = Kpn(KpnConfig(refine_channels=0)).eval()
    model = TwoStagePaper(LIGHT_KERNELS).eval()
    model.start_from(kpn)
    frames = _burst(3, 16)
    with torch.no_grad():
        expected = kpn(frames, SHOT, READ, 1)
        assert torch.equal(model(frames, SHOT, READ, 1).rgb, expected.rgb)
        _lively(model)
        model.unet.head.convs[-1].weight.normal_(0, 0.1)  # type: ignore[union-attr]
        assert not torch.equal(model(frames, SHOT, READ, 1).rgb, expected.rgb)


def test_forward_when_kernels_are_trained_too_then_every_weight_gets_a_gradient():
    torch.manual_seed(0)
    model = TwoStagePaper(LIGHT_KERNELS)
    assert model.kernels is not None and model.kernels.refine is not None
    model.unet.head.convs[-1].weight.data.normal_(0, 0.1)  # as after the first step  # type: ignore[union-attr]
    for level in (model.kernels.refine, model.kernels.refine.below):
        assert level is not None
        level.up.weight.data.normal_(0, 0.1)
    assert model.kernels.head_color is not None
    model.kernels.head_color.weight.data.normal_(0, 0.1)
    model(_burst(3, 16), SHOT, READ, 1).rgb.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("stride, unet_scale", [(1, 1), (1, 2), (2, 1), (2, 2), (2, 4)])
def test_forward_when_scales_vary_then_rgb_has_sensor_size(stride, unet_scale):
    config = TwoStagePaperConfig(
        channels=8, groups=2, feature_blocks=1, unet=(8, 8, 8), stride=stride, unet_scale=unet_scale
    )
    model = TwoStagePaper(config)
    side = 2 * model.info.size_multiple
    assert model(_burst(2, side), SHOT, READ, 0).rgb.shape == (1, 3, 2 * side, 2 * side)


def test_forward_when_size_is_not_a_multiple_then_usage_error():
    with pytest.raises(ValueError, match="multiple of 8"):
        TwoStagePaper(SMALL)(torch.rand(1, 2, 4, 16, 20), SHOT, READ, 0)


@pytest.mark.parametrize("config", [SMALL, LIGHT])
def test_forward_when_gradients_are_off_then_the_result_equals_that_of_training(config):
    torch.manual_seed(1)
    model = _lively(TwoStagePaper(config))
    frames = _burst(4, 32)
    with_gradients = model(frames, SHOT, READ, 1).rgb.detach()
    with torch.no_grad():
        without = model.eval()(frames, SHOT, READ, 1).rgb
    torch.testing.assert_close(without, with_gradients, atol=1e-5, rtol=1e-5)


def test_interpolation_when_the_reference_changes_then_only_alignment_is_affected():
    torch.manual_seed(1)
    model = TwoStagePaper(
        TwoStagePaperConfig(channels=8, groups=2, feature_blocks=1, unet=(8, 12, 16), base="none")
    )
    with torch.no_grad():
        for layer in model.align.deform:
            layer.offset_mask.weight.zero_()  # type: ignore[union-attr]  # no offsets, so the reference has no effect
    frames = _burst(3, 16)
    changed = frames.clone()
    changed[:, 1] = 1 - changed[:, 1]
    one, other = model(frames, SHOT, READ, 1), model(changed, SHOT, READ, 1)
    torch.testing.assert_close(one.extra["interpolation"], other.extra["interpolation"])
    assert not torch.allclose(one.rgb, other.rgb)


@pytest.mark.parametrize("mixed", [False, True])
def test_train_forward_when_all_losses_are_summed_then_every_parameter_gets_a_gradient(mixed):
    torch.manual_seed(0)
    model = TwoStagePaper(SMALL)
    frames = torch.cat([_burst(3, 64, seed) for seed in (0, 1)])
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        merged = model.train_forward(
            frames, SHOT, READ, 1, margin=16, temperature=1e-2, clean=frames.clamp(0, 1)
        )
    assert merged.rgb.shape == (2, 3, 64, 64)
    loss = (merged.rgb**2).mean() + (merged.extra["interpolation"] ** 2).mean()
    (loss + merged.extra["one_hot"] + merged.extra["supervision"]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_forward_when_autocast_is_bfloat16_then_the_result_is_close_to_float32():
    torch.manual_seed(0)
    model = TwoStagePaper(SMALL).eval()
    frames = _burst(3, 32)
    with torch.no_grad():
        exact = model(frames, SHOT, READ, 1).rgb
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(frames, SHOT, READ, 1).rgb
    assert mixed.dtype == torch.float32
    assert (mixed - exact).abs().max() < 0.02


@pytest.mark.parametrize("config", [SMALL, LIGHT])
def test_forward_when_run_on_tiles_with_halo_then_it_equals_the_whole(config):
    torch.manual_seed(3)
    model = _lively(TwoStagePaper(config)).eval()
    halo, size_multiple, tile = model.info.halo, model.info.size_multiple, 16
    assert halo % size_multiple == 0 and halo <= 96
    frames = _burst(2, 2 * halo + 5 * tile)
    with torch.no_grad():
        whole = model(frames, SHOT, READ, 0).rgb
        for top, left in ((halo, halo + 2 * size_multiple), (halo + 3 * tile, halo + tile)):
            part = frames[..., top - halo : top + tile + halo, left - halo : left + tile + halo]
            inner = model(part, SHOT, READ, 0).rgb[..., 2 * halo : -2 * halo, 2 * halo : -2 * halo]
            expected = whole[..., 2 * top : 2 * (top + tile), 2 * left : 2 * (left + tile)]
            assert (inner - expected).abs().max() < 1e-4


@pytest.mark.parametrize("attention", ["window", "patch"])
def test_forward_when_far_content_is_removed_then_only_patch_attention_changes(attention):
    torch.manual_seed(3)
    model = _lively(TwoStagePaper(dataclasses.replace(SMALL, attention=attention))).eval()
    frames = _burst(1, 192)[..., :64, :]
    frames[..., :64] = 0.9
    with torch.no_grad():
        whole, part = (model(x, SHOT, READ, 0).rgb[..., -64:] for x in (frames, frames[..., 64:]))
    difference = (whole - part).abs().max()
    assert difference < 1e-5 if attention == "window" else difference > 1e-4


@pytest.mark.parametrize("base", ["average", "reference"])
def test_base_when_the_head_adds_nothing_then_the_picture_resembles_the_scene(base):
    model = TwoStagePaper(
        TwoStagePaperConfig(channels=8, groups=2, feature_blocks=1, unet=(8, 8, 8), base=base)
    ).eval()
    with torch.no_grad():
        model.unet.head.convs[-1].weight.zero_()  # type: ignore[union-attr]
    scene = draw_scene(96, 96)
    frames = torch.stack([add_noise(pack(mosaic_of(scene)), 6.4e-3, 4e-4, seed=i) for i in range(5)])[None]
    error = {n: (model(frames[:, :n], SHOT, READ, 0).rgb[0] - scene).std() for n in (1, 5)}
    if base == "average":
        assert error[5] < 0.75 * error[1]
    else:
        assert error[5] == error[1]


def test_frame_order_when_the_reference_is_in_the_middle_then_the_time_order_is_kept():
    assert frame_order(5, 2) == [0, 1, 2, 3, 4]
    assert frame_order(1, 0) == [0]


@pytest.mark.parametrize("count", range(1, 10))
def test_frame_order_when_the_reference_is_any_then_it_is_in_the_middle(count):
    for reference in range(count):
        order = frame_order(count, reference)
        assert sorted(order) == list(range(count))
        assert order[count // 2] == reference


def test_gru_when_run_over_frames_then_it_follows_the_equations():
    torch.manual_seed(0)
    gru, c = ConvGru(4), 4
    features = torch.randn(3, c, 6, 6)
    before, after = gru.run(list(gru.frame_part(features).split(1)))
    state = torch.zeros(1, c, 6, 6)
    for frame in features.split(1):
        last = state
        both = torch.cat([state, frame], 1)
        z, r = torch.sigmoid(gru.update(both)), torch.sigmoid(gru.reset(both))
        q = torch.tanh(gru.candidate(torch.cat([r * state, frame], 1)))
        state = (1 - z) * state + z * q
    torch.testing.assert_close(after, state)
    torch.testing.assert_close(before, last)


@pytest.mark.parametrize(
    "settings",
    [{"base": "x"}, {"channels": 12, "groups": 8}, {"unet_scale": 4}, {"unet": (8, 8)}, {"search": 3}],
)
def test_config_when_a_value_is_invalid_then_usage_error(settings):
    with pytest.raises(UsageError):
        TwoStagePaperConfig(**settings)


def test_config_when_a_key_is_unknown_then_an_error_is_raised():
    with pytest.raises(TypeError):
        TwoStagePaperConfig(chanels=8)  # type: ignore[call-arg]


def test_paper_config_when_built_then_the_parameter_count_matches_the_paper():
    count = sum(p.numel() for p in TwoStagePaper().parameters())
    assert 11e6 < count < 13e6
