"""Kernels of kpn in compiled code, compared with torch."""

from __future__ import annotations

import pytest
import torch

import burstfix.native.kernels as native_kernels
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.native.library import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no compiled loops for this processor")
SMALL = {"channels": 16, "head_channels": 16, "refine_channels": 0, "head_blocks": 1}


def merged(config: KpnConfig, monkeypatch: pytest.MonkeyPatch, *, native: bool, frames: torch.Tensor):
    torch.manual_seed(5)
    model = Kpn(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # otherwise the signed part would be zero
            parameter.add_(0.05 * torch.randn(parameter.shape))
        monkeypatch.setattr("burstfix.models.kpn.can_apply_kernels", lambda *_: native)
        monkeypatch.setattr("burstfix.models.layers.can_convolve", lambda *_: False)
        gain, variance = (
            torch.full((len(frames), 1, 4, 1, 1), 1e-3),
            torch.full((len(frames), 1, 4, 1, 1), 1e-4),
        )
        return model(frames, gain, variance, frames.shape[1] - 1)


def kernel_layer(signed: bool) -> native_kernels.KernelLayer:
    torch.manual_seed(5)
    model = Kpn(KpnConfig(**SMALL, signed=signed, color=False)).eval()
    return model._kernel_layer(model._kernel_weights())


@pytest.mark.parametrize("version", [width for width in (8, 16) if width <= lanes()])
@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (1, 3, 4, 24, 104)),
        ({}, (2, 1, 4, 8, 8)),
        ({"signed": False}, (1, 2, 4, 16, 24)),
        ({"color": False}, (1, 2, 4, 16, 24)),
        ({"kernel": 1}, (1, 2, 4, 16, 24)),
        ({"kernel": 7}, (1, 2, 4, 16, 24)),
    ],
)
def test_apply_kernels_when_compared_with_torch_then_equal(version, changes, shape, monkeypatch):
    monkeypatch.setattr(native_kernels, "lanes", lambda: version)
    frames = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    config = KpnConfig(**SMALL, **changes)
    expected = merged(config, monkeypatch, native=False, frames=frames)
    found = merged(config, monkeypatch, native=True, frames=frames)
    assert torch.allclose(found.mosaic, expected.mosaic, atol=1e-5, rtol=1e-5)
    assert torch.allclose(found.rgb, expected.rgb, atol=1e-5, rtol=1e-5)
    assert torch.allclose(found.frames_used, expected.frames_used, atol=1e-4, rtol=0)


def test_apply_kernels_when_logits_exceed_the_limit_then_equal(monkeypatch):
    frames = torch.rand((1, 2, 4, 16, 16), generator=torch.Generator().manual_seed(1))
    frames[:, 0] *= 1e4  # differences of many standard deviations, large features
    config = KpnConfig(**SMALL)
    expected = merged(config, monkeypatch, native=False, frames=frames)
    found = merged(config, monkeypatch, native=True, frames=frames)
    assert torch.isfinite(found.mosaic).all()
    assert torch.allclose(found.mosaic, expected.mosaic, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("signed", [False, True])
def test_apply_kernels_when_features_are_nan_then_result_is_nan(signed):
    layer, features = kernel_layer(signed), [torch.zeros(1, 16, 4, 4) for _ in range(2)]
    features[1][0, :, 1, 2] = float("nan")
    frames = torch.rand((1, 2, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = native_kernels.apply_kernels(frames, features, layer)
    assert torch.equal(torch.isnan(found.frames_used).nonzero(), torch.tensor([[0, 1, 2]]))
    assert torch.isnan(found.mosaic[..., 2:4, 4:6]).all()
    assert int(torch.isnan(found.mosaic).sum()) == 16


def test_apply_kernels_when_defaults_of_torch_differ_then_equal(other_defaults):
    generator = torch.Generator().manual_seed(1)
    layer, frames = kernel_layer(True), torch.rand((1, 2, 4, 8, 8), generator=generator)
    features = [torch.randn(1, 16, 4, 4, generator=generator) for _ in range(2)]
    with torch.no_grad():
        expected = native_kernels.apply_kernels(frames, features, layer)
        with other_defaults():
            found = native_kernels.apply_kernels(frames, features, layer)
    assert torch.equal(found.mosaic, expected.mosaic)
    assert torch.equal(found.frames_used, expected.frames_used)
