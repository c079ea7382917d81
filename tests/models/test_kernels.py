"""Weighted sums over displacements of every parity, compared with samples read one by one."""

import pytest
import torch
import torch.nn.functional as F

from burstfix.models.kernels import OTHER_COLORS, all_colors, own_color
from burstfix.raw.cfa import pack

PARITIES = [own_color(5), *OTHER_COLORS]
HEIGHT, WIDTH = 6, 8  # size of the packed mosaic
BORDER = 2


def kernels(parity, seed=0):
    """Return random weights for every packed pixel, (2, taps, HEIGHT, WIDTH)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, parity.taps, HEIGHT, WIDTH, generator=generator)


def by_quad(planes):
    """Rearrange (B, K, h, w) to (B, K, 4, h / 2, w / 2)."""
    return F.pixel_unshuffle(planes, 2).unflatten(1, (-1, 4))


def from_quads(x):
    """Rearrange (B, K, 4, h / 2, w / 2) to (B, K, h, w)."""
    return F.pixel_shuffle(x.flatten(1, 2), 2)


def sums(parity, packed, weights):
    """Compute the weighted sums (B, 4, 4, HEIGHT / 2, WIDTH / 2)."""
    padded = F.pad(packed, [BORDER] * 4, mode="replicate")
    return parity.sum_taps(parity.gather(padded, BORDER, 0, HEIGHT // 2), by_quad(weights))


@pytest.mark.parametrize("parity", PARITIES)
def test_sum_taps_when_in_the_interior_then_each_tap_weights_the_sample_at_its_displacement(parity):
    mosaic = torch.randn(2, 2 * HEIGHT, 2 * WIDTH, generator=torch.Generator().manual_seed(1))
    weights = kernels(parity)
    found = from_quads(sums(parity, pack(mosaic), weights))
    displacements = [(dy, dx) for dy in parity.ys for dx in parity.xs]
    for y in range(4, 2 * HEIGHT - 4):
        for x in range(4, 2 * WIDTH - 4):
            expected = sum(
                weights[:, tap, y // 2, x // 2] * mosaic[:, y + dy, x + dx]
                for tap, (dy, dx) in enumerate(displacements)
            )
            plane = 2 * (y % 2) + x % 2
            torch.testing.assert_close(found[:, plane, y // 2, x // 2], expected)


@pytest.mark.parametrize("parity", PARITIES)
def test_sum_taps_when_a_strip_is_gathered_then_the_result_equals_these_rows_of_the_whole(parity):
    packed = torch.randn(2, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    weights = kernels(parity)
    whole = sums(parity, packed, weights)
    padded = F.pad(packed, [BORDER] * 4, mode="replicate")
    strip = parity.sum_taps(parity.gather(padded, BORDER, 1, 2), by_quad(weights)[..., 1:3, :])
    assert torch.equal(strip, whole[..., 1:3, :])


def test_own_color_when_a_kernel_is_five_wide_then_it_reaches_four_sensor_pixels():
    assert own_color(5).ys == own_color(5).xs == (-4, -2, 0, 2, 4)
    assert own_color(5).distances()[12] == 0 and own_color(5).distances()[0] == 32


def test_all_colors_when_each_colour_is_constant_then_every_pixel_has_all_three():
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 4, 1, 1).expand(2, 4, HEIGHT, WIDTH)
    weights = [kernels(parity, seed).abs() for seed, parity in enumerate(PARITIES)]
    parts = [sums(p, level, w) for p, w in zip(PARITIES, weights, strict=True)]
    masses = [by_quad(w.sum(1, keepdim=True)) for w in weights]
    planes = all_colors(torch.stack(parts, 1), torch.stack(masses, 1))
    rgb = F.pixel_shuffle(from_quads(planes), 2)
    expected = torch.tensor([0.1, 0.4, 0.7]).reshape(1, 3, 1, 1).expand(2, 3, 2 * HEIGHT, 2 * WIDTH)
    torch.testing.assert_close(rgb, expected)
