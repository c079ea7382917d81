from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from burstfix.align.gather import BurstTile
from burstfix.engine.check import check_device
from burstfix.engine.device import CudaDevice
from burstfix.engine.infer import merge_tiled
from burstfix.engine.tile_size import FLOOR, automatic_side
from burstfix.models.base import BurstModel
from burstfix.models.catalog import build, names
from tests.engine.bursts import Identity, Mean, SmallNet, make_burst, normalised

pytestmark = pytest.mark.gpu

CUDA = "cuda"
SMALL_CONFIGS = {
    "kpn": {"channels": 8, "head_channels": 8, "head_blocks": 1},
    "two-stage": {"channels": 16, "groups": 4, "head_channels": 8, "head_blocks": 1},
    "two-stage-paper": {
        "channels": 16,
        "groups": 4,
        "feature_blocks": 1,
        "unet": [8, 8, 8],
        "unet_blocks": False,
    },
}


def small_model(name: str) -> BurstModel:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return SmallNet() if name == "net" else build(name, SMALL_CONFIGS.get(name))


@pytest.mark.parametrize("name", ["net", *names()])
def test_merge_tiled_when_on_cuda_in_float32_then_it_is_close_to_the_cpu(name):
    burst = make_burst(200, 230, 4, "GRBG")
    model = small_model(name)
    on_cpu = merge_tiled(burst, model, device="cpu", precision="float32").data
    on_cuda = merge_tiled(burst, model, device=CUDA, precision="float32").data
    difference = np.abs(on_cpu - on_cuda)
    # The tolerance covers TF32 convolutions, and rare cells of flat areas with two equally good offsets.
    assert np.median(difference) < 2e-3 and difference.mean() < 3e-3


@pytest.mark.parametrize("name", ["net", *names()])
def test_merge_tiled_when_in_bfloat16_then_it_is_close_to_float32(name):
    burst = make_burst(200, 230, 4)
    model = small_model(name)
    full = merge_tiled(burst, model, device=CUDA, precision="float32").data
    half = merge_tiled(burst, model, device=CUDA).data
    assert np.isfinite(half).all()
    assert np.abs(full - half).mean() < 0.01


@pytest.mark.parametrize("name", ["net", *names()])
def test_merge_tiled_when_tiles_have_another_size_then_the_result_on_cuda_is_the_same(name):
    burst = make_burst(300, 310, 3, "BGGR")
    model = small_model(name)
    allow = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # otherwise rounding depends on the size
    try:
        one, many = (
            merge_tiled(burst, model, device=CUDA, precision="float32", tile=tile).data
            for tile in (2000, 128)
        )
    finally:
        torch.backends.cudnn.allow_tf32 = allow
    np.testing.assert_allclose(many, one, atol=1e-4)


def test_merge_tiled_when_precision_is_not_given_then_cuda_computes_in_bfloat16():
    seen = []

    class Looks(SmallNet):
        def merge_tile(self, tile: BurstTile) -> Tensor:
            seen.append((torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")))
            assert tile.sources[0].is_cuda and tile.sources[0].dtype == torch.float32
            return super().merge_tile(tile)

    merge_tiled(make_burst(64, 64, 2), Looks(), device=CUDA)
    assert seen == [(True, torch.bfloat16)]


class Greedy(Mean):
    """A model that allocates CUDA memory for each packed pixel of the tile, including the halo."""

    def __init__(self, bytes_per_pixel: int):
        super().__init__()
        self.greed = bytes_per_pixel

    def merge_tile(self, tile: BurstTile) -> Tensor:
        if tile.sources[0].is_cuda:
            pixels = tile.offsets[0][0].numel() * tile.cell**2
            taken = torch.empty(pixels * self.greed, dtype=torch.uint8, device=CUDA)
            assert taken.is_cuda
        return super().merge_tile(tile)


@pytest.fixture
def one_gigabyte():
    """Limit the GPU memory of this process, so that it runs out on any GPU."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1e9 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_merge_tiled_when_cuda_memory_runs_out_then_tiles_are_halved(one_gigabyte, caplog):
    burst = make_burst(600, 600, 2)
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(burst, Greedy(20_000), device=CUDA, precision="float32", tile=600).data
    np.testing.assert_allclose(merged, merge_tiled(burst, Mean(), device="cpu").data, atol=1e-4)
    assert caplog.messages == ["out of memory on cuda: continuing with tiles of 304 sensor pixels"]


def test_merge_tiled_when_even_small_tiles_do_not_fit_on_cuda_then_the_cpu_finishes(one_gigabyte, caplog):
    burst = make_burst(300, 300, 2)
    with caplog.at_level(logging.WARNING, "burstfix"):
        merged = merge_tiled(burst, Greedy(1_000_000), device=CUDA, precision="float32").data
    np.testing.assert_allclose(merged, merge_tiled(burst, Mean(), device="cpu").data, atol=1e-4)
    assert caplog.messages[-1] == "out of memory on cuda with the smallest tiles: continuing on the CPU"


def test_merge_tiled_when_done_on_cuda_then_the_model_is_on_the_cpu_and_memory_is_free():
    model = SmallNet()
    merge_tiled(make_burst(64, 64, 2), model, device=CUDA)
    assert not next(model.parameters()).is_cuda
    kept = torch.cuda.memory_allocated()  # libraries of CUDA keep working memory
    merge_tiled(make_burst(64, 64, 2), model, device=CUDA)
    assert torch.cuda.memory_allocated() <= kept


def test_merge_tiled_when_padded_to_phase_then_cuda_reads_the_same_pixels():
    burst = make_burst(33, 47, 1, "BGGR")
    merged = merge_tiled(burst, Identity(), device=CUDA, tile=32).data
    np.testing.assert_allclose(merged[0], normalised(burst.frames[0]), atol=1e-6)


def test_automatic_side_when_on_cuda_then_the_tile_fits_the_free_memory():
    free = CudaDevice().free_memory()
    assert 0 < free <= torch.cuda.get_device_properties(0).total_memory
    info = build("average").info
    side = automatic_side(info, 5, CudaDevice())
    assert side == FLOOR or (side + 2 * info.halo) ** 2 * info.bytes_per_pixel * 5 < free


def test_check_device_when_on_cuda_then_it_passes_in_both_precisions():
    results = check_device(CudaDevice())
    assert [result.precision for result in results] == ["float32", "bfloat16"]
    assert all(result.passed for result in results), results
