from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from burstfix.checkpoints import files, load_model, save_weights, weights_folder
from burstfix.errors import OutputError, UsageError, WeightsError
from burstfix.models import catalog
from burstfix.models.catalog import CATALOG, build

CONFIG = {"channels": 4, "head_channels": 4, "head_blocks": 1}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    path = tmp_path / "small.safetensors"
    save_weights(path, build("kpn", CONFIG), {"data": ["one", "two"], "steps": 7}, dtype=torch.float32)
    return path


def resave(path: Path, change) -> None:
    """Rewrite a weights file with other tensors and the same metadata, and delete its card."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    change(tensors, metadata)
    path.with_suffix(".toml").unlink()
    safetensors.torch.save_file(tensors, path, metadata)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.0), (torch.float16, 1e-3)])
def test_load_model_when_a_path_is_given_then_weights_equal_the_saved_ones(tmp_path, dtype, tolerance):
    model = build("kpn", CONFIG).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "w.safetensors", model, {}, dtype=dtype)
    loaded = load_model(tmp_path / "w.safetensors")
    assert loaded.config == model.config and not loaded.training
    for key, value in model.state_dict().items():
        assert loaded.state_dict()[key].dtype == value.dtype
        torch.testing.assert_close(loaded.state_dict()[key], value, atol=tolerance, rtol=tolerance)


def test_save_weights_when_done_then_the_card_states_their_origin(saved):
    card = tomllib.loads(saved.with_suffix(".toml").read_text())
    assert card["model"] == "kpn" and card["steps"] == 7 and card["data"] == ["one", "two"]
    assert card["config"]["channels"] == 4 and card["dtype"] == "float32"
    assert len(card["sha256"]) == 64 and card["file"] == saved.name
    assert sorted(path.name for path in saved.parent.iterdir()) == ["small.safetensors", "small.toml"]


def test_save_weights_when_a_weight_is_not_finite_then_nothing_is_written(tmp_path):
    model = build("kpn", CONFIG)
    next(model.parameters()).data.fill_(1e6)  # too large for float16
    with pytest.raises(WeightsError, match="not finite as torch.float16"):
        save_weights(tmp_path / "w.safetensors", model, {})
    assert list(tmp_path.iterdir()) == []


def test_save_weights_when_the_disk_fails_then_the_old_weights_are_kept(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_weights(saved, build("kpn", CONFIG), {})
    assert saved.read_bytes() == before
    load_model(saved)


@pytest.mark.parametrize("name", ["w.pth", "w"])
def test_save_weights_when_the_name_is_not_safetensors_then_usage_error(tmp_path, name):
    with pytest.raises(UsageError, match="safetensors"):
        save_weights(tmp_path / name, build("average"), {})


def test_save_weights_when_the_card_overrides_the_hash_then_usage_error(tmp_path):
    with pytest.raises(UsageError, match="sha256"):
        save_weights(tmp_path / "w.safetensors", build("average"), {"sha256": "0"})


def test_load_model_when_one_byte_changed_then_the_error_reports_damage(saved):
    content = bytearray(saved.read_bytes())
    content[-3] ^= 1
    saved.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged: sha256") as caught:
        load_model(saved)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_load_model_when_the_file_is_truncated_then_the_error_reports_an_unreadable_file(saved, length):
    saved.with_suffix(".toml").unlink()
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_model(saved)


def test_load_model_when_the_card_is_not_toml_then_the_error_names_the_card(saved):
    saved.with_suffix(".toml").write_text("sha256 = ")
    with pytest.raises(WeightsError, match="not a valid card"):
        load_model(saved)


def test_load_model_when_a_file_of_the_user_has_no_card_then_it_loads(saved):
    saved.with_suffix(".toml").unlink()
    assert load_model(saved).info.name == "kpn"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("head_in.weight"), r"1 tensors are missing \(head_in.weight\)"),
        (lambda t, m: t.update(extra=torch.zeros(1)), r"1 tensors are unknown \(extra\)"),
        (lambda t, m: t.update({"head_out.bias": torch.zeros(1)}), r"another shape \(head_out.bias\)"),
        (lambda t, m: m.update(noise_convention="sigma"), "noise_convention is 'sigma'"),
        (lambda t, m: m.update(format_version="99"), "format_version is '99'"),
        (lambda t, m: m.update(model="other"), "does not support its model or configuration .*other"),
        (lambda t, m: m.update(config='{"depth": 3}'), "no setting 'depth'"),
        (lambda t, m: m.update(config="{"), "does not support its model or configuration"),
        (lambda t, m: m.update(config="[" * 9999), "does not support its model or configuration"),
        (lambda t, m: m.update(config="[1]"), "does not support its model or configuration"),
    ],
)
def test_load_model_when_the_content_does_not_fit_the_model_then_the_error_names_the_difference(
    saved, change, words
):
    resave(saved, change)
    with pytest.raises(WeightsError, match=words):
        load_model(saved)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('"channels": 1000000', "expected numbers from 0 to 4096"),
        ('"channels": -4', "expected numbers from 0 to 4096"),
        ('"channels": NaN', "expected numbers from 0 to 4096"),
        ('"head_blocks": 1000000000', "expected numbers from 0 to 4096"),
        ('"channels": 4096', "another shape"),  # the model would take 20 GB
        ('"kernel": 4', "kernel"),
        ('"kernel": 0', "kernel"),
        ('"head_channels": 0', "head_channels"),
    ],
)
def test_load_model_when_sizes_are_out_of_range_then_the_error_precedes_any_allocation(
    saved, setting, words, monkeypatch
):
    config = '{"channels": 4, "head_channels": 4, "head_blocks": 1}'
    name = setting.split(":")[0]
    kept = [part for part in config.strip("{}").split(", ") if not part.startswith(name)]
    resave(saved, lambda t, m: m.update(config="{" + ", ".join([*kept, setting]) + "}"))
    used: list[int] = []
    empty = torch.empty

    def counted(*args, **kwargs):
        tensor = empty(*args, **kwargs)
        used.append(0 if tensor.is_meta else tensor.nbytes)
        return tensor

    monkeypatch.setattr(torch, "empty", counted)  # layers allocate their weights with this function
    with pytest.raises(WeightsError, match=words) as caught:
        load_model(saved)
    assert caught.value.exit_code == 7
    assert sum(used) < 10e6


@pytest.mark.parametrize("name", ["absent.safetensors", "G.pth"])
def test_load_model_when_the_path_cannot_be_loaded_then_the_error_gives_advice(tmp_path, name):
    with pytest.raises(WeightsError, match=r"copy or create|weights import"):
        load_model(tmp_path / name)


def test_load_model_when_the_name_is_unknown_then_the_error_lists_the_names():
    with pytest.raises(UsageError, match="choose one of: auto, .*average"):
        load_model("avrage")


def test_load_model_when_the_name_is_average_then_it_needs_no_weights():
    assert load_model("average").info.name == "average"


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu:1"])
def test_load_model_when_auto_then_it_is_the_best_shipped_model(device):
    assert load_model("auto", device).info.name == catalog.find(catalog.best_for(device)).name


def ship(monkeypatch: pytest.MonkeyPatch, folder: Path, weights: str | None) -> None:
    """Patch the catalogue so that kpn has these weights in this folder."""
    row = catalog.Entry("kpn", "burstfix.models.kpn:Kpn", "for the test", weights=weights)
    average = catalog.find("average")
    monkeypatch.setattr(catalog, "CATALOG", (row, average))
    monkeypatch.setattr(files, "weights_folder", lambda: folder)


def test_load_model_when_weights_are_shipped_then_auto_selects_them(saved, monkeypatch):
    ship(monkeypatch, saved.parent, saved.name)
    assert catalog.best_for("cpu") == "kpn"
    assert load_model("auto").config.channels == 4


def test_load_model_when_shipped_weights_lack_their_card_then_weights_error(saved, monkeypatch):
    ship(monkeypatch, saved.parent, saved.name)
    saved.with_suffix(".toml").unlink()
    with pytest.raises(WeightsError, match="reinstall burstfix"):
        load_model("kpn")


def test_load_model_when_a_model_has_no_shipped_weights_then_the_error_states_it(tmp_path, monkeypatch):
    ship(monkeypatch, tmp_path, None)
    assert catalog.best_for("cpu") == "average"
    with pytest.raises(WeightsError, match="no weights for 'kpn' ship"):
        load_model("kpn")


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_catalog_when_a_row_names_weights_then_they_and_their_card_load(entry):
    if entry.weights is None:
        model = build(entry.name)
    else:
        assert (weights_folder() / entry.weights).stat().st_size <= 30e6
        model = load_model(entry.name)
    assert model.info.halo % model.info.size_multiple == 0
    assert model.config is not None


def test_build_when_values_come_from_json_then_they_are_converted_to_the_types_of_the_config():
    assert build("average", {"strength": 3}).config.strength == 3.0
    with pytest.raises(UsageError, match="'strength'.*expected a value like"):
        build("average", {"strength": "much"})
    with pytest.raises(UsageError, match="no setting 'nope'"):
        build("average", {"nope": 1})


def test_load_model_when_weights_are_read_then_torch_does_not_import_its_compiler() -> None:
    script = (
        "import sys; from burstfix.checkpoints import load_model; load_model('kpn'); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr  # importing it adds a second to every merge


@pytest.mark.parametrize("target", [(files, "build"), (safetensors.torch, "load")])
def test_load_model_when_memory_runs_out_then_the_weights_are_not_blamed(saved, monkeypatch, target):
    def fail(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 589824 bytes")

    monkeypatch.setattr(*target, fail)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        load_model(saved)
