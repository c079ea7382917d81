"""The merge without a network: noise reduction, rejection of motion, independence of order and tiles."""

import pytest
import torch
import torch.nn.functional as F

from burstfix.align.gather import BurstTile
from burstfix.models.average import Average, AverageConfig
from burstfix.raw.demosaic import menon
from tests.scenes import add_noise, draw_scene, mosaic_of

SHOT_GAIN, READ_VARIANCE = 6.4e-3, 4e-4


def profile(value: float) -> torch.Tensor:
    return torch.full((1, 1, 4, 1, 1), value)


def packed(rgb: torch.Tensor, seed: int) -> torch.Tensor:
    return F.pixel_unshuffle(add_noise(mosaic_of(rgb), SHOT_GAIN, READ_VARIANCE, seed)[None], 2)


def merged(frames: torch.Tensor, reference: int = 0, **config: float) -> torch.Tensor:
    result = Average(AverageConfig(**config))(
        frames[None], profile(SHOT_GAIN), profile(READ_VARIANCE), reference
    ).mosaic
    assert result is not None
    return result[0]


@pytest.fixture(scope="module")
def scene():
    return 0.4 * draw_scene(192, 224, 4)


def test_average_when_scene_is_static_then_noise_is_reduced_as_by_a_plain_mean(scene):
    clean = F.pixel_unshuffle(mosaic_of(scene)[None], 2)
    frames = torch.stack([packed(scene, seed) for seed in range(6)])
    plain = (frames.mean(0) - clean).square().mean()
    ours = (merged(frames, shrinkage=0.0) - clean).square().mean()
    assert ours < 1.05 * plain


def test_average_when_wiener_filter_is_on_then_noise_is_lower_and_detail_is_kept(scene):
    clean = F.pixel_unshuffle(mosaic_of(scene)[None], 2)
    frames = torch.stack([packed(scene, seed) for seed in range(6)])
    plain = (merged(frames, shrinkage=0.0) - clean).square().mean()
    filtered = merged(frames)
    assert (filtered - clean).square().mean() < 0.75 * plain
    # Blurring would lower the energy of differences between neighbours.
    sharp, kept = (x.diff(dim=-1).square().mean() for x in (clean, filtered))
    assert kept > 0.9 * sharp


def test_average_when_windows_are_filtered_then_their_means_are_unchanged():
    # The signal is faint, so a filter that changes the means would remove most of it.
    frames = 0.003 + 0.02 * torch.randn(4, 4, 64, 64, generator=torch.Generator().manual_seed(2))
    plain, filtered = (merged(frames, shrinkage=value) for value in (0.0, 50.0))
    assert float(filtered.mean()) == pytest.approx(float(plain.mean()), rel=0.15)
    assert filtered.std() < 0.5 * plain.std()


def test_average_when_an_object_is_only_in_other_frames_then_there_is_no_ghost(scene):
    clean = F.pixel_unshuffle(mosaic_of(scene)[None], 2)
    other = scene.clone()
    other[:, 60:120, 80:150] = 0.8
    frames = torch.stack([packed(scene, 0)] + [packed(other, seed) for seed in range(1, 5)])
    change = (merged(frames) - clean)[:, 30:60, 40:75]
    alone = (frames[0] - clean)[:, 30:60, 40:75]
    # The error is not larger than that of the reference alone.
    assert change.square().mean() < 1.1 * alone.square().mean()
    assert change.mean().abs() < 0.005


def test_average_when_given_one_frame_then_it_only_demosaicks(scene):
    frame = packed(scene, 0)[None]
    result = Average()(frame[None], profile(SHOT_GAIN), profile(READ_VARIANCE), 0)
    torch.testing.assert_close(result.rgb, menon(frame))


def test_average_when_frames_are_reordered_then_the_result_is_equal(scene):
    frames = torch.stack([packed(scene, seed) for seed in range(5)])
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(merged(frames, 1), merged(frames[order], 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 0.005, 0.02, 0.1])
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("clipped", [True, False])
def test_average_when_shadows_are_clipped_or_not_then_their_mean_equals_the_signal(signal, count, clipped):
    frames = add_noise(torch.full((count, 4, 96, 96), signal), SHOT_GAIN, READ_VARIANCE, seed=5)
    if clipped:
        frames = frames.clamp(min=0)
        excess = float(frames.mean()) - signal
        assert excess > 0.007 or signal > 0.0
    # Without the correction, the mean at 0 would be 0.008.
    assert float(merged(frames).mean()) == pytest.approx(signal, abs=0.0016 if signal == 0 else 0.0005)


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_average_when_a_strength_is_given_then_shadows_are_corrected_for_the_measured_noise(strength):
    frames = add_noise(torch.zeros(5, 4, 96, 96), SHOT_GAIN, READ_VARIANCE, seed=5).clamp(min=0)
    fields = (torch.zeros(2, 12, 12, dtype=torch.long),) * 5
    tile = BurstTile(
        tuple(frames), ((0, 0),) * 5, fields, 8, 0, 0, 0, profile(SHOT_GAIN), profile(READ_VARIANCE), strength
    )
    uncorrected = float(frames.mean())
    assert uncorrected > 0.007
    assert float(Average().merge_mosaic(tile).mean()) < 0.25 * uncorrected


@pytest.mark.parametrize("count", [1, 4])
def test_average_when_cut_into_tiles_then_result_does_not_depend_on_the_grid(scene, count):
    frames = [packed(scene, seed).clamp(min=0) for seed in range(count)]
    height, width = frames[0].shape[-2:]
    generator = torch.Generator().manual_seed(0)
    fields = [torch.randint(-3, 4, (2, height // 8, width // 8), generator=generator) for _ in frames]
    fields[0] = torch.zeros_like(fields[0])
    model = Average()

    def tile(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
        cells = slice(top // 8, bottom // 8), slice(left // 8, right // 8)
        parts = tuple(field[:, cells[0], cells[1]] for field in fields)
        origins = ((0, 0),) * count
        return model.merge_tile(
            BurstTile(
                tuple(frames), origins, parts, 8, top, left, 0, profile(SHOT_GAIN), profile(READ_VARIANCE)
            )
        )

    whole = tile(0, 0, height, width)
    halo = model.info.halo
    top, left, side = 32, 40, 24
    part = tile(top - halo, left - halo, top + side + halo, left + side + halo)
    inner = part[:, 2 * halo : 2 * (halo + side), 2 * halo : 2 * (halo + side)]
    torch.testing.assert_close(
        inner, whole[:, 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)], rtol=0, atol=1e-5
    )
