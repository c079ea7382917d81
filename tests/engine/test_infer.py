from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from burstfix.align.gather import BurstTile
from burstfix.cfa import CFA_PATTERNS
from burstfix.engine.infer import merge_tiled
from burstfix.engine.tile_reader import BORDER
from burstfix.engine.tiling import SCALE
from burstfix.errors import OutOfMemoryError, UsageError, WeightsError
from burstfix.models.catalog import build
from burstfix.types import Levels, NoiseProfile
from tests.engine.bursts import WHITE, Identity, Mean, SmallNet, make_burst, normalised
from tests.engine.fakes import FakeGpu
from tests.scenes import draw_scene, mosaic_of

CPU = {"device": "cpu"}


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize(("height", "width"), [(2, 2), (7, 5), (16, 33), (97, 64)])
def test_merge_tiled_when_the_model_is_the_identity_then_the_result_is_the_reference(cfa, height, width):
    burst = make_burst(height, width, 2, cfa)
    expected = normalised(burst.frames[burst.reference])
    for tile in (0, 16, 48):
        merged = merge_tiled(burst, Identity(), tile=tile, **CPU).data
        assert merged.shape == (3, height, width) and merged.dtype == np.float32
        np.testing.assert_allclose(merged, np.stack([expected] * 3), atol=1e-6)


def test_merge_tiled_when_black_differs_by_row_and_column_then_every_tile_subtracts_the_right_levels():
    rng = np.random.default_rng(0)
    levels = Levels(
        np.array([[64, 60], [66, 63]], np.float32),
        1023.0,
        rng.uniform(0, 9, 75).astype(np.float32),
        rng.uniform(0, 9, 90).astype(np.float32),
    )
    burst = make_burst(75, 90, 1, "GBRG", levels=levels)
    merged = merge_tiled(burst, Identity(), tile=32, **CPU).data
    np.testing.assert_allclose(merged[0], normalised(burst.frames[0]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "precision", "atol"),
    [("average", "auto", 1e-4), ("net", "float32", 1e-4), ("net", "bfloat16", 3e-3)],
)
@pytest.mark.parametrize(
    ("cfa", "frames", "height", "width"),
    [("RGGB", 1, 150, 170), ("GRBG", 2, 151, 130), ("GBRG", 5, 130, 151), ("BGGR", 9, 121, 133)],
)
def test_merge_tiled_when_tiles_have_another_size_then_the_result_is_the_same(
    name, precision, atol, cfa, frames, height, width
):
    model = SmallNet() if name == "net" else build("average")
    burst = make_burst(height, width, frames, cfa)
    one_tile = merge_tiled(burst, model, tile=1000, precision=precision, **CPU).data
    assert np.isfinite(one_tile).all() and one_tile.std() > 0.01
    for tile in (32, 100):
        merged = merge_tiled(burst, model, tile=tile, precision=precision, **CPU).data
        np.testing.assert_allclose(merged, one_tile, atol=atol)


@pytest.mark.parametrize("name", ["average", "net"])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (5, 90), (31, 3)])
def test_merge_tiled_when_the_picture_is_smaller_than_the_halo_then_it_is_merged(name, height, width):
    model = SmallNet() if name == "net" else build("average")
    merged = merge_tiled(make_burst(height, width, 3, "GRBG"), model, **CPU).data
    assert merged.shape == (3, height, width)
    assert np.isfinite(merged).all()


@pytest.mark.parametrize("name", ["average", "kpn", "two-stage", "deformable-2d", "deformable-3d"])
def test_merge_tiled_when_the_noise_of_black_is_zero_then_black_stays_black(name):
    burst = make_burst(64, 64, 3, levels=Levels(np.zeros((1, 1), np.float32), WHITE))
    below = np.arange(64)[:, None] >= 40
    frames = tuple(replace(frame, mosaic=frame.mosaic * below) for frame in burst.frames)
    burst = replace(burst, frames=frames, noise=NoiseProfile((1e-3,) * 4, (0.0,) * 4))
    merged = merge_tiled(burst, build(name), **CPU).data
    assert np.isfinite(merged).all()
    assert np.abs(merged[:, :16]).max() < (1e-3 if name == "average" else 0.05)  # the networks are untrained


