"""Geometric self-ensemble: the views, their inverses, and the mean of their results."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from burstfix.cli import main
from burstfix.engine.infer import merge_tiled
from burstfix.errors import UsageError
from burstfix.models.base import Merged
from burstfix.models.catalog import build
from burstfix.models.ensemble import VIEWS, SelfEnsemble, View, self_ensemble
from burstfix.raw.cfa import pack
from burstfix.raw.demosaic import bilinear
from tests.engine.bursts import SmallNet, make_burst

EVERY = [View(rows, columns, swap) for rows in (0, 1) for columns in (0, 1) for swap in (0, 1)]  # type: ignore[arg-type]


class Demosaic(SmallNet):
    """Demosaicking with the same result for all views."""

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        return Merged(bilinear(frames[:, reference]), frames[:, reference])


@pytest.mark.parametrize("view", EVERY, ids=str)
def test_view_when_applied_to_a_mosaic_then_the_result_is_mirrored_and_in_rggb_order(view: View):
    mosaic = torch.arange(12 * 16.0).reshape(12, 16)
    seen = mosaic
    if view.rows:  # mirrored and shifted by one row
        seen = torch.cat([seen.flip(0)[1:], seen[1:2]])
    if view.columns:
        seen = torch.cat([seen.flip(1)[:, 1:], seen[:, 1:2]], 1)
    if view.swap:
        seen = seen.T
    found = view.of(pack(mosaic))
    expected = pack(seen.contiguous())
    inner = (slice(None), slice(0, -1), slice(0, -1))
    torch.testing.assert_close(found[inner], expected[inner])


@pytest.mark.parametrize("view", EVERY, ids=str)
def test_view_when_inverted_then_all_but_the_last_row_and_column_are_restored(view: View):
    packed = torch.rand(2, 4, 6, 8, generator=torch.Generator().manual_seed(1))
    back = view.undo(view.of(packed))
    torch.testing.assert_close(back[..., :-1, :-1], packed[..., :-1, :-1])
    picture = view.undo_picture(bilinear(view.of(packed).contiguous()))
    torch.testing.assert_close(picture[..., 4:-4, 4:-4], bilinear(packed)[..., 4:-4, 4:-4])


@pytest.mark.parametrize("views", VIEWS)
def test_self_ensemble_when_model_is_symmetric_then_the_interior_is_unchanged(views: int):
    frames = torch.rand(1, 2, 4, 16, 24, generator=torch.Generator().manual_seed(2))
    noise = torch.full((1, 1, 4, 1, 1), 1e-3)
    model = Demosaic()
    plain, mean = (m(frames, noise, noise, 0) for m in (model, self_ensemble(model, views)))
    torch.testing.assert_close(mean.rgb[..., 4:-4, 4:-4], plain.rgb[..., 4:-4, 4:-4])
    torch.testing.assert_close(mean.mosaic[..., :-1, :-1], plain.mosaic[..., :-1, :-1])


def test_self_ensemble_when_it_has_eight_views_then_a_rotated_burst_gives_a_rotated_result():
    frames = torch.rand(1, 3, 4, 48, 64, generator=torch.Generator().manual_seed(3))
    noise = 1e-3 * torch.rand(1, 1, 4, 48, 64, generator=torch.Generator().manual_seed(4))
    model = SelfEnsemble(SmallNet(), 8)
    turned = View(swap=True)
    with torch.no_grad():
        upright = model(frames, noise, noise, 1).rgb
        other = model(turned.of(frames).contiguous(), turned.of(noise), turned.of(noise), 1).rgb
        single = model.model(turned.of(frames).contiguous(), turned.of(noise), turned.of(noise), 1).rgb
    torch.testing.assert_close(turned.undo_picture(other), upright)
    assert (turned.undo_picture(single) - upright).abs().max() > 0.01


def test_merge_tiled_when_an_ensemble_gets_other_tiles_then_the_result_is_the_same():
    burst = make_burst(150, 170, 3, "GRBG")
    model = self_ensemble(SmallNet(), 8)
    one, many = (merge_tiled(burst, model, device="cpu", precision="float32", tile=t).data for t in (400, 64))
    np.testing.assert_allclose(many, one, atol=1e-5)


def test_self_ensemble_when_the_model_has_no_weights_then_it_is_unchanged_and_a_warning_is_logged(caplog):
    model = build("average")
    assert self_ensemble(model, 4) is model and "is not a network" in caplog.text
    assert self_ensemble(model, 1) is model
    net = SmallNet()
    again = self_ensemble(self_ensemble(net, 8), 2)
    assert isinstance(again, SelfEnsemble) and again.model is net and len(again.views) == 2
    assert self_ensemble(again, 1) is again
    with pytest.raises(UsageError, match="ensemble 3: expected one of 1, 2, 4, 8"):
        self_ensemble(SmallNet(), 3)


def test_merge_command_when_ensemble_is_given_then_the_settings_contain_it(small_burst, tmp_path, capsys):
    paths = [str(path) for path in small_burst]
    out = str(tmp_path / "two.tif")
    assert main(["merge", *paths, "-m", "kpn", "--ensemble", "2", "-o", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["ensemble"] == 2
    assert main(["merge", *paths, "--ensemble", "3"]) == 2
    raw = ["--dng", "mosaic", "-o", str(tmp_path / "two.dng")]
    assert main(["merge", *paths, "-m", "kpn", "--ensemble", "2", *raw, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["ensemble"] == 2
