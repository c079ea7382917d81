"""Sampling in space and time, compared with the equations of the paper on deformable kernels."""

import pytest
import torch

from burstfix.models.sampling import reflect_time, sample

BATCH, FRAMES, CHANNELS, HEIGHT, WIDTH, SAMPLES = 2, 4, 3, 6, 7, 5


def problem(frames=FRAMES):
    """Return frames, places (y, x, t) away from whole numbers, and weights, all in float64."""
    generator = torch.Generator().manual_seed(frames)

    def draw(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    def places(size):
        whole = (draw(BATCH, SAMPLES, 2) * (size - 1)).floor()
        return whole + 0.1 + 0.8 * draw(BATCH, SAMPLES, 2)

    source = draw(BATCH, frames, CHANNELS, HEIGHT, WIDTH)
    return source, [places(size) for size in (HEIGHT, WIDTH, frames)], draw(BATCH, SAMPLES, 2) - 0.3


def hat(distance):
    """max(0, 1 - |distance|), the weight of a pixel along one axis in equation 7."""
    return (1 - distance.abs()).clamp(min=0)


def slope(distance):
    """Derivative of `hat`, as in the last factor of equations 13 to 15."""
    inside = torch.where((distance > -1) & (distance < 0), 1.0, -1.0).double()
    return torch.where(distance.abs() >= 1, 0.0, inside)


def distances(places):
    """Return the distances of places (B, K, P) from all pixels of an axis: lists of (B, K, P, size)."""
    return [
        place[..., None] - torch.arange(size, dtype=torch.float64)
        for place, size in zip(places, (HEIGHT, WIDTH, FRAMES), strict=True)
    ]


def summed(source, y, x, t):
    """Sum over all pixels with the given weights along each axis (equation 7)."""
    return torch.einsum("bnchw,bkph,bkpw,bkpn->bckp", source, y, x, t)


def test_sample_when_places_are_fractional_then_it_is_the_sum_of_equation_7():
    source, places, _ = problem()
    expected = summed(source, *map(hat, distances(places)))
    torch.testing.assert_close(sample(source, *places), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sample_when_differentiated_by_a_coordinate_then_the_gradient_is_that_of_equations_13_to_15(axis):
    source, places, weights = problem()
    places = [place.requires_grad_() for place in places]
    (weights[:, None] * sample(source, *places)).sum().backward()
    steep = [slope(d) if i == axis else hat(d) for i, d in enumerate(distances(places))]
    expected = weights * summed(source, *steep).sum(1)
    torch.testing.assert_close(places[axis].grad, expected)


def test_sample_when_weighted_then_the_gradient_of_a_weight_is_the_sample_of_equation_12():
    source, places, weights = problem()
    weights.requires_grad_()
    (weights[:, None] * sample(source, *places)).sum().backward()
    torch.testing.assert_close(weights.grad, sample(source, *places).sum(1))


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_sample_when_checked_numerically_then_all_gradients_are_correct(frames):
    source, (y, x, t), weights = problem(frames)

    def filtered(source, weights, y, x, *t):
        return (weights[:, None] * sample(source, y, x, *t)).sum(2)

    inputs = [source, weights, y, x, *([t] if frames > 1 else [])]
    assert torch.autograd.gradcheck(filtered, [value.detach().requires_grad_() for value in inputs])


def test_sample_when_the_time_is_that_of_the_last_frame_then_it_is_read_exactly():
    source = torch.rand(1, 3, 1, 4, 5)
    y, x, t = (torch.full((1, 1, 1), value) for value in (3.0, 4.0, 2.0))
    torch.testing.assert_close(sample(source, y, x, t)[0, :, 0, 0], source[0, 2, :, 3, 4])


def test_sample_when_at_the_last_row_then_the_next_frame_does_not_show_through():
    source = torch.zeros(1, 3, 1, 4, 5)
    source[:, 1] = 1
    y = torch.tensor([0.0, 3.0]).reshape(1, 1, 2)
    found = sample(source, y, torch.zeros_like(y), torch.full_like(y, 2.0))
    assert found.abs().max() < 1e-5


def test_reflect_time_when_times_are_outside_then_they_stay_in_the_burst_and_keep_their_gradient():
    t = torch.linspace(-3.9, 8.9, 40, requires_grad=True)
    inside = reflect_time(t, 5)
    inside.sum().backward()
    assert inside.min() >= 0 and inside.max() <= 4
    assert (t.grad.abs() == 1).all()
    torch.testing.assert_close(inside[(t >= 0) & (t <= 4)], t[(t >= 0) & (t <= 4)])