@pytest.mark.parametrize("shift", [0, 2, 40])
@pytest.mark.parametrize("reference", [0, 2])
def test_merge_tiled_when_frames_moved_then_the_model_gets_aligned_frames(shift, reference):
    burst = make_burst(160, 192, 4, shift=shift, reference=reference)
    clean = mosaic_of(draw_scene(160 + 8 * shift, 192 + 8 * shift, seed=3)[:, 4 * shift :, 4 * shift :])
    merged = merge_tiled(burst, Mean(), tile=64, **CPU).data[0]
    inside = np.s_[shift * 4 : 160 - shift * 4 or None, shift * 4 : 192 - shift * 4 or None]
    if shift == 40:  # the fourth frame is shifted by 120 pixels, so only a strip is visible in all frames
        inside = np.s_[:40, :72] if reference == 0 else np.s_[80:120, 80:152]
    truth = clean[:160, :192].numpy()
    error = np.std((merged - truth)[inside])
    single = np.std((normalised(burst.frames[reference]) - truth)[inside])
    assert error < 0.62 * single  # with four frames, at best half the noise remains


def test_merge_tiled_when_pixels_are_hot_then_they_are_repaired_in_every_tiling():
    hot = [(0, 0), (31, 32), (32, 32), (79, 66), (40, 1)]
    burst = make_burst(80, 67, 1, "BGGR", hot_pixels=hot)
    mosaic = burst.frames[0].mosaic
    mosaic.setflags(write=True)
    mosaic[tuple(np.transpose(hot))] = 1023
    mosaic.setflags(write=False)
    merged = merge_tiled(burst, Identity(), **CPU).data
    assert merged[0][tuple(np.transpose(hot))].max() < 0.95
    np.testing.assert_allclose(merge_tiled(burst, Identity(), tile=16, **CPU).data, merged, atol=1e-6)
    untouched = np.ones((80, 67), bool)
    untouched[tuple(np.transpose(hot))] = False
    np.testing.assert_allclose(merged[0][untouched], normalised(burst.frames[0])[untouched], atol=1e-6)


