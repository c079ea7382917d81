"""`burstfix weights`: the list of models, and the import of checkpoints."""

import json

import pytest

from burstfix.checkpoints import load_model
from burstfix.cli import main
from burstfix.settings.kinds import DEVICE_TYPES
from tests.checkpoints.test_upstream import _coarse, _network, _save
from tests.cli.documents import validated


@pytest.fixture
def checkpoints(tmp_path):
    return _save(tmp_path, _network(), _coarse())


def test_weights_list_when_run_then_shows_usable_models_and_the_choice_of_auto(capsys):
    assert main(["weights", "list", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert models["average"]["usable"]
    assert models["kpn"]["default_on"] == list(DEVICE_TYPES)
    assert main(["weights", "list"]) == 0
    assert "kpn.safetensors" in capsys.readouterr().out


def test_weights_import_when_given_both_checkpoints_then_the_result_loads(checkpoints, tmp_path, capsys):
    out = tmp_path / "theirs.safetensors"
    network, coarse = map(str, checkpoints)
    assert main(["weights", "import", network, coarse, "-o", str(out), "--json"]) == 0
    document = validated(capsys.readouterr().out, "weights.written")
    assert (document["output"], document["model"]) == (str(out), "two-stage-paper")
    assert load_model(str(out)).info.name == "two-stage-paper"
    assert main(["weights", "import", network, coarse, "-o", str(out)]) == 5
    assert "already exists" in capsys.readouterr().err


def test_weights_import_when_files_are_swapped_then_one_line_and_exit_7(checkpoints, tmp_path, capsys):
    network, coarse = map(str, checkpoints)
    out = tmp_path / "theirs.safetensors"
    assert main(["weights", "import", coarse, network, "-o", str(out)]) == 7
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_weights_import_when_the_output_is_not_safetensors_then_exit_2(checkpoints, tmp_path):
    network, coarse = map(str, checkpoints)
    assert main(["weights", "import", network, coarse, "-o", str(tmp_path / "theirs.pth")]) == 2
