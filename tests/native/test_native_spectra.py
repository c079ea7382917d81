"""Averaging of windows in compiled code, compared with torch."""

from __future__ import annotations

import pytest
import torch

import burstfix.native.spectra as native_spectra
from burstfix.models import average
from burstfix.models.average import Average, AverageConfig
from burstfix.native.library import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no compiled loops for this processor")


@pytest.mark.parametrize("version", [width for width in (8, 16) if width <= lanes()])
@pytest.mark.parametrize("shrinkage", [0.0, 2.0])
@pytest.mark.parametrize("planes", [1, 4])
def test_merge_windows_when_compared_with_torch_then_equal(version, shrinkage, planes, monkeypatch):
    monkeypatch.setattr(native_spectra, "lanes", lambda: version)
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(planes, 3, 5, generator=generator).repeat_interleave(16, 1).repeat_interleave(16, 2)
    frames = [scene + 0.03 * torch.randn(scene.shape, generator=generator) for _ in range(4)]
    frames[2][:, :20] += 0.1  # a part that moved
    variance = 9e-4 * (0.5 + torch.rand(planes, 3, 5, generator=generator))
    model = Average(AverageConfig(shrinkage=shrinkage))
    arguments = (frames[0], variance, average._dct(16), average._pool(16))

    def merged() -> tuple[torch.Tensor, torch.Tensor]:
        return model._merge_windows(arguments[0], iter(frames[1:]), *arguments[1:])

    found, used = merged()
    monkeypatch.setattr(average, "can_merge_windows", lambda *_: False)
    expected, expected_used = merged()
    assert torch.allclose(found, expected, atol=2e-6, rtol=0)
    assert torch.allclose(used, expected_used, atol=1e-5, rtol=0)
    assert float(used.min()) < 3.5 < float(used.max())  # the part that moved is left out


def test_merge_windows_when_variance_is_zero_then_result_is_not_finite(monkeypatch):
    frames = torch.rand(2, 4, 16, 32, generator=torch.Generator().manual_seed(0))
    variance = torch.tensor([0.0, 1e-4]).expand(4, 1, 2)
    arguments = (variance, average._dct(16), average._pool(16))
    found, used = Average()._merge_windows(frames[0], iter(frames[1:]), *arguments)
    monkeypatch.setattr(average, "can_merge_windows", lambda *_: False)
    expected, expected_used = Average()._merge_windows(frames[0], iter(frames[1:]), *arguments)
    assert torch.isnan(found[..., :16]).all()
    assert torch.allclose(found, expected, atol=2e-6, rtol=0, equal_nan=True)
    assert torch.allclose(used, expected_used, atol=1e-5, rtol=0, equal_nan=True)


def test_merge_windows_when_defaults_of_torch_differ_then_equal(other_defaults):
    frames = torch.rand(3, 4, 16, 32, generator=torch.Generator().manual_seed(0))
    variance, dct, pool = torch.full((4, 1, 2), 0.1), average._dct(16), average._pool(16)
    settings = {"content": 4, "tolerance": 1.2, "strength": 0.4, "shrinkage": 1.0}
    expected = native_spectra.merge_windows(frames[0], frames[1:], variance, dct, pool, **settings)
    with other_defaults():
        found = native_spectra.merge_windows(frames[0], frames[1:], variance, dct, pool.double(), **settings)
    assert torch.equal(found.windows, expected.windows)
    assert torch.equal(found.shares, expected.shares)


def test_can_merge_windows_when_windows_have_another_side_then_false():
    assert not native_spectra.can_merge_windows(torch.zeros(4, 32, 32), 8)
    assert not native_spectra.can_merge_windows(torch.zeros(5, 32, 32), 16)
