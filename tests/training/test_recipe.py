"""Recipes: strict parsing, and all shipped recipes load."""

from dataclasses import asdict
from pathlib import Path

import pytest

from burstfix.errors import UsageError
from burstfix.models.catalog import build
from burstfix.training.recipe import load_recipe, recipe_from_dict
from burstfix.training.run import parameter_groups

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_when_shipped_then_it_loads_and_names_a_trainable_model(path):
    recipe = load_recipe(path)
    model = build(recipe.model.name, recipe.model.config)
    assert parameter_groups(model, recipe.train.lr_scale)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ablations/one-frame", {"train.frames"}),
        ("ablations/no-annealing", {"loss.annealing"}),
        ("ablations/blind", {"model.config"}),
        ("ablations/direct", {"model.name"}),
        ("dncnn", {"model.name", "train.frames", "train.learning_rate", "loss.annealing"}),
    ],
)
def test_recipe_when_it_is_an_ablation_then_only_the_named_settings_differ(name, changed):
    full, other = (asdict(load_recipe(FOLDER / f"{stem}.toml")) for stem in ("ablations/full", name))
    found = {
        f"{table}.{key}" for table in full for key in full[table] if full[table][key] != other[table][key]
    }
    assert found == changed


def test_recipe_when_it_begins_with_a_byte_order_mark_then_it_loads(tmp_path):
    (tmp_path / "r.toml").write_text('[model]\nname = "kpn"\n', encoding="utf-8-sig")
    assert load_recipe(tmp_path / "r.toml").model.name == "kpn"


def test_recipe_when_converted_to_a_dict_and_back_then_it_is_equal():
    recipe = recipe_from_dict({"model": {"name": "kpn"}, "train": {"frames": [1, 3]}})
    assert recipe_from_dict(asdict(recipe)) == recipe


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({}, "'model' is missing"),
        ({"model": {"name": "kpn"}, "trian": {}}, "unknown key 'trian'"),
        ({"model": {"name": "kpn"}, "train": {"step": 3}}, "unknown key 'step'"),
        ({"model": {"name": "kpn"}, "train": {"steps": "3"}}, "recipe.train.steps: expected int"),
        ({"model": {"name": "kpn"}, "train": {"steps": True}}, "recipe.train.steps: expected int"),
        ({"model": {"name": "kpn"}, "train": {"frames": [0, 3]}}, "expected 1 <= smallest"),
        ({"model": {"name": "kpn"}, "train": {"frames": 3}}, "expected 2 values"),
        ({"model": {"name": "kpn"}, "train": {"log_every": 0}}, "recipe.train.log_every: found 0"),
        ({"model": {"name": "kpn"}, "train": {"patch": 20}}, "recipe.train.patch: found 20"),
        ({"model": {"name": "kpn"}, "train": {"margin": 6}}, "recipe.train.margin: found 6"),
        ({"model": {"name": "kpn"}, "train": {"margin": -8}}, "recipe.train.margin: found -8"),
        ({"model": {"name": "kpn"}, "simulate": {"darkening": [0, 1]}}, "recipe.simulate.darkening: found 0"),
        ({"model": {"name": "kpn"}, "simulate": {"shot_gain": [2e-3, 1e-3]}}, "recipe.simulate.shot_gain"),
        ({"model": {"name": "kpn"}, "train": {"precision": "half"}}, "expected bfloat16 or float32"),
        ({"model": {"name": "kpn"}, "train": {"border": 1.5}}, "recipe.train.border: found 1.5"),
        ({"model": {"name": "kpn"}, "train": {"border": float("nan")}}, "recipe.train.border: found nan"),
        ({"model": {"name": "kpn"}, "train": {"border": 0.1, "patch": 24}}, "expected 32 or more"),
        ({"model": "kpn"}, "recipe.model: expected a table"),
        ({"model": {"name": "kpn"}, "train": {"lr_scale": 2}}, "recipe.train.lr_scale: expected a table"),
        ({"model": {"name": "kpn"}, "train": {"lr_scale": {"a": "b"}}}, "lr_scale.a: expected float"),
        ({"model": {"name": "kpn"}, "train": {"lr_scale": {"a": -1}}}, "lr_scale.a: found -1"),
        ({"model": {"name": "kpn"}, "simulate": {"motion": {"shfit": 1}}}, "unknown key 'shfit'"),
    ],
)
def test_recipe_when_a_value_is_invalid_then_the_error_names_the_key(tree, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        recipe_from_dict(tree)


def test_recipe_when_not_toml_then_usage_error_names_the_file(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[model\n")
    with pytest.raises(UsageError, match="broken.toml"):
        load_recipe(path)
