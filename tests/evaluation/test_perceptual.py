"""LPIPS from torchmetrics, which is replaced by a stub here."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor

from burstfix.cli import main
from burstfix.errors import UsageError, WeightsError
from burstfix.evaluation import perceptual


class Stub:
    """Stub of LearnedPerceptualImagePatchSimilarity that returns the mean since the last reset."""

    def __init__(self, net_type: str, normalize: bool) -> None:
        assert (net_type, normalize) == ("alex", True)
        self.seen: list[Tensor] = []

    def reset(self) -> None:
        self.seen.clear()

    def __call__(self, result: Tensor, truth: Tensor) -> Tensor:
        assert result.shape == truth.shape and result.ndim == 4 and result.dtype == torch.float32
        self.seen.append((result - truth).abs().mean())
        return torch.stack(self.seen).mean()


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Provide stubs of the packages; return the file of the weights, which does not exist yet."""
    lpip = types.ModuleType("torchmetrics.image.lpip")
    lpip.LearnedPerceptualImagePatchSimilarity = Stub  # type: ignore[attr-defined]
    for name in ("torchvision", "torchmetrics", "torchmetrics.image"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, lpip.__name__, lpip)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return perceptual.weights_file()


def test_lpips_when_the_weights_exist_then_each_picture_is_measured_alone(packages: Path) -> None:
    packages.parent.mkdir(parents=True)
    packages.touch()
    distance = perceptual.lpips()
    picture = torch.rand(3, 32, 40, dtype=torch.float64)
    assert distance(picture + 0.5, picture) == pytest.approx(0.5)
    assert distance(picture, picture) == 0


def test_lpips_when_the_weights_are_missing_then_the_error_names_file_and_address(packages: Path) -> None:
    with pytest.raises(WeightsError, match=r"alexnet-owt-7be5be79\.pth: does not exist.*download https://"):
        perceptual.lpips()


@pytest.mark.parametrize("error", [ImportError("no module"), RuntimeError("operator nms does not exist")])
def test_lpips_when_a_package_is_missing_or_does_not_fit_then_usage_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refuse:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torchvision":
                raise error

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuse(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"pip install 'burstfix\[lpips\]'"):
        perceptual.lpips()


def test_evaluate_when_lpips_cannot_be_loaded_then_it_fails_before_anything_is_merged(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--clips", str(tmp_path / "none"), "--lpips"]) == 7
    assert str(packages) in capsys.readouterr().err
