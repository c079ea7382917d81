"""Settings are checked, combined from several sources, and listed with their sources."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from burstfix.batch.layout import check_layout
from burstfix.batch.run import settings_hash
from burstfix.batch.settings import NAMES, BatchSettings
from burstfix.cli import main
from burstfix.errors import UsageError
from burstfix.settings import file_layers, read_settings_file, settings_files
from burstfix.settings import resolve as resolve_as
from burstfix.settings.kinds import parse_size

resolve = partial(resolve_as, kind=BatchSettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gap", -1), ("gap", True), ("gap", float("nan")), ("min_frames", 1),
        ("min_frames", 2.5), ("layout", "{first"),
        ("singles", "yes"), ("layout", "{nonsense}/{first}"), ("layout", "../{first}"),
        ("layout", "/x/{first}"), ("layout", "all.tif"), ("layout", "{first.__class__}"),
        ("layout", "{count:x!}{first}"),
        ("format", "webp"), ("bit_depth", 12), ("quality", 0), ("noise", [1]),
        ("noise", [-1, 0]), ("noise", "guess"), ("wb", "blue"),
        ("wb", [1, 1]), ("wb", [0, 1, 1]), ("exposure", "bright"), ("exposure", 50), 
        ("look", "soft"), ("grain", 2),
        ("device", "tpu"), ("tile", -1), ("jobs", 0), ("max_memory", "much"), ("settle", -1), ("strength", 3),
        ("ensemble", 3),
    ],
)  # fmt: skip
def test_settings_when_a_value_is_invalid_then_an_error_names_it(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^here: {name} = |layout"):
        resolve([("here", {name: value})])


def test_settings_when_a_whole_number_is_given_as_float_then_it_is_accepted() -> None:
    assert repr(resolve([("here", {"ensemble": 2.0, "bit_depth": 16.0})]).settings.ensemble) == "2"


def test_settings_hash_when_there_is_no_ensemble_then_earlier_journals_stay_valid() -> None:
    added = ("ensemble", "dng", "scale", "max_size", "dng_compression")
    values = {k: v for k, v in BatchSettings().result_settings().items() if k not in added}
    earlier = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    assert settings_hash(BatchSettings()) == earlier != settings_hash(BatchSettings(ensemble=2))


def test_settings_when_layered_then_the_later_value_is_used_with_its_source() -> None:
    resolved = resolve(
        [("user", {"gap": 1, "jobs": 3}), ("folder", {"gap": 3.0}), ("command line", {"wb": "auto"})]
    )
    sources = {s.name: (s.value, s.source) for s in resolved.origins}
    assert sources["gap"] == (3.0, "folder") and sources["jobs"] == (3, "user")
    assert sources["wb"] == ("auto", "command line") and sources["look"] == ("natural", "default")


def test_settings_when_a_key_is_unknown_then_an_error_names_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "burstfix.toml").write_text("gaps = 1\n")
    with pytest.raises(UsageError, match=r"burstfix\.toml: unknown setting 'gaps'"):
        resolve(file_layers(settings_files([tmp_path])))


def test_settings_files_when_all_exist_then_they_are_read_in_order(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("user", "card")]
    for place in places:
        place.mkdir()
        (place / "burstfix.toml").write_text(f'model = "{place.name}"\n')
    named = tmp_path / "night.toml"
    named.write_text('model = "night"\n')
    layers = file_layers(settings_files([places[1]], user_folder=places[0], config=named))
    assert [values["model"] for _, values in layers] == ["user", "card", "night"]


def test_settings_files_when_two_folders_have_one_then_the_error_names_config(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "burstfix.toml").write_text("gap = 1\n")
    with pytest.raises(UsageError, match="--config"):
        settings_files([tmp_path / "a", tmp_path / "b"])


def test_settings_file_when_it_begins_with_a_byte_order_mark_then_it_is_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "burstfix.toml").write_text("gap = 1.5\n", encoding="utf-8-sig")
    assert read_settings_file(tmp_path / "burstfix.toml") == {"gap": 1.5}


@pytest.mark.parametrize("content", [b"gap = ", b"\xff\xfe"])
def test_settings_file_when_not_toml_then_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "burstfix.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_settings_file(path)


def test_settings_when_names_contradict_then_usage_error() -> None:
    with pytest.raises(UsageError, match="the suffix means jpeg"):
        BatchSettings(layout="{first}.jpg", format="png")
    with pytest.raises(UsageError, match="8 bits"):
        BatchSettings(layout="{first}.jpg", bit_depth=16)
    with pytest.raises(UsageError, match="max_frames"):
        BatchSettings(min_frames=5, max_frames=3)


def test_layout_when_it_has_no_suffix_then_it_gets_the_suffix_of_the_format() -> None:
    assert check_layout("{folder}/{first}", None) == "{folder}/{first}.tif"
    assert check_layout("{first}", "jpeg") == "{first}.jpg"
    assert check_layout("{first}.PNG", None) == "{first}.PNG"


# A non-default value of each setting: first those that change a picture, then the others.
CHANGES_PICTURES: dict[str, Any] = {
    "layout": "{last}", "format": "jpeg", "bit_depth": 8, "quality": 90, "noise": (1e-3, 1e-5),
    "noise_profiles": "table.toml", "skip_bad": True, "keep_all": True, "opcodes": "skip", "strength": 0.5,
    "wb": "auto", "exposure": 1.0, "look": "plain", "grain": 0.2, "color_space": "prophoto", "model": "kpn",
    "precision": "float32", "ensemble": 2, "dng": "mosaic", "scale": 0.5, "max_size": 900,
    "dng_compression": "jxl",
}  # fmt: skip
NO_EFFECT: dict[str, Any] = {
    "gap": 1.0, "min_frames": 3, "max_frames": 9, "singles": True, "check_content": False, "overwrite": True,
    "device": "cpu", "report": True, "tile": 64, "jobs": 2, "max_memory": "1GB", "settle": 1.0,
}  # fmt: skip


def test_settings_hash_when_one_setting_changes_then_it_changes_only_if_pictures_change() -> None:
    assert {*CHANGES_PICTURES, *NO_EFFECT} == set(NAMES)
    plain = settings_hash(BatchSettings())
    for name, value in (CHANGES_PICTURES | NO_EFFECT).items():
        changed = settings_hash(BatchSettings(**{name: value}))
        assert (changed != plain) == (name in CHANGES_PICTURES), name


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8 * 10**9), ("2 GiB", 2**31), ("500MB", 5 * 10**8), ("7", 7)]
)
def test_size_when_given_with_a_unit_then_it_is_converted_to_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "line",
    [
        "overwrite = true",
        'noise_profiles = "/etc/passwd"',
        'device = "cuda"',
        "jobs = 64",
        'max_memory = "1TB"',
        'model = "evil.safetensors"',
        'model = "evil:Model"',
    ],
)
def test_settings_file_when_in_a_folder_of_raws_then_unsafe_settings_are_refused(
    line: str, tmp_path: Path
) -> None:
    path = tmp_path / "burstfix.toml"
    path.write_text(f'gap = 1\nmodel = "kpn"\n{line}\n' if "model" not in line else line)
    with pytest.raises(UsageError, match=r"burstfix\.toml: .* is not allowed in a folder of raws"):
        file_layers(settings_files([tmp_path]))
    # The user's file and an explicitly named file may contain it.
    assert file_layers(settings_files([], user_folder=tmp_path))
    assert file_layers(settings_files([], config=path))
    assert file_layers(settings_files([tmp_path], config=path))


def test_config_show_when_run_then_it_lists_the_settings_not_allowed_in_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", str(tmp_path)]) == 0
    assert "may not set overwrite" in capsys.readouterr().out
    assert main(["config", "show", str(tmp_path), "--json"]) == 0
    assert "overwrite" in json.loads(capsys.readouterr().out)["not_in_folders"]
