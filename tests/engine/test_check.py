from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from burstfix.engine import check
from burstfix.engine.check import TOLERANCES, cache_folder, check_device, passes
from burstfix.engine.device import BACKENDS, CpuDevice, Device
from burstfix.engine.select import select_device
from tests.engine.fakes import BrokenGpu, FakeGpu, WrongGpu


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which outcomes are stored."""
    monkeypatch.setattr(check, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "devices.json"


def install(monkeypatch: pytest.MonkeyPatch, device: type[Device]) -> None:
    """Make a device the only GPU of this machine."""
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(BACKENDS[kind], "count", classmethod(lambda cls: 0))
    monkeypatch.setitem(BACKENDS, "xpu", device)


def test_check_device_when_results_equal_those_of_the_cpu_then_it_passes():
    (result,) = check_device(FakeGpu())
    assert result.difference == 0 and result.passed and result.error == ""


def test_check_device_when_the_cpu_computes_in_bfloat16_then_it_differs_a_little(monkeypatch):
    monkeypatch.setattr(CpuDevice, "has_bfloat16", lambda self: True)
    exact, half = check_device(CpuDevice())
    assert exact.difference == 0
    assert 1e-5 < half.difference <= TOLERANCES["bfloat16"] and half.passed


def test_check_device_when_a_channel_is_wrong_then_it_fails():
    (result,) = check_device(WrongGpu())
    assert not result.passed and result.difference > 5 * TOLERANCES["float32"]


def test_check_device_when_every_operation_fails_then_the_check_fails_with_the_reason():
    (result,) = check_device(BrokenGpu())
    assert not result.passed and result.error == "operator is not implemented"


def test_check_device_when_values_are_not_finite_then_it_fails(monkeypatch):
    expected = check._expected
    monkeypatch.setattr(check, "_expected", lambda *args: np.full_like(expected(*args), np.nan))
    (result,) = check_device(FakeGpu())
    assert not result.passed


@pytest.mark.parametrize("device", [WrongGpu, BrokenGpu])
def test_select_device_when_a_gpu_computes_wrongly_then_auto_chooses_the_cpu(device, monkeypatch, caplog):
    install(monkeypatch, device)
    with caplog.at_level(logging.WARNING, "burstfix"):
        assert select_device("auto").type == "cpu"
        assert isinstance(select_device("auto"), CpuDevice) and not isinstance(select_device("auto"), device)
    assert "xpu computes wrongly" in caplog.text
    assert isinstance(select_device("xpu"), device)  # it can still be selected by name


def test_select_device_when_a_gpu_computes_correctly_then_auto_chooses_it(monkeypatch):
    install(monkeypatch, FakeGpu)
    assert isinstance(select_device("auto"), FakeGpu)


def test_passes_when_checked_before_then_the_result_is_from_the_cache(monkeypatch, cache):
    assert passes(FakeGpu())
    monkeypatch.setattr(check, "check_device", lambda device: pytest.fail("checked twice"))
    assert passes(FakeGpu())
    (key,) = json.loads(cache.read_text())
    assert "Fake GPU" in key and "torch" in key


def test_passes_when_the_version_of_torch_changes_then_the_device_is_checked_again(monkeypatch):
    checked = []
    monkeypatch.setattr(check, "check_device", lambda device: checked.append(device) or [])
    for version in ("1", "2", "2"):
        monkeypatch.setattr(check.torch, "__version__", version)
        passes(FakeGpu())
    assert len(checked) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": {}}', "\x00" * 9])
def test_passes_when_the_cache_is_damaged_then_it_is_replaced(content, cache, monkeypatch):
    cache.parent.mkdir()
    cache.write_text(content)
    monkeypatch.setattr(check, "check_device", lambda device: [])
    assert passes(FakeGpu())
    assert json.loads(cache.read_text())


def test_passes_when_the_cache_cannot_be_written_then_the_device_is_still_checked(cache, monkeypatch):
    cache.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(check, "check_device", lambda device: [])
    assert passes(FakeGpu())


def test_cache_folder_when_an_environment_variable_names_it_then_it_is_that_folder(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "burstfix"
