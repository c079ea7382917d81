"""The two-stage network in the engine: independence of tiles and CFA patterns, 1 to 9 frames."""

import numpy as np
import pytest
import torch

from burstfix.engine.infer import merge_tiled
from burstfix.models.catalog import build
from tests.engine.bursts import make_burst

SIZES = {"channels": 8, "groups": 2, "unet": [8, 8, 8]}
LIGHT = {"stride": 2, "unet_scale": 4, "unet_blocks": False, "base": "kernels", "coarse": "blocks"}
ONCE = {"device": "cpu", "precision": "float32"}


@pytest.mark.parametrize("config", [{}, LIGHT])
@pytest.mark.parametrize(
    ("cfa", "frames", "reference"), [("RGGB", 1, 0), ("GRBG", 2, 0), ("GBRG", 4, 3), ("BGGR", 9, 4)]
)
def test_merge_tiled_when_tiles_have_another_size_then_the_two_stage_result_is_the_same(
    config, cfa, frames, reference
):
    torch.manual_seed(0)
    model = build("two-stage-paper", {**SIZES, "feature_blocks": 1, **config})
    with torch.no_grad():
        for layer in model.align.deform:  # type: ignore[union-attr]
            layer.offset_mask.weight.mul_(20)  # offsets as after training  # type: ignore[union-attr]
    burst = make_burst(141, 170, frames, cfa, reference=reference)
    whole = merge_tiled(burst, model, tile=1000, **ONCE).data
    assert whole.shape == (3, 141, 170) and np.isfinite(whole).all() and whole.std() > 0.01
    np.testing.assert_allclose(merge_tiled(burst, model, tile=96, **ONCE).data, whole, atol=1e-4)


def test_merge_tiled_when_the_cfa_differs_then_the_two_stage_result_is_similar():
    torch.manual_seed(0)
    model = build("two-stage-paper", {**SIZES, "feature_blocks": 1, "unet_blocks": False})
    pictures = [
        merge_tiled(make_burst(128, 128, 2, cfa, noise=(1e-9, 1e-12)), model, **ONCE).data
        for cfa in ("RGGB", "GRBG", "GBRG", "BGGR")
    ]
    for picture in pictures[1:]:
        # Pictures of the same scene with another CFA are equal except for demosaicking errors.
        assert np.abs(picture - pictures[0]).mean() < 0.1 * pictures[0].std()
