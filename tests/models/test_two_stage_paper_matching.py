"""Coarse alignment of the two-stage network: offsets at high noise, borders, differentiable form."""

import math

import pytest
import torch
import torch.nn.functional as F

from burstfix.errors import UsageError
from burstfix.models.two_stage_paper import TwoStagePaper, TwoStagePaperConfig
from burstfix.raw.cfa import pack
from tests.scenes import add_noise, draw_scene, mosaic_of

SMALL = TwoStagePaperConfig(channels=8, groups=2, feature_blocks=1, unet=(8, 8, 8))


def _model(seed: int = 0) -> TwoStagePaper:
    torch.manual_seed(seed)
    return TwoStagePaper(SMALL)


def _noisy(rgb: torch.Tensor, seed: int) -> torch.Tensor:
    return add_noise(pack(mosaic_of(rgb)), 6.4e-3, 4e-4, seed)[None]


def _seen(scene: torch.Tensor, height: int, width: int, dy: float, dx: float, angle: float) -> torch.Tensor:
    """Render a frame in which point p of the reference is at rotate(angle) @ p + (dy, dx) from the centre."""
    ys, xs = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2 - dy,
        torch.arange(width) - (width - 1) / 2 - dx,
        indexing="ij",
    )
    c, s = math.cos(angle), math.sin(angle)
    py, px = c * ys - s * xs, s * ys + c * xs
    grid = torch.stack([2 * px / scene.shape[-1], 2 * py / scene.shape[-2]], -1)
    return F.grid_sample(scene[None], grid[None].float(), mode="bicubic", align_corners=False)[0].clamp(0, 1)


@pytest.mark.parametrize("dy, dx, degrees", [(11, -23, 0.3), (-120, 160, 1.0)])
def test_match_when_frames_are_shifted_and_rotated_at_high_noise_then_offsets_are_found(dy, dx, degrees):
    height, width, angle = 640, 768, math.radians(degrees)
    scene = draw_scene(440, 440).repeat(1, 3, 3)
    reference = _noisy(_seen(scene, height, width, 0, 0, 0), 0)
    frame = _noisy(_seen(scene, height, width, dy, dx, angle), 1)
    gy, gx = height // 16, width // 16
    model = _model()
    # The initial offsets are wrong by 9 packed pixels and lack the rotation.
    guess = torch.tensor([dy / 2 + 9, dx / 2 - 9])[None, :, None, None].expand(1, 2, gy, gx)
    field = model.match(model.features(reference, None, None), model.features(frame, None, None), guess)  # type: ignore[arg-type]
    assert field.cell == 8 and field.offsets.shape == (1, 2, gy, gx) and field.offsets.dtype == torch.int64
    # True offset at the centre of the patch of each cell, in packed pixels from the centre of the picture.
    ys, xs = torch.meshgrid(
        torch.arange(gy) // 8 * 64 + 32 - height / 4,
        torch.arange(gx) // 8 * 64 + 32 - width / 4,
        indexing="ij",
    )
    truth_y = math.cos(angle) * ys + math.sin(angle) * xs + dy / 2 - ys
    truth_x = -math.sin(angle) * ys + math.cos(angle) * xs + dx / 2 - xs
    overlaps = ((ys + truth_y).abs() < height / 4 - 32) & ((xs + truth_x).abs() < width / 4 - 32)
    error = (field.offsets[0] - torch.stack([truth_y, truth_x])).abs().amax(0)[overlaps]
    assert (error <= 4).float().mean() > 0.9
    assert error.median() <= 1


def test_match_when_the_picture_size_is_not_a_multiple_of_the_patch_then_border_patches_are_matched():
    scene = draw_scene(300, 340)
    reference, frame = _noisy(scene[:, 10:234, 10:282], 0), _noisy(scene[:, 2:226, 18:290], 1)
    model = _model()
    field = model.match(reference, frame, torch.zeros(1, 2, 14, 17))
    assert field.offsets.shape == (1, 2, 14, 17)
    error = (field.offsets - torch.tensor([4, -4])[None, :, None, None]).abs().amax(1)
    assert error[:, :8, :16].max() <= 2


def test_align_soft_when_temperature_is_low_then_patches_equal_the_shifted_frames():
    scene = draw_scene(256, 256)
    shifts = (
        (0, 0),
        (8, -16),
        (-24, 8),
        (-32, 24),
    )  # in sensor pixels; at most 16 between consecutive frames
    clean = torch.stack([pack(mosaic_of(scene.roll(shift, (1, 2)))) for shift in shifts])[None]
    frames = clean + 0.01 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    soft = _model().align_soft(frames, 0, margin=32, temperature=1e-4, clean=clean)
    assert soft.frames.shape == (1, 4, 4, 64, 64)
    torch.testing.assert_close(soft.frames[:, 0], frames[:, 0, :, 32:-32, 32:-32])
    assert soft.offsets[0].tolist() == [[dy // 2, dx // 2] for dy, dx in shifts]
    assert (soft.frames - soft.frames[:, :1]).abs().mean() < 0.02
    assert soft.one_hot < 0.05


def test_align_soft_when_temperature_rises_then_the_one_hot_loss_grows():
    frames = torch.stack([_noisy(draw_scene(192, 192), seed)[0] for seed in range(3)])[None]
    model = _model()
    low, high = (model.align_soft(frames, 1, margin=16, temperature=t) for t in (1e-3, 1.0))
    assert low.one_hot < high.one_hot
    assert high.one_hot > 0.9  # 25 nearly equal weights
    assert low.supervision == 0


def test_align_soft_when_frames_equal_the_clean_ones_then_supervision_compares_all_scores():
    clean = torch.stack([pack(mosaic_of(draw_scene(192, 192, seed))) for seed in (0, 0)])[None]
    model = _model()
    assert model.align_soft(clean, 0, margin=16, temperature=1e-2, clean=clean).supervision > 0


def test_align_soft_when_there_is_one_frame_then_the_result_is_its_patch():
    frames = torch.rand(1, 1, 4, 96, 96)
    soft = _model().align_soft(frames, 0, margin=16, temperature=1e-2)
    torch.testing.assert_close(soft.frames, frames[..., 16:-16, 16:-16])


def test_align_soft_when_the_model_matches_blocks_then_usage_error():
    with pytest.raises(UsageError):
        TwoStagePaper(TwoStagePaperConfig(coarse="blocks")).align_soft(
            torch.rand(1, 2, 4, 96, 96), 0, margin=16, temperature=1e-2
        )
