"""Demosaicking: comparison with a published implementation, and properties."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from burstfix.raw import demosaic
from burstfix.raw.demosaic import MENON_HALO, bilinear, menon
from tests.scenes import add_noise, draw_scene, mosaic_of


def packed_scene(height: int, width: int, seed: int = 0) -> torch.Tensor:
    mosaic = add_noise(mosaic_of(draw_scene(height, width, seed)), 1e-3, 1e-5, seed)
    return F.pixel_unshuffle(mosaic[None, None], 2)


@pytest.mark.parametrize(("ours", "name"), [(menon, "Menon2007"), (bilinear, "bilinear")])
def test_demosaic_when_compared_with_colour_demosaicing_then_interior_agrees(ours, name, monkeypatch):
    reference = pytest.importorskip("colour_demosaicing")
    monkeypatch.setattr(demosaic, "_TIE", 1e-9)  # almost a hard decision, as in the paper
    theirs = getattr(reference, f"demosaicing_CFA_Bayer_{name}")
    packed = packed_scene(180, 140)  # more rows than in one strip
    expected = theirs(F.pixel_shuffle(packed, 2)[0, 0].double().numpy(), "RGGB")
    actual = ours(packed)[0].permute(1, 2, 0).numpy()
    edge = 2 * MENON_HALO
    np.testing.assert_allclose(actual[edge:-edge, edge:-edge], expected[edge:-edge, edge:-edge], atol=1e-4)


@pytest.mark.parametrize("noise", [(0.0, 0.0), (1e-3, 1e-5)])
def test_menon_when_ties_are_blended_then_it_is_as_good_as_colour_demosaicing(noise):
    reference = pytest.importorskip("colour_demosaicing")
    scene = draw_scene(180, 140, 1)
    mosaic = add_noise(mosaic_of(scene), *noise, seed=1)
    theirs = reference.demosaicing_CFA_Bayer_Menon2007(mosaic.double().numpy(), "RGGB")
    ours = menon(F.pixel_unshuffle(mosaic[None, None], 2))[0].permute(1, 2, 0).numpy()
    inside = slice(2 * MENON_HALO, -2 * MENON_HALO)
    truth = scene.permute(1, 2, 0).numpy()[inside, inside]
    ours, theirs = ours[inside, inside], theirs[inside, inside]
    ours_psnr, theirs_psnr = (-10 * np.log10(np.mean((x - truth) ** 2)) for x in (ours, theirs))
    # Measured: equal without noise, 0.001 to 0.003 dB better with noise.
    assert ours_psnr > theirs_psnr - 0.01
    difference = np.abs(ours - theirs).max(-1)
    assert np.mean(difference > 1e-3) < 0.04  # measured: 0.2 percent without noise, 2.7 percent with noise
    assert np.mean(difference > 1e-2) < 1e-3  # measured: 0 percent without noise, 0.04 percent with noise


def test_menon_when_values_change_by_a_rounding_error_then_the_picture_changes_as_little():
    packed = packed_scene(120, 140)
    rounding = 1e-7 * torch.randn(packed.shape, generator=torch.Generator().manual_seed(0))
    assert (menon(packed + rounding) - menon(packed)).abs().max() < 1e-4


@pytest.mark.parametrize("method", [menon, bilinear])
def test_demosaic_when_measured_samples_are_read_back_then_they_are_unchanged(method):
    packed = packed_scene(60, 80)
    rgb = method(packed)
    again = torch.stack([rgb[:, 0, ::2, ::2], rgb[:, 2, 1::2, 1::2]], 1)
    torch.testing.assert_close(again, packed[:, [0, 3]])


@pytest.mark.parametrize("method", [menon, bilinear])
def test_demosaic_when_scene_is_flat_then_colour_is_exact_up_to_the_border(method):
    packed = torch.tensor([0.2, 0.5, 0.5, 0.3]).reshape(1, 4, 1, 1).expand(2, 4, 20, 30)
    expected = torch.tensor([0.2, 0.5, 0.3]).reshape(1, 3, 1, 1).expand(2, 3, 40, 60)
    torch.testing.assert_close(method(packed), expected)


def test_menon_when_cut_into_tiles_with_halo_then_equals_the_whole():
    packed = packed_scene(160, 160)
    whole = menon(packed)
    tile = menon(packed[..., 24:56, 16:56])[
        ..., 2 * MENON_HALO : -2 * MENON_HALO, 2 * MENON_HALO : -2 * MENON_HALO
    ]
    torch.testing.assert_close(tile, whole[..., 64:96, 48:96], rtol=0, atol=1e-6)


def test_menon_when_colour_follows_brightness_then_error_is_a_quarter_of_bilinear():
    # In fine texture of one hue, colour minus green changes slowly, as the method assumes.
    scene = draw_scene(160, 160, 3).mean(0, keepdim=True) * torch.tensor([0.8, 1.0, 0.7]).reshape(3, 1, 1)
    packed = F.pixel_unshuffle(mosaic_of(scene)[None, None], 2)
    errors = [F.mse_loss(method(packed)[0], scene).item() for method in (menon, bilinear)]
    assert errors[0] < 0.25 * errors[1]
