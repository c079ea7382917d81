"""`burstfix doctor`: its report and its exit code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from burstfix.checkpoints import files
from burstfix.cli import main
from burstfix.engine import check
from burstfix.engine.device import BACKENDS, CpuDevice, Device
from burstfix.engine.select import select_device
from burstfix.io.read.decoder_client import DecoderClient, shared_client
from burstfix.io.read.sandbox import Sandbox
from tests.cli.documents import validated
from tests.engine.fakes import BrokenGpu, FakeGpu, WrongGpu


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "devices.json"


def install(monkeypatch: pytest.MonkeyPatch, device: type[Device]) -> None:
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(BACKENDS[kind], "count", classmethod(lambda cls: 0))
    monkeypatch.setitem(BACKENDS, "xpu", device)


def report(capsys: pytest.CaptureFixture[str]) -> dict:
    return validated(capsys.readouterr().out, "doctor")


def test_doctor_when_there_are_no_problems_then_the_report_is_complete_and_exit_0(monkeypatch, capsys, cache):
    install(monkeypatch, FakeGpu)
    assert main(["doctor", "--json"]) == 0
    found = report(capsys)
    assert found["problems"] == []
    assert found["versions"]["torch"] == torch.__version__
    assert {"burstfix", "LibRaw", "Python", "system"} <= set(found["versions"])
    assert found["cpu"]["capability"] and found["cpu"]["threads"] >= 1
    assert [device["name"] for device in found["devices"]] == ["cpu", "xpu"]
    for device in found["devices"]:
        assert 0 < device["free_memory"] <= device["total_memory"]
        assert device["checks"][0]["precision"] == "float32" and device["checks"][0]["difference"] == 0
    assert [one["model"] for one in found["weights"]] == ["kpn"] and found["weights"][0]["error"] == ""
    assert found["decoder"] == {**asdict(shared_client().sandbox()), "error": ""}
    assert found["settings_files"][0]["path"].endswith("burstfix.toml")
    assert "Fake GPU" in cache.read_text()


def test_doctor_when_run_without_json_then_text_is_on_stdout(monkeypatch, capsys):
    install(monkeypatch, FakeGpu)
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("LibRaw", "Fake GPU", "float32: correct", "kpn.safetensors: intact", "no problems found"):
        assert word in out


@pytest.mark.parametrize(
    ("sandbox", "line"),
    [
        (Sandbox(read_only=True, offline=True), "decoder    cannot change files, no network"),
        (Sandbox(), "decoder    can change files, has network access"),
    ],
)
def test_doctor_when_the_decoder_is_restricted_or_not_then_a_line_states_it(
    sandbox, line, monkeypatch, capsys
):
    install(monkeypatch, FakeGpu)
    monkeypatch.setattr(DecoderClient, "sandbox", lambda self: sandbox)
    assert main(["doctor"]) == 0
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("device", "words"), [(WrongGpu, "differs from the CPU"), (BrokenGpu, "operator is not implemented")]
)
def test_doctor_when_a_gpu_computes_wrongly_then_exit_1_and_auto_is_the_cpu(
    device, words, monkeypatch, capsys
):
    install(monkeypatch, device)
    assert main(["doctor", "--json"]) == 1
    found = report(capsys)
    (problem,) = found["problems"]
    assert problem.startswith("xpu (Fake GPU): float32: WRONG") and words in problem
    assert not found["devices"][1]["checks"][0]["passed"]
    # The outcome has been stored.
    monkeypatch.setattr(check, "check_device", lambda device: pytest.fail("checked again"))
    assert type(select_device("auto")) is CpuDevice


def test_doctor_when_the_gpu_computes_correctly_again_then_auto_chooses_it(monkeypatch, capsys):
    install(monkeypatch, WrongGpu)
    assert main(["doctor"]) == 1
    install(monkeypatch, FakeGpu)
    assert main(["doctor"]) == 0
    assert isinstance(select_device("auto"), FakeGpu)


def test_doctor_when_weights_are_damaged_then_exit_7(monkeypatch, capsys, tmp_path):
    real = files.weights_folder()
    for name in ("kpn.safetensors", "kpn.toml"):
        (tmp_path / name).write_bytes((real / name).read_bytes())
    with (tmp_path / "kpn.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\0\0\0")
    monkeypatch.setattr(files, "weights_folder", lambda: tmp_path)
    assert main(["doctor", "--json"]) == 7
    found = report(capsys)
    assert "damaged: sha256" in found["weights"][0]["error"]
    assert len(found["problems"]) == 1 and found["devices"][0]["checks"] == []
