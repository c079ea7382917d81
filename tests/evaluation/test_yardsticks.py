"""Published methods for comparison, as rows of `evaluate`."""

import math
import sys

import numpy as np
import pytest
import torch

from burstfix.errors import UsageError
from burstfix.evaluation.hdrplus import denoise_spectra, merge_spectra
from burstfix.evaluation.methods import MethodName, load_methods, row_labels
from burstfix.evaluation.metrics import psnr
from burstfix.evaluation.protocol import Limits, clip_cases, find_clips
from burstfix.evaluation.yardsticks import stabilised
from tests.evaluation.test_protocol import save_clip

SHOT_GAIN, READ_VARIANCE = 6.4e-3, 4e-4


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    clip = save_clip(tmp_path_factory.mktemp("clip") / "walk", 5, 96, 128)
    return next(clip_cases(find_clips([clip])[0], "high", Limits()))


def test_yardsticks_when_a_clip_is_noisy_then_each_is_better_than_menon(case):
    pytest.importorskip("pywt")
    methods = load_methods(["menon", "nlm", "wavelet", "hdrplus"], device="cpu")
    found = {method.label: psnr(case.shown(method.run(case.burst)), case.truth) for method in methods}
    assert found["nlm"] > found["menon"] + 3
    assert found["wavelet"] > found["menon"] + 3
    assert found["hdrplus"] > found["menon"] + 3


def test_stabilised_when_the_method_only_averages_then_the_mean_is_unbiased():
    rng = np.random.default_rng(0)
    for signal in (0.0, 0.01, 0.1, 0.5):
        std = math.sqrt(SHOT_GAIN * signal + READ_VARIANCE)
        plane = signal + std * rng.standard_normal((300, 300))
        spread = []

        def mean(x, spread=spread):
            spread.append(x.std())
            return np.full_like(x, x.mean())

        found = stabilised(plane, mean, SHOT_GAIN, READ_VARIANCE)
        assert found.mean() == pytest.approx(signal, abs=0.1 * std)
        assert spread[0] == pytest.approx(1.0, abs=0.08)


def test_merge_spectra_when_frames_differ_by_noise_only_then_most_of_it_is_averaged():
    noise = torch.randn(8, 200, 16, 16, generator=torch.Generator().manual_seed(1))
    spectra = torch.fft.fft2(noise, norm="ortho")
    merged = merge_spectra(spectra, 0, torch.ones(200, 1, 1))
    assert 1 / 8 < merged.abs().square().mean() < 0.25


def test_merge_spectra_when_a_frame_differs_then_the_result_is_the_reference():
    spectra = torch.fft.fft2(torch.randn(4, 10, 16, 16), norm="ortho")
    spectra[1:] += 1e4
    merged = merge_spectra(spectra, 0, torch.ones(10, 1, 1))
    torch.testing.assert_close(merged, spectra[0], rtol=0, atol=0.01)


def test_denoise_spectra_when_applied_then_high_frequencies_shrink_and_the_mean_is_kept():
    spectra = torch.ones(16, 16, dtype=torch.complex64)
    found = denoise_spectra(spectra, torch.ones(1, 1)).abs()
    assert found[0, 0] == 1
    assert found[0, 8] == pytest.approx(0.5)
    assert found[0, 1] > found[0, 4] > found[8, 8]


def test_yardstick_when_its_package_is_missing_then_usage_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(UsageError, match="pip install bm3d"):
        load_methods(["bm3d"])
    with pytest.raises(UsageError, match=r"pip install burstfix\[yardsticks\]"):
        load_methods(["wavelet"])


def test_yardstick_when_named_with_frames_or_views_then_only_hdrplus_takes_frames():
    names = [MethodName.parse(name) for name in ("nlm:3", "hdrplus:3", "hdrplus")]
    assert row_labels(names) == ["nlm", "hdrplus:3", "hdrplus"]
    with pytest.raises(UsageError, match="no views"):
        MethodName.parse("hdrplus+2")
