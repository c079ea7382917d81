"""Grey bursts: the experiments of the paper on deformable kernels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from burstfix.checkpoints import load_model
from burstfix.cli import main
from burstfix.engine.infer import merge_tiled
from burstfix.evaluation import methods
from burstfix.evaluation.metrics import psnr
from burstfix.evaluation.protocol import Case, Limits, find_clips, grey_clip_cases, photo_case
from burstfix.models.base import BurstModel, Merged, ModelInfo
from burstfix.raw.demosaic import bilinear
from burstfix.raw.levels import normalise
from tests.evaluation.test_protocol import save_clip
from tests.scenes import draw_scene


def recorded(case: Case, index: int) -> Tensor:
    """Return a frame in normalised values."""
    frame = case.burst.frames[index]
    return normalise(torch.from_numpy(frame.mosaic), frame.metadata.levels)


@pytest.fixture(scope="module")
def flat_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of five equal frames: the left half is black, the right half is orange."""
    folder = tmp_path_factory.mktemp("clips") / "flat"
    folder.mkdir()
    pixels = np.zeros((96, 192, 3), np.uint8)
    pixels[:, 96:] = 255, 128, 0
    for k in range(5):
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return folder


@pytest.mark.parametrize(("level", "gain", "std"), [("low", 2.5e-3, 1e-2), ("high", 6.4e-3, 2e-2)])
def test_grey_clip_cases_when_recorded_then_luma_and_noise_are_those_of_the_paper(
    flat_clip: Path, level: str, gain: float, std: float
) -> None:
    (case,) = grey_clip_cases(find_clips([flat_clip])[0], level, Limits())
    assert len(case.burst.frames) == 5 and case.burst.reference == 2
    luma = (0.299 * 255 + 0.587 * 128) / 255
    linear = ((luma + 0.055) / 1.055) ** 2.4
    noise = torch.stack([recorded(case, k) for k in range(5)]).double()
    black, orange = noise[:, :, :96], noise[:, :, 96:]
    assert orange.mean() == pytest.approx(linear, rel=0.01)
    assert orange.var() == pytest.approx(gain * linear + std**2, rel=0.03)
    # Noise is not clipped at black, so the mean is unbiased.
    assert abs(black.mean()) < 0.001
    assert black.var() == pytest.approx(std**2, rel=0.03)
    # Neighbours and frames have independent noise.
    assert abs(torch.corrcoef(torch.stack([orange[0].flatten(), orange[1].flatten()]))[0, 1]) < 0.04
    assert (
        abs(torch.corrcoef(torch.stack([black[0, :, 1:].flatten(), black[0, :, :-1].flatten()]))[0, 1]) < 0.04
    )
    assert case.truth.shape == (1, 96, 192)
    assert case.truth[0, 0, 150] == pytest.approx(luma, abs=1e-4)
    assert torch.allclose(
        case.shown(np.full((1, 96, 192), linear, np.float32)), torch.tensor(luma), atol=1e-4
    )


def test_grey_cases_when_white_is_exceeded_then_it_is_recorded(tmp_path: Path) -> None:
    for k in range(5):
        Image.new("RGB", (96, 96), (255, 255, 255)).save(tmp_path / f"{k}.png")
    (case,) = grey_clip_cases(find_clips([tmp_path])[0], "high", Limits())
    frame = recorded(case, 0).double()
    assert frame.mean() == pytest.approx(1, abs=0.005)
    assert frame.var() == pytest.approx(6.4e-3 + 4e-4, rel=0.06)


def test_photo_case_when_grey_then_the_motion_is_that_of_the_colour_burst(tmp_path: Path) -> None:
    scene = (draw_scene(240, 260, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    path = tmp_path / "scene.png"
    Image.fromarray(scene).save(path)
    case = photo_case(path, "base", Limits(crop=96), as_grey=True)
    color = photo_case(path, "base", Limits(crop=96))
    assert case.truth.shape == (1, 96, 96) and case.burst.frames[0].metadata.cfa == "RGGB"
    for one, other in zip(case.burst.motions, color.burst.motions, strict=True):
        assert one.dx == pytest.approx(other.dx, abs=0.5) and one.dy == pytest.approx(other.dy, abs=0.5)
    reference = case.shown(recorded(case, 2)[None].numpy())
    assert psnr(reference, case.truth) > 25


class PictureOnly(BurstModel):
    """A model that returns no mosaic."""

    def __init__(self) -> None:
        super().__init__()
        self.info = ModelInfo("picture-only", 8, 8, bytes_per_pixel=50)

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        return Merged(rgb=bilinear(frames.mean(1)))


def test_load_methods_when_grey_then_mosaics_and_pictures_are_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = save_clip(tmp_path / "walk", 5, 48, 64)
    (case,) = grey_clip_cases(find_clips([clip])[0], "low", Limits())
    networks = {"kpn": load_model("kpn"), "none": PictureOnly()}
    monkeypatch.setattr(methods, "load_model", lambda name, device: networks[name])

    def run(name: str, protocol: methods.Protocol) -> np.ndarray:
        return methods.load_methods([name], device="cpu", precision="float32", protocol=protocol)[0].run(
            case.burst
        )

    mosaic = merge_tiled(case.burst, networks["kpn"], precision="float32", mosaic=True).data
    picture = merge_tiled(case.burst, networks["kpn"], precision="float32").data
    np.testing.assert_array_equal(run("kpn", "grey"), mosaic)
    sampled = run("kpn", "grey-picture")
    assert sampled.shape == (1, 48, 64)
    np.testing.assert_array_equal(sampled[0, ::2, ::2], picture[0, ::2, ::2])
    np.testing.assert_array_equal(sampled[0, 1::2, 1::2], picture[2, 1::2, 1::2])
    np.testing.assert_array_equal(run("none", "grey"), run("none", "grey-picture"))
    np.testing.assert_allclose(run("menon", "grey")[0], recorded(case, 2), atol=1e-6)


def test_load_methods_when_grey_then_nlm_denoises_one_plane(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    clip = save_clip(tmp_path / "walk", 5, 48, 64)
    (case,) = grey_clip_cases(find_clips([clip])[0], "low", Limits())
    rows = {
        name: psnr(case.shown(method.run(case.burst)), case.truth)
        for name in ("menon", "nlm", "hdrplus")
        for method in methods.load_methods([name], protocol="grey")
    }
    assert rows["nlm"] > rows["menon"] + 5
    assert rows["hdrplus"] > rows["menon"] + 3


@pytest.mark.parametrize("protocol", ["grey", "grey-picture"])
def test_evaluate_when_grey_then_the_document_names_the_protocol(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, pictures = save_clip(tmp_path / "walk", 5), tmp_path / "pictures"
    options = ["-m", "menon", "-m", "average", "--noise-level", "high", "--device", "cpu"]
    command = ["evaluate", "--protocol", protocol, "--clips", str(clip), *options]
    assert main([*command, "--save-pictures", str(pictures), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [row["data"] for row in results] == [f"{protocol}-clips"] * 2
    assert results[1]["psnr"] > results[0]["psnr"] + 3
    assert [path.name for path in pictures.iterdir()] == [f"{protocol}-clips_walk_high.png"]
    assert main(command) == 0
    assert "Grey clips" in capsys.readouterr().out


def test_evaluate_when_grey_with_real_bursts_then_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--protocol", "grey", "--bursts", str(tmp_path)]) == 2
    assert "--protocol grey cannot be used" in capsys.readouterr().err