class Limited(Mean):
    """Model that counts its tiles, and runs out of memory above a size (packed pixels, with halo)."""

    def __init__(self, limit: int, error: Exception):
        super().__init__()
        self.limit, self.error, self.merged = limit, error, 0

    def merge_tile(self, tile: BurstTile) -> Tensor:
        if tile.offsets[0].shape[-1] * tile.cell > self.limit:
            raise self.error
        self.merged += 1
        return super().merge_tile(tile)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
        RuntimeError("not enough memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_merge_tiled_when_memory_runs_out_then_tiles_are_halved_and_the_result_is_the_same(error, caplog):
    burst = make_burst(300, 600, 2)
    expected = merge_tiled(burst, Mean(), **CPU).data
    model = Limited(100, error)
    seen: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(
            burst,
            model,
            tile=560,
            progress=lambda s, d, t: seen.append((d, t)) if s == "merge" else None,
            **CPU,
        ).data
    np.testing.assert_allclose(merged, expected, atol=1e-5)
    assert [record.message for record in caplog.records] == [
        "out of memory on cpu: continuing with tiles of 288 sensor pixels",
        "out of memory on cpu: continuing with tiles of 144 sensor pixels",
    ]
    assert seen[0][0] == 0 and seen[-1] == (model.merged, model.merged)
    assert all(later[0] >= earlier[0] for earlier, later in zip(seen, seen[1:], strict=False))


def test_merge_tiled_when_the_smallest_tile_does_not_fit_then_it_raises_out_of_memory():
    model = Limited(10, MemoryError())
    with pytest.raises(OutOfMemoryError, match=r"tiles of 128 pixels \(2 frames, \d+ MB free\)") as caught:
        merge_tiled(make_burst(300, 300, 2), model, **CPU)
    assert caught.value.exit_code == 6


def test_merge_tiled_when_alignment_does_not_fit_then_it_raises_out_of_memory():
    class NoMatch(Mean):
        def match(self, reference, frame, initial):
            raise MemoryError

    with pytest.raises(OutOfMemoryError, match="while aligning the frames"):
        merge_tiled(make_burst(64, 64, 2), NoMatch(), **CPU)


def test_merge_tiled_when_alignment_does_not_fit_on_a_gpu_then_the_cpu_aligns(caplog):
    class NoMatchAtFirst(Mean):
        calls = 0

        def match(self, reference, frame, initial):
            self.calls += 1
            if self.calls == 1:
                raise torch.OutOfMemoryError("out of memory")
            return super().match(reference, frame, initial)

    burst = make_burst(64, 64, 2)
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(burst, NoMatchAtFirst(), device=FakeGpu()).data
    assert caplog.messages == ["out of memory on xpu while aligning: aligning on the CPU"]
    np.testing.assert_array_equal(merged, merge_tiled(burst, Mean(), **CPU).data)


def test_merge_tiled_when_the_smallest_tile_does_not_fit_on_a_gpu_then_the_cpu_finishes(caplog):
    class OnlyOnCpu(Mean):
        def merge_tile(self, tile: BurstTile) -> Tensor:
            if len(caplog.messages) == 0:
                raise torch.OutOfMemoryError("out of memory")
            return super().merge_tile(tile)

    burst = make_burst(64, 64, 2)
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(burst, OnlyOnCpu(), device=FakeGpu()).data
    assert caplog.messages == ["out of memory on xpu with the smallest tiles: continuing on the CPU"]
    np.testing.assert_array_equal(merged, merge_tiled(burst, Mean(), **CPU).data)


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_merge_tiled_when_a_strength_is_given_then_the_tile_has_both_measured_and_assumed_noise(strength):
    seen: list[BurstTile] = []

    class Looks(Mean):
        def merge_tile(self, tile: BurstTile) -> Tensor:
            seen.append(tile)
            return super().merge_tile(tile)

    merge_tiled(make_burst(64, 64, 2, noise=(0.004, 0.0002)), Looks(), strength=strength, **CPU)
    (tile,) = seen
    factor = max(strength, 0.01) ** 2
    gain, variance = tile.assumed_noise()
    assert tile.shot_gain.flatten().tolist() == pytest.approx([0.004] * 4)
    assert tile.read_variance.flatten().tolist() == pytest.approx([0.0002] * 4)
    assert gain.flatten().tolist() == pytest.approx([0.004 * factor] * 4)
    assert variance.flatten().tolist() == pytest.approx([0.0002 * factor] * 4)


def test_merge_tiled_when_the_model_fails_then_its_error_is_not_reported_as_out_of_memory():
    model = Limited(10, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        merge_tiled(make_burst(64, 64, 2), model, **CPU)


class Overflows(Mean):
    """Model with results that are not finite, in bfloat16 or always."""

    def __init__(self, always: bool):
        super().__init__()
        self.info = replace(self.info, supports_bfloat16=True)
        self.always = always

    def merge_tile(self, tile: BurstTile) -> Tensor:
        rgb = super().merge_tile(tile)
        return rgb / 0 if self.always or torch.is_autocast_enabled("cpu") else rgb


def test_merge_tiled_when_a_tile_is_not_finite_in_bfloat16_then_it_is_repeated_in_float32(caplog):
    burst = make_burst(64, 64, 2)
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(burst, Overflows(False), precision="bfloat16", **CPU).data
    np.testing.assert_allclose(merged, merge_tiled(burst, Mean(), **CPU).data, atol=1e-6)
    assert "computing it in float32" in caplog.text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_merge_tiled_when_the_result_is_not_finite_then_it_raises_weights_error(precision):
    with pytest.raises(WeightsError, match="not finite"):
        merge_tiled(make_burst(64, 64, 2), Overflows(True), precision=precision, **CPU)


def test_merge_tiled_when_in_bfloat16_then_it_is_close_to_float32():
    burst = make_burst(100, 100, 3)
    full = merge_tiled(burst, SmallNet(), precision="float32", **CPU).data
    half = merge_tiled(burst, SmallNet(), precision="bfloat16", **CPU).data
    assert 0 < np.abs(full - half).max() < 0.03


@pytest.mark.parametrize(
    ("capabilities", "mixed"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False), (None, False)],
)
def test_merge_tiled_when_precision_is_auto_then_the_dtype_of_networks_depends_on_the_cpu(
    monkeypatch, capabilities, mixed
):
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    burst = make_burst(64, 64, 2)
    for model, expected in ((SmallNet(), mixed), (Mean(), False)):
        seen = []
        merge_tile = model.merge_tile
        model.merge_tile = lambda tile, merge=merge_tile, seen=seen: (
            seen.append(torch.is_autocast_enabled("cpu")) or merge(tile)
        )
        merge_tiled(burst, model, **CPU)
        assert seen == [expected]


def test_merge_tiled_when_progress_is_given_then_both_stages_count_up_to_their_total():
    seen: dict[str, list[tuple[int, int]]] = {}
    merge_tiled(
        make_burst(128, 200, 4),
        Mean(),
        tile=64,
        progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total)),
        **CPU,
    )
    assert list(seen) == ["align", "merge"]
    assert seen["align"] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    totals = {total for _, total in seen["merge"]}
    assert [done for done, _ in seen["merge"]] == list(range(max(totals) + 1)) and len(totals) == 1


