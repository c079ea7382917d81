"""Deformable convolution: comparison with a plain convolution and with a slow loop, and bfloat16."""

import pytest
import torch
import torch.nn.functional as F

from burstfix.models.deformable import DeformableConv, PyramidAlign, deform_conv


def _random_case(groups: int = 2, channels: int = 4, h: int = 7, w: int = 9):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return (
        normal(2, channels, h, w),
        2 * normal(2, 2 * groups * 9, h, w),
        torch.rand(2, groups * 9, h, w, generator=generator),
        normal(3, channels, 3, 3),
        normal(3),
    )


def _by_loops(x, offsets, mask, weight, bias):
    """Compute equation 1 of Deformable ConvNets v2 sample by sample."""
    batch, channels, h, w = x.shape
    groups = mask.shape[1] // 9
    out = bias[None, :, None, None].expand(batch, -1, h, w).clone()

    def pixel(b, c, yy, xx):
        return x[b, c, yy, xx] if 0 <= yy < h and 0 <= xx < w else torch.tensor(0.0)

    for b in range(batch):
        for y in range(h):
            for xx in range(w):
                for c in range(channels):
                    group = c // (channels // groups)
                    for tap in range(9):
                        place = 2 * (group * 9 + tap)
                        py = y + tap // 3 - 1 + float(offsets[b, place, y, xx])
                        px = xx + tap % 3 - 1 + float(offsets[b, place + 1, y, xx])
                        y0, x0 = int(py // 1), int(px // 1)
                        fy, fx = py - y0, px - x0
                        value = (1 - fy) * ((1 - fx) * pixel(b, c, y0, x0) + fx * pixel(b, c, y0, x0 + 1))
                        value += fy * ((1 - fx) * pixel(b, c, y0 + 1, x0) + fx * pixel(b, c, y0 + 1, x0 + 1))
                        value = value * mask[b, group * 9 + tap, y, xx]
                        out[b, :, y, xx] += weight[:, c, tap // 3, tap % 3] * value
    return out


def test_deform_conv_when_offsets_are_zero_then_it_equals_a_convolution():
    x, offsets, mask, weight, bias = _random_case()
    got = deform_conv(x, torch.zeros_like(offsets), torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(got, F.conv2d(x, weight, bias, padding=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps_at_once", [9, 4, 1])
def test_deform_conv_when_offsets_are_random_then_it_equals_an_explicit_sum(taps_at_once):
    case = _random_case(h=4, w=5)
    got = deform_conv(*case, taps_at_once=taps_at_once)
    torch.testing.assert_close(got, _by_loops(*case), atol=1e-4, rtol=1e-4)


def test_deform_conv_when_offset_is_a_whole_shift_then_content_moves_by_it():
    x, offsets, mask, weight, bias = _random_case()
    offsets = torch.zeros_like(offsets)
    offsets[:, 0::2], offsets[:, 1::2] = 2.0, -1.0
    got = deform_conv(x, offsets, torch.ones_like(mask), weight, bias)
    moved = torch.roll(x, (-2, 1), (2, 3))
    expected = F.conv2d(moved, weight, bias, padding=1)
    torch.testing.assert_close(got[:, :, 1:-3, 2:-1], expected[:, :, 1:-3, 2:-1], atol=1e-5, rtol=1e-5)


def test_deform_conv_when_differentiated_then_gradients_match_finite_differences():
    case = [part.double().requires_grad_() for part in _random_case(groups=1, channels=2, h=3, w=3)]

    def run(*parts):
        # the computation is in float32, which determines the tolerance
        return deform_conv(*parts).sum()

    run(*case).backward()
    for part in case[:3]:
        place = (0,) * part.dim()
        step = torch.zeros_like(part)
        step[place] = 1e-3
        with torch.no_grad():
            plus = run(*[p + step if p is part else p for p in case])
            minus = run(*[p - step if p is part else p for p in case])
        assert part.grad is not None
        assert float(part.grad[place]) == pytest.approx(float((plus - minus) / 2e-3), abs=2e-2)


def test_deformable_conv_when_autocast_is_bfloat16_then_coordinates_stay_float32():
    torch.manual_seed(0)
    layer = DeformableConv(4, 2, max_offset=0.0)
    with torch.no_grad():
        layer.offset_mask.weight.zero_()
        layer.offset_mask.bias[:36] = 5.3  # 5.3125 in bfloat16
        layer.conv.weight.zero_()
        layer.conv.weight[:, 0, 1, 1] = 1
    # The ramp is zero at the sampling position of column 32, so that bfloat16 values do not hide the
    # coordinates.
    ramp = (torch.arange(64.0) - 37.3).expand(1, 4, 64, 64).contiguous()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(ramp, torch.zeros_like(ramp)).detach().float()
    assert mixed[..., 10:20, 31].mean() == pytest.approx(-0.5, abs=0.01)  # the mask is a half
    assert mixed[..., 10:20, 32].abs().max() < 1e-3


def test_deformable_conv_when_offsets_are_bounded_then_far_pixels_do_not_matter():
    torch.manual_seed(0)
    layer = DeformableConv(4, 2, max_offset=3.0)
    with torch.no_grad():
        layer.offset_mask.weight.normal_(std=10)
    guide, x = torch.randn(1, 4, 32, 32), torch.randn(1, 4, 32, 32)
    changed = x.clone()
    changed[..., :8] += 100
    same = layer(x, guide)[..., 13:] == layer(changed, guide)[..., 13:]  # 8 + 3 + 1 and the pixel between
    assert same.all()


@pytest.mark.parametrize("max_offset", [0.0, 8.0])
def test_pyramid_align_when_frames_are_batched_then_each_is_aligned_independently(max_offset):
    torch.manual_seed(0)
    align = PyramidAlign(8, 2, max_offset)
    frames, reference = torch.randn(3, 8, 16, 24), torch.randn(3, 8, 16, 24)
    together = align(align.pyramid(frames), align.pyramid(reference))
    alone = align(align.pyramid(frames[1:2]), align.pyramid(reference[1:2]))
    assert together.shape == frames.shape
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)
