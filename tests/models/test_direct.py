"""Direct synthesis: `kpn` without kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from burstfix.engine.infer import merge_tiled
from burstfix.models.direct import Direct
from burstfix.models.kernel_network import NetworkConfig
from tests.engine.bursts import make_burst
from tests.models.test_kpn import READ, SHOT, burst

SMALL = NetworkConfig(channels=16, head_channels=16, head_blocks=1, refine_channels=0)


@pytest.mark.parametrize("frames", [1, 4])
def test_direct_when_untrained_then_the_mosaic_is_nearly_the_mean_of_the_frames(frames: int) -> None:
    torch.manual_seed(0)
    model = Direct(SMALL).eval()
    noisy = burst(frames, 32)
    with torch.no_grad():
        merged = model(noisy, SHOT, READ, frames - 1)
    assert merged.rgb.shape == (1, 3, 64, 64) and merged.mosaic is not None
    assert (merged.mosaic - noisy.mean(1)).abs().max() < 0.05
    assert merged.frames_used is None
    with torch.no_grad():
        model.synthesis_out.weight.mul_(100)
        changed = model(noisy, SHOT, READ, frames - 1).mosaic
    assert (changed - noisy.mean(1)).abs().max() > 0.05


def test_direct_when_training_then_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(1)
    model = Direct(SMALL).train()
    merged = model(burst(3, 16), SHOT, READ, 1)
    assert merged.extra == {}  # there are no kernels for the annealed loss
    (merged.rgb.square().mean() + merged.mosaic.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert not [name for name, _ in model.named_parameters() if "kernel" in name or "color" in name]


def test_direct_when_merged_in_tiles_then_the_picture_is_that_of_one_tile_and_usage_is_unknown() -> None:
    torch.manual_seed(2)
    model = Direct(SMALL).eval()
    scene = make_burst(160, 320)
    whole, tiled = (merge_tiled(scene, model, tile=tile, precision="float32") for tile in (320, 160))
    np.testing.assert_allclose(tiled.data, whole.data, atol=1e-4)
    assert whole.maps.frames_used is None
