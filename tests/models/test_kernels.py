"""Sums over displacements of every parity, against samples looked up one by one."""

import pytest
import torch

from burstfix.models.kernels import OTHER_COLORS, all_colors, own_color
from burstfix.raw.cfa import pack

PARITIES = [own_color(5), *OTHER_COLORS]
HEIGHT, WIDTH = 6, 8  # of the packed mosaic


def kernels(parity, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, parity.taps, HEIGHT, WIDTH, generator=generator)


@pytest.mark.parametrize("parity", PARITIES)
def test_sum_taps_when_inside_then_each_tap_weighs_the_sample_at_its_displacement(parity):
    mosaic = torch.randn(2, 2 * HEIGHT, 2 * WIDTH, generator=torch.Generator().manual_seed(1))
    weights = kernels(parity)
    found = parity.sum_taps(parity.gather(pack(mosaic)), weights)
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
def test_gather_when_at_the_border_then_repeats_the_outermost_sample_of_the_plane(parity):
    level = torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(1, 4, 1, 1)
    around = parity.gather(level.expand(1, 4, HEIGHT, WIDTH))
    assert around.shape == (1, 4, HEIGHT + len(parity.ys) - 1, WIDTH + len(parity.xs) - 1)
    torch.testing.assert_close(around, around[:, :, :1, :1].expand_as(around))


def test_own_color_when_a_kernel_is_five_wide_then_it_reaches_four_sensor_pixels():
    assert own_color(5).ys == own_color(5).xs == (-4, -2, 0, 2, 4)
    assert own_color(5).distances()[12] == 0 and own_color(5).distances()[0] == 32


def test_all_colors_when_each_colour_is_constant_then_every_pixel_has_all_three():
    level = torch.tensor([0.1, 0.4, 0.4, 0.7]).reshape(1, 4, 1, 1).expand(2, 4, HEIGHT, WIDTH)
    weights = [kernels(parity, seed).abs() for seed, parity in enumerate(PARITIES)]
    sums = [p.sum_taps(p.gather(level), w) for p, w in zip(PARITIES, weights, strict=True)]
    masses = [w.sum(1, keepdim=True) for w in weights]
    rgb = all_colors(torch.stack(sums, 1), torch.stack(masses, 1))
    expected = torch.tensor([0.1, 0.4, 0.7]).reshape(1, 3, 1, 1).expand(2, 3, 2 * HEIGHT, 2 * WIDTH)
    torch.testing.assert_close(rgb, expected)
