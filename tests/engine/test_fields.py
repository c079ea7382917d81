"""Features of whole pictures, computed in strips."""

from __future__ import annotations

import pytest
import torch

from burstfix.engine import fields
from burstfix.models.average import Average
from burstfix.models.catalog import build
from burstfix.raw.frame_source import FrameSource
from tests.engine.bursts import make_burst

NOISE = torch.full((1, 1, 4, 1, 1), 1e-3)


@pytest.mark.parametrize("name", ["average", "two-stage-paper"])
def test_features_when_computed_in_strips_then_they_equal_those_of_the_whole_picture(
    name, monkeypatch
) -> None:
    torch.manual_seed(0)
    model = Average() if name == "average" else build(name, {"channels": 16, "groups": 4, "unet": [8, 8, 8]})
    source = FrameSource(make_burst(301, 200, 1).frames[0])
    with torch.no_grad():
        whole = fields._features(source, model, NOISE, NOISE)
        monkeypatch.setattr(fields, "_STRIP_PIXELS", 40 * source.width)
        strips = fields._features(source, model, NOISE, NOISE)
    assert whole.shape[-2:] == (source.height, source.width)
    torch.testing.assert_close(strips, whole, atol=1e-4, rtol=1e-4)
