"""Deformable kernels: places of samples, groups, any number of frames, independence of tiles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from burstfix.checkpoints import load_model
from burstfix.engine.infer import merge_tiled
from burstfix.errors import UsageError, WeightsError
from burstfix.models import deformable_layers
from burstfix.models.average import Average
from burstfix.models.catalog import build, find
from burstfix.models.deformable_kernels import (
    Deformable2d,
    Deformable2dConfig,
    Deformable3d,
    Deformable3dConfig,
    DeformableNetwork,
)
from burstfix.models.deformable_layers import DeformableKernel, node_weights
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.sim import add_noise, mosaic_packed
from tests.engine.bursts import make_burst
from tests.scenes import draw_scene

SHOT, READ = torch.full((1, 1, 4, 1, 1), 6.4e-3), torch.full((1, 1, 4, 1, 1), 4e-4)
SIZES = {"channels": 16, "head_channels": 16, "head_blocks": 1, "refine_channels": 0}
NAMES = ["deformable-3d", "deformable-2d"]


def kernel_of(model: DeformableNetwork) -> DeformableKernel:
    """Return the layers of the kernel."""
    return next(part for part in model.modules() if isinstance(part, DeformableKernel))


def small(name: str, seed: int = 0, **config: float) -> DeformableNetwork:
    torch.manual_seed(seed)
    model = build(name, {**SIZES, **config})
    assert isinstance(model, DeformableNetwork)
    return model.eval()


def moving(name: str, seed: int = 0, strength: float = 0.3, **config: float) -> DeformableNetwork:
    """Return a network with random offsets, times and weights of both signs."""
    model = small(name, seed, **config)
    kernel = kernel_of(model)
    with torch.no_grad():
        for part in (kernel.offset_out, kernel.weight_out, kernel.weight_signed):
            part.weight.normal_(0, strength)
            part.bias.normal_()
    return model


def one_sample(name: str, frames: int, **offsets: float) -> DeformableNetwork:
    """Return a network whose kernels have one sample with the given offsets: dy and dx, and relative time."""
    model = small(name, kernel=1, **({"layers": 1} if name == "deformable-3d" else {}))
    kernel = kernel_of(model)
    with torch.no_grad():
        kernel.offset_out.weight.zero_()
        bias = kernel.offset_out.bias.view(kernel.axes, 4)
        for axis, key in enumerate(("y", "x", "t")[: kernel.axes]):
            limit = model.config.max_offset if key != "t" else 1
            bias[axis] = limit * math.atanh(offsets.get(key, 0) / limit)
    return model


def burst(frames: int, side: int, seed: int = 0) -> torch.Tensor:
    clean = mosaic_packed(draw_scene(2 * side, 2 * side, seed)[None])
    generator = torch.Generator().manual_seed(seed)
    return add_noise(clean[:, None].expand(1, frames, 4, side, side), SHOT, READ, generator)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("frames", "reference"), [(1, 0), (2, 1), (3, 0), (5, 2), (9, 8)])
def test_forward_when_given_any_number_of_frames_then_it_returns_a_picture_and_a_mosaic(
    name: str, frames: int, reference: int
) -> None:
    with torch.no_grad():
        merged = moving(name)(burst(frames, 32), SHOT, READ, reference)
    assert merged.rgb.shape == (1, 3, 64, 64) and torch.isfinite(merged.rgb).all()
    assert merged.mosaic is not None and merged.mosaic.shape == (1, 4, 32, 32)
    used = merged.frames_used
    assert used is not None and used.shape == (1, 16, 16)
    assert used.min() > 0.999 and used.max() < frames + 0.001


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_frames_are_constant_then_kernels_return_the_constant(name: str) -> None:
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 1, 4, 1, 1)
    with torch.no_grad():
        mosaic = moving(name)(level.expand(1, 4, 4, 32, 32), SHOT, READ, 1).mosaic
    torch.testing.assert_close(mosaic, level[:, 0].expand_as(mosaic), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_untrained_then_the_mosaic_is_less_noisy_than_a_frame(name: str) -> None:
    frames = burst(5, 64)
    clean = mosaic_packed(draw_scene(128, 128, 0)[None])
    with torch.no_grad():
        mosaic = small(name)(frames, SHOT, READ, 2).mosaic
    assert (mosaic - clean).square().mean() < 0.8 * (frames[:, 2] - clean).square().mean()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("y", "x"), [(0, 0), (3, -2), (-7, 7)])
def test_forward_when_the_offset_is_known_then_the_mosaic_is_the_displaced_frame(
    name: str, y: int, x: int
) -> None:
    frames = torch.rand(2, 1, 4, 32, 40)
    with torch.no_grad():
        mosaic = one_sample(name, 1, y=y, x=x)(frames, SHOT, READ, 0).mosaic
    expected = torch.roll(frames[:, 0], (-y, -x), (-2, -1))
    torch.testing.assert_close(mosaic[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-4, rtol=0)


@pytest.mark.parametrize("frames", [2, 5, 9])
@pytest.mark.parametrize("t", [-0.99, -0.5, 0.25, 0.99])
def test_forward_when_the_time_is_known_then_it_is_relative_to_the_reference_and_the_burst(
    frames: int, t: float
) -> None:
    bright = torch.arange(float(frames)).reshape(1, -1, 1, 1, 1).expand(1, frames, 4, 16, 16) / 10
    reference = frames // 2
    with torch.no_grad():
        mosaic = one_sample("deformable-3d", frames, t=t)(bright, SHOT, READ, reference).mosaic
    time = reference + t * max(reference, frames - 1 - reference)
    time = 2 * (frames - 1) - time if time > frames - 1 else time  # reflected
    torch.testing.assert_close(mosaic, torch.full_like(mosaic, time / 10), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_places_when_predictions_are_huge_then_places_stay_within_their_bounds(name: str) -> None:
    kernel = kernel_of(moving(name, max_offset=5.0))
    with torch.no_grad():
        places = kernel.places(100 * torch.randn(2, 16, 8, 10), 7, 1)
    own_y = 7.0 + torch.arange(8)[:, None] * 2  # for the first pixel of each quad; the border is 5 + 1 + 1
    own_x = 7.0 + torch.arange(10) * 2
    for place, own in ((places.y, own_y), (places.x, own_x)):
        reach = (place[:, :, 0] - own).abs().max()
        assert 5 < reach <= 6
    if name == "deformable-3d":
        assert places.t is not None and places.t.min() >= 0 and places.t.max() <= 6
        assert places.t.min() < 0.5 and places.t.max() > 5.5
    else:
        assert places.t is None


def test_places_when_under_bfloat16_autocast_then_they_are_not_rounded() -> None:
    kernel, features = kernel_of(moving("deformable-3d")), torch.randn(1, 16, 4, 4)
    with torch.no_grad():
        expected = kernel.places(features, 5, 2)
        with torch.autocast("cpu", torch.bfloat16):
            found = kernel.places(features, 5, 2)
    assert torch.equal(found.y, expected.y) and torch.equal(found.t, expected.t)


@pytest.mark.parametrize(("error", "expected"), [(0.02, 0.7071), (-0.04, -1.4142), (1.0, 4.0), (-1.0, -4.0)])
def test_weights_when_samples_differ_from_the_reference_then_they_depend_on_the_bounded_difference_in_noise(
    error: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = one_sample("deformable-2d", 2), []
    monkeypatch.setattr(
        kernel_of(model).weight_samples,
        "forward",
        lambda differences, add, activate: seen.append(differences) or torch.zeros_like(add),
    )
    frames = torch.full((1, 2, 4, 16, 16), 0.5)
    frames[:, 1] += error
    noise = torch.full((1, 1, 4, 1, 1), 0.02**2)
    with torch.no_grad():
        model(frames, torch.zeros(1, 1, 4, 1, 1), noise, 0)
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[1], torch.full_like(seen[1], expected), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("frames", "reference"), [(1, 0), (2, 0), (5, 2), (5, 0), (12, 9), (40, 20)])
def test_node_weights_when_given_a_burst_then_each_frame_counts_and_each_node_sums_to_one(
    frames: int, reference: int
) -> None:
    weights = torch.tensor(node_weights(frames, reference))
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    assert (weights.sum(0) > 0).all()
    middle = weights[len(weights) // 2]
    assert middle.argmax() == reference


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_training_then_the_mean_of_the_groups_is_the_mosaic(name: str) -> None:
    frames = burst(4, 16)
    with torch.no_grad():
        merged = moving(name).train()(frames, SHOT, READ, 1)
    groups = merged.extra["alone"]
    assert groups.shape == (1, 3 if name == "deformable-3d" else 4, 4, 16, 16)
    torch.testing.assert_close(groups.mean(1), merged.mosaic)


def test_forward_when_training_then_the_groups_of_2d_kernels_are_the_frames() -> None:
    bright = torch.tensor([0.1, 0.2, 0.6]).reshape(1, -1, 1, 1, 1).expand(1, 3, 4, 16, 16)
    with torch.no_grad():
        groups = small("deformable-2d").train()(bright, SHOT, READ, 1).extra["alone"]
    mass = groups / bright  # share of each frame in the weights, times the number of frames
    torch.testing.assert_close(mass.sum(1), torch.full_like(mass[:, 0], 3.0))
    torch.testing.assert_close(mass[:, :, :1].expand_as(mass), mass)  # all planes share the kernels


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_kernels_are_applied_in_strips_then_the_result_equals_that_of_all_rows_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, model = burst(3, 32), moving(name)
    with torch.no_grad():
        whole = model(frames, SHOT, READ, 1)
        monkeypatch.setattr(deformable_layers, "STRIP", 7 * 32)  # six rows, which do not divide 32
        strips = model(frames, SHOT, READ, 1)
    torch.testing.assert_close(strips.mosaic, whole.mosaic, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(strips.frames_used, whole.frames_used, atol=1e-4, rtol=1e-4)


def test_forward_when_all_samples_are_at_the_reference_then_one_frame_is_used() -> None:
    model = one_sample("deformable-3d", 5)
    with torch.no_grad():
        used = model(burst(5, 16), SHOT, READ, 2).frames_used
        between = one_sample("deformable-3d", 5, t=0.25)(burst(5, 16), SHOT, READ, 2).frames_used
    torch.testing.assert_close(used, torch.ones_like(used), atol=1e-4, rtol=0)
    torch.testing.assert_close(between, torch.full_like(between, 2.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_the_network_is_blind_then_the_noise_profile_does_not_matter(name: str) -> None:
    frames = burst(3, 32)

    def change(noise_map: bool) -> torch.Tensor:
        model = moving(name, noise_map=noise_map)
        with torch.no_grad():
            one, other = (model(frames, gain * SHOT, READ, 1).rgb for gain in (1, 0.1))
        return (one - other).abs().max()

    assert change(noise_map=False) == 0
    assert change(noise_map=True) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_forward_when_trained_a_step_then_every_weight_gets_a_gradient(name: str) -> None:
    model = moving(name, refine_channels=16, refine_blocks=1, coarse_channels=0).train()
    assert model.refine is not None
    torch.nn.init.normal_(model.refine.up.weight, std=0.1)  # as after the first step
    merged = model(burst(3, 16), SHOT, READ, 1)
    sum(x.square().mean() for x in (merged.rgb, *merged.extra.values())).backward()
    for part, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), part
        assert parameter.grad.abs().max() > 0, part


@pytest.mark.parametrize("name", NAMES)
def test_start_from_when_given_kpn_then_encoder_u_net_and_head_are_copied(name: str) -> None:
    torch.manual_seed(1)
    kpn, model = Kpn(KpnConfig(**SIZES)), small(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.start_from(kpn)
    theirs = kpn.state_dict()
    copied = {key.split(".")[0] for key in before if key in theirs}
    assert {"encode_pair", "encode", "down2", "up0", "head_context", "head_in", "head_out"} <= copied
    for key, value in model.state_dict().items():
        assert torch.equal(value, theirs.get(key, before[key])), key


def test_start_from_when_given_the_same_network_then_all_weights_are_copied() -> None:
    other, model = small("deformable-3d", seed=1), small("deformable-3d")
    model.start_from(other)
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda: Kpn(replace(KpnConfig(**SIZES), channels=24)), "encode_pair.weight has a different shape"),
        (lambda: Kpn(replace(KpnConfig(**SIZES), head_blocks=0)), "head_blocks.0.first.weight"),
        (Average, "another kind of network"),
        (lambda: small("deformable-2d"), "cannot start from these weights of deformable-2d"),
    ],
)
def test_start_from_when_parts_do_not_fit_then_the_error_names_them(other, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        small("deformable-3d").start_from(other())


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"kernel": 2}, "kernel 2 must be odd"),
        ({"kernel": 11}, "kernel 11 must be odd and at most 9"),
        ({"max_offset": 0.0}, "max_offset 0 "),
        ({"max_offset": 17.0}, "max_offset 17 "),
        ({"layers": 0}, "layers 0 "),
        ({"layers": 10}, "layers 10 "),
        ({"channels": 0}, "channels 0 "),
    ],
)
def test_config_when_a_size_is_invalid_then_usage_error_names_it(config: dict[str, float], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        build("deformable-3d", config)


def test_config_when_defaults_then_kernels_have_the_sizes_of_the_paper() -> None:
    assert kernel_of(Deformable3d(Deformable3dConfig(**SIZES))).count == 27
    assert kernel_of(Deformable2d(Deformable2dConfig(**SIZES))).count == 9
    assert kernel_of(Deformable2d(Deformable2dConfig(**SIZES, kernel=5))).count == 25


@pytest.mark.parametrize("name", NAMES)
def test_catalog_when_there_are_no_weights_then_the_error_says_so(name: str) -> None:
    assert not find(name).usable
    with pytest.raises(WeightsError, match=name):
        load_model(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("cfa", "frames", "reference"), [("RGGB", 1, 0), ("GRBG", 2, 0), ("BGGR", 5, 2)])
def test_merge_tiled_when_tiles_have_another_size_then_the_picture_is_the_same(
    name: str, cfa: str, frames: int, reference: int
) -> None:
    model = moving(name, strength=0.1)
    shot = make_burst(141, 170, frames, cfa, reference=reference)
    whole = merge_tiled(shot, model, tile=1000, precision="float32").data
    assert np.isfinite(whole).all() and whole.std() > 0.01
    tiled = merge_tiled(shot, model, tile=96, precision="float32").data
    np.testing.assert_allclose(tiled, whole, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_training_when_it_runs_for_thirty_steps_then_the_loss_falls(name: str) -> None:
    frames, truth = burst(3, 32), draw_scene(64, 64, 0)[None]
    model = small(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    found = []
    for _ in range(30):
        merged = model(frames, SHOT, READ, 1)
        errors = (merged.rgb - truth, merged.extra["alone"] - mosaic_packed(truth)[:, None])
        loss = sum(error.square().mean() for error in errors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.7 * found[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_forward_when_a_part_has_a_halo_then_the_result_equals_the_whole(name: str) -> None:
    torch.manual_seed(0)
    model = build(name).eval()
    assert isinstance(model, DeformableNetwork)
    model.start_from(load_model("kpn"))
    kernel = kernel_of(model)
    with torch.no_grad():
        for part in (kernel.offset_out, kernel.weight_out, kernel.weight_signed):
            part.weight.normal_(0, 0.5)
            part.bias.normal_()
        kernel.offset_out.weight.mul_(5)  # many offsets near their bound
    frames, halo, first, size = burst(3, 160, seed=3), model.info.halo, 64, 32
    with torch.no_grad():
        whole = model(frames, SHOT, READ, 1).rgb
        near = slice(first - halo, first + size + halo)
        part = model(frames[..., near, near], SHOT, READ, 1).rgb
    inside = slice(2 * halo, 2 * (halo + size))
    expected = whole[..., 2 * first : 2 * (first + size), 2 * first : 2 * (first + size)]
    assert (part[..., inside, inside] - expected).abs().max() < 1e-4


@pytest.mark.parametrize(("max_offset", "halo"), [(1.0, 56), (8.0, 56), (8.5, 64), (16.0, 64)])
def test_info_when_offsets_reach_farther_then_the_halo_grows(max_offset: float, halo: int) -> None:
    assert small("deformable-3d", max_offset=max_offset).info.halo == halo