def test_merge_tiled_when_it_returns_then_the_model_is_unchanged():
    model = SmallNet().train()
    merge_tiled(make_burst(32, 32, 2), model, **CPU)
    assert model.training and model.first.weight.grad is None
    assert merge_tiled(make_burst(32, 32, 1), Identity().eval(), **CPU).data.sum() != 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cpu", "precision": "int8"}, "precision 'int8' is unknown"),
        ({"device": "cpu", "tile": -1}, "tile -1"),
    ],
)
def test_merge_tiled_when_an_argument_is_invalid_then_it_raises_usage_error(options, words):
    with pytest.raises(UsageError, match=words):
        merge_tiled(make_burst(16, 16, 1), Identity(), **options)


def test_merge_tiled_when_the_size_multiple_is_not_a_multiple_of_cells_then_tiles_are_whole_cells():
    class Checks(Identity):
        def merge_tile(self, tile: BurstTile) -> Tensor:
            height = tile.offsets[0].shape[-2] * tile.cell
            assert tile.top % 12 == 0 and height % 12 == 0
            assert SCALE * height == super().merge_tile(tile).shape[-2]
            return super().merge_tile(tile)

    burst = make_burst(90, 90, 1)
    merged = merge_tiled(burst, Checks(size_multiple=12, halo=12), tile=50, **CPU).data
    np.testing.assert_allclose(merged[0], normalised(burst.frames[0]), atol=1e-6)


def test_merge_tiled_when_tiles_end_at_the_border_then_they_exceed_it_by_less_than_a_halo():
    spans = set()

    class Watched(Identity):
        def merge_tile(self, tile: BurstTile) -> Tensor:
            spans.add((tile.top, tile.top + tile.offsets[0].shape[-2] * tile.cell))
            return super().merge_tile(tile)

    burst = make_burst(200, 40, 1)  # 100 packed rows: whole cells end at row 104
    merged = merge_tiled(burst, Watched(halo=32), tile=64, **CPU).data
    assert min(spans)[0] == -BORDER
    assert max(bottom for _, bottom in spans) == 104 + BORDER
    assert any(bottom - top == 32 + 2 * 32 for top, bottom in spans)
    np.testing.assert_allclose(merged[0], normalised(burst.frames[0]), atol=1e-6)
