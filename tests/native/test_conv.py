"""Convolutions in compiled code, compared with torch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

import burstfix.native.conv as native_conv
from burstfix.models.layers import SLOPE, Conv, Residual
from burstfix.native.conv import can_convolve, convolve
from burstfix.native.library import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no compiled loops for this processor")
VERSIONS = [width for width in (8, 16) if width <= lanes()]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def exact(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    assert conv.bias is not None
    return F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)


def picture(batch: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("channels", [(16, 16), (32, 48), (48, 48), (64, 32), (96, 128), (240, 96)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (17, 30), (41, 22)])
def test_convolve_when_size_is_odd_then_every_pixel_is_right(version, channels, size, monkeypatch):
    monkeypatch.setattr(native_conv, "lanes", lambda: version)
    conv, x = Conv(*channels), picture(1, channels[0], *size)
    found = convolve(conv, x)
    assert torch.allclose(found.double(), exact(conv, x), atol=1e-4, rtol=0)


def test_convolve_when_batch_threads_and_summand_are_given_then_result_is_right():
    conv, x, add = Conv(32, 48), picture(3, 32, 50, 61), picture(3, 48, 50, 61, seed=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = convolve(conv, x, add=add, slope=SLOPE)
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(found.double(), F.leaky_relu(exact(conv, x) + add, SLOPE), atol=1e-4, rtol=0)


def test_convolve_when_autocast_is_on_then_result_is_rounded_once():
    conv, x = Conv(48, 48), picture(1, 48, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(conv, x.bfloat16())
    assert found.dtype == torch.bfloat16
    error = (found.double() - exact(conv, x.bfloat16())).abs()
    assert (error <= 2.0**-8 * found.double().abs() + 1e-4).all()  # half of the last place


def test_convolve_when_input_is_not_finite_then_neither_is_the_result():
    conv, x = Conv(16, 16), picture(1, 16, 12, 12)
    x[0, 3, 6, 6] = float("nan")
    assert torch.isnan(convolve(conv, x, slope=SLOPE)[0, :, 6, 6]).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isnan(convolve(conv, x.bfloat16())[0, :, 6, 6]).all()


def test_convolve_when_a_nan_has_all_bits_then_bfloat16_result_is_nan():
    conv, x = Conv(16, 16), picture(1, 16, 12, 12)
    x.view(torch.int32)[0, 3, 6, 6] = -1  # such a NaN would overflow when it is rounded
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isnan(convolve(conv, x)[0, :, 6, 6]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_convolve_when_summand_has_another_dtype_then_result_is_right(dtype):
    conv, x, add = Conv(16, 16), picture(1, 16, 9, 9), picture(1, 16, 9, 9, seed=1).to(dtype)
    assert torch.allclose(convolve(conv, x, add=add).double(), exact(conv, x) + add, atol=1e-4, rtol=0)


def test_convolve_when_defaults_of_torch_differ_then_result_is_right(other_defaults):
    conv, x = Conv(16, 16), picture(1, 16, 9, 9)
    with other_defaults():
        found = convolve(conv, x)
    assert torch.allclose(found.double(), exact(conv, x), atol=1e-4, rtol=0)


def test_convolve_when_weights_are_replaced_then_the_new_ones_are_used():
    conv, x = Conv(16, 16), picture(1, 16, 9, 9)
    for seed in range(20):  # new weights can get the address of previous ones
        weight = picture(16, 16, 3, 3, seed)
        found = functional_call(conv, {"weight": weight}, (x,))
        expected = F.conv2d(x, weight, conv.bias, padding=1)
        del weight
        assert torch.allclose(found, expected, atol=1e-3, rtol=0)


def test_conv_when_created_in_inference_mode_then_torch_computes():
    with torch.inference_mode():
        conv, x = Conv(16, 16), picture(1, 16, 9, 9)
        assert not can_convolve(conv, x)
        assert torch.allclose(conv(x).double(), exact(conv, x), atol=1e-4, rtol=0)


def test_convolve_when_weights_change_then_the_new_ones_are_used():
    conv, x = Conv(16, 16), picture(1, 16, 9, 9)
    convolve(conv, x)
    assert conv.bias is not None
    conv.weight.mul_(2)
    conv.bias.add_(1)
    assert torch.allclose(convolve(conv, x).double(), exact(conv, x), atol=1e-4, rtol=0)


def test_convolve_when_memory_runs_out_then_memory_error(monkeypatch):
    class Full:
        def burstfix_conv(self, *_: object) -> int:
            return 1

        def burstfix_panel(self, channels: int, _: int) -> int:
            return channels

    monkeypatch.setattr(native_conv, "library", Full)
    with pytest.raises(MemoryError):
        convolve(Conv(16, 16), picture(1, 16, 9, 9))


def test_can_convolve_when_unsupported_then_false():
    conv, x = Conv(16, 16), picture(1, 16, 9, 9)
    assert can_convolve(conv, x)
    assert not can_convolve(Conv(12, 16), picture(1, 12, 9, 9))
    assert not can_convolve(Conv(16, 16, stride=2), x)
    assert not can_convolve(conv, x.half())
    assert not can_convolve(conv, x.to("meta"))
    with torch.enable_grad():
        assert not can_convolve(conv, x)


def test_residual_when_torch_computes_then_result_is_the_same(monkeypatch):
    block, x = Residual(48), picture(2, 48, 21, 34)
    found = block(x)
    monkeypatch.setattr("burstfix.models.layers.can_convolve", lambda *_: False)
    assert torch.allclose(found, block(x), atol=1e-4, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)
