"""DnCNN: one frame, a noise map, independence of tiles."""

from __future__ import annotations

import pytest
import torch

from burstfix.errors import UsageError
from burstfix.models.dncnn import Dncnn, DncnnConfig
from burstfix.models.losses import charbonnier
from burstfix.raw.demosaic import menon
from burstfix.sim import mosaic_packed
from tests.models.test_kpn import READ, SHOT, burst
from tests.scenes import draw_scene

SMALL = DncnnConfig(channels=16, depth=4)


@pytest.fixture(scope="module")
def model() -> Dncnn:
    torch.manual_seed(0)
    model = Dncnn(SMALL).eval()
    torch.nn.init.normal_(model.last.weight, std=0.1)  # as after training: the correction is not small
    return model


@torch.no_grad()
def test_dncnn_when_other_frames_change_then_the_result_is_the_same(model: Dncnn) -> None:
    frames = burst(3, 32)
    merged = model(frames, SHOT, READ, 1)
    assert torch.equal(model(frames[:, 1:2], SHOT, READ, 0).rgb, merged.rgb)
    assert merged.rgb.shape == (1, 3, 64, 64)
    assert merged.mosaic is not None
    torch.testing.assert_close(merged.rgb, menon(merged.mosaic))
    assert not torch.equal(model(frames, SHOT, READ, 2).rgb, merged.rgb)


@torch.no_grad()
def test_dncnn_when_there_is_no_noise_then_the_mosaic_is_the_frame(model: Dncnn) -> None:
    frames = burst(1, 32)
    merged = model(frames, 0 * SHOT, 0 * READ, 0)
    assert merged.mosaic is not None
    torch.testing.assert_close(merged.mosaic, frames[:, 0])


@torch.no_grad()
def test_dncnn_when_a_part_is_processed_with_halo_then_the_result_equals_the_whole(model: Dncnn) -> None:
    frames, halo = burst(1, 96), model.info.halo
    whole = model(frames, SHOT, READ, 0).rgb
    first, size = 40, 16
    near = slice(first - halo, first + size + halo)
    part = model(frames[..., near, near], SHOT, READ, 0).rgb
    inside, outer = slice(2 * halo, 2 * (halo + size)), slice(2 * first, 2 * (first + size))
    torch.testing.assert_close(part[..., inside, inside], whole[..., outer, outer], atol=1e-6, rtol=0)


def test_dncnn_when_trained_for_some_steps_then_the_mosaic_is_less_noisy() -> None:
    torch.manual_seed(1)
    model = Dncnn(SMALL).train()
    clean, frames = mosaic_packed(draw_scene(64, 64, 0)[None]), burst(1, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    errors = []
    for _ in range(60):
        merged = model(frames, SHOT, READ, 0)
        assert merged.mosaic is not None
        errors.append(float((merged.mosaic - clean).detach().square().mean()))
        optimizer.zero_grad()
        charbonnier(merged.rgb, menon(clean)).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
        optimizer.step()
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.parametrize("config", [{"depth": 1}, {"channels": 0}])
def test_dncnn_when_sizes_are_impossible_then_usage_error(config: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected at least 1 and 2"):
        DncnnConfig(**config)
